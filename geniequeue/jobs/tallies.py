"""How many jobs of a queue have ended, as the records tell it: what the counters go on from in an emptied Redis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.numbers import operations_of
from geniequeue.records.protocol import Records


def go_on(service: Records, ledger: Ledger, queue: str) -> None:
    """Raise the counters of a queue to what is on record; none is lowered.

    For a new Redis alone: a job whose item says already that it ended, and whose ledger does not, is counted once more
    when that is told.
    """
    ledger.counted_at_least(queue, tallies(service, queue))


def tallies(service: Records, queue: str) -> Mapping[str, int]:
    """Return how many rounds of a queue's jobs have ended, by outcome; jobs whose item was deleted are missing."""
    if not (operations := operations_of(queue)):
        return {}

    def ended(status: Any) -> int:
        where = {"operation": {"_in": operations}, "status": status, "bull_job_id": {"_null": False}}
        return service.count_items("media_jobs", where)

    # each later round was preceded by one that failed
    retried = service.count_items("media_job_runs", {"operation": {"_in": operations}, "round": {"_gt": 1}})
    return {
        "completed": ended("completed"),
        "failed": ended({"_in": ["failed", "error"]}) + retried,
        "cancelled": ended("cancelled"),
    }
