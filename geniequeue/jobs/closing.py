"""The last step of a run, some seconds after its end, for many at a time: leftovers removed, rows closed."""

from __future__ import annotations

from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.leftovers import Leftovers
from geniequeue.jobs.notes import Notes
from geniequeue.records.protocol import Records

CLOSED_AT_ONCE = 50


def close_ended(service: Records, ledger: Ledger) -> int:
    """Close the runs that have ended; return how many. A crash in the middle leaves them for the next time."""
    notes, leftovers, closed = Notes(ledger), Leftovers(service, ledger), 0
    while ended := notes.ended_runs(CLOSED_AT_ONCE):
        leftovers.remove_of(ended)
        service.update_items("media_job_runs", list(ended), {"open": False})
        notes.forget_ended(ended)
        closed += len(ended)
    return closed
