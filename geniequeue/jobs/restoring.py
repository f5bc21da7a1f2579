"""Write open runs into a ledger that has lost them: FLUSHALL, another Redis, a dead acceptance, a tool of BullMQ.

One worker restores at a time. It looks for a second in each turn; where a run is missing, others are likely to be, so
all are compared at once, in the order in which they will run.
"""

from __future__ import annotations

import os
import time
import uuid
from typing import cast

from geniequeue.errors import LedgerUnavailable, RecordsUnavailable
from geniequeue.jobs import keys, tallies
from geniequeue.jobs.finish import outcome_of
from geniequeue.jobs.holder import Holder
from geniequeue.jobs.job import Run
from geniequeue.jobs.lead import Lead
from geniequeue.jobs.leases import LEASE_S
from geniequeue.jobs.ledger import Ledger, reachable
from geniequeue.jobs.open_runs import AT_ONCE, Mark, OpenRuns
from geniequeue.jobs.remains import Remains
from geniequeue.jobs.request import run_from_row
from geniequeue.jobs.runs import Runs
from geniequeue.log import get_logger
from geniequeue.operations import QUEUES
from geniequeue.records.protocol import Item, Records

LEAD_S = 30.0
LOOK_FOR_S = 1.0
SETTLED_AFTER_S = 30.0
"""How old a run is before it is looked at, but for an emptied Redis: until then somebody may still be accepting it."""

log = get_logger(__name__)


class Restoring:
    """Compares the records' open runs with the ledger.

    Args:
        service: records with the service's rights.
        at_once: runs that are read with one call.
    """

    def __init__(self, service: Records, ledger: Ledger, runs: Runs, *, at_once: int = AT_ONCE) -> None:
        self._service = service
        self._ledger = ledger
        self._runs = runs
        self._open = OpenRuns(service, at_once)
        self._remains = Remains(ledger)
        holder = Holder.of_process(uuid.uuid4().hex, os.getpid())
        self._lead = Lead(ledger.client, keys.restoring(), keys.restoring_leads(), holder, LEAD_S)
        self._hopeless = set[str]()

    def restore(self) -> int:
        """Send what the ledger does not know, by priority and age; return how many runs that were.

        In a Redis that was emptied all open runs are compared at once, as soon as holders of leases have had the time
        to take theirs again; afterwards some at a time.
        """
        token = self._lead.take()
        if not token:
            return 0
        try:
            return self._restore_some(token) if self._epoch_s() >= LEASE_S else 0
        finally:
            self._lead.give_back()

    def _restore_some(self, token: str) -> int:
        with reachable():
            done = cast("dict[str, str]", self._ledger.client.hgetall(keys.restored()))
        if "all" not in done:
            return self._restore_all(token, emptied=True)
        after: Mark | None = Mark.parse(done.get("after", ""))
        enough = time.monotonic() + LOOK_FOR_S
        while after is not None and time.monotonic() < enough:
            rows, after = self._open.page(after, SETTLED_AFTER_S)
            if self._missing(rows):
                return self._restore_all(token, emptied=False)
        if after is None:
            self._hopeless.clear()
        self._note(after)
        return 0

    def _restore_all(self, token: str, *, emptied: bool) -> int:
        restored, after = 0, Mark()
        while self._lead.take() == token:
            rows, end = self._open.page(after, 0 if emptied else SETTLED_AFTER_S)
            restored += sum(self._restored(run, token) for run in self._missing(rows) if self._lead.take() == token)
            if end is None:
                break
            after = end
        if self._lead.take() != token:
            log.warning("the lead is over, whoever has it next restores the rest")
            return restored
        # a later time a job may have ended that is not counted yet, and will be
        for queue in QUEUES if emptied else ():
            tallies.go_on(self._service, self._ledger, queue)
        self._note(None)
        return restored

    def _note(self, after: Mark | None) -> None:
        """Note that all runs were compared once, and where to go on."""
        with reachable():
            self._ledger.client.hset(keys.restored(), mapping={"all": 1, "after": str(after or "")})

    def _epoch_s(self) -> float:
        """Return how long this Redis has been known; a new one is told numbers and counters on record first."""
        client = self._ledger.client
        with reachable():
            now_s = client.time()[0]
            since = cast("str | None", client.get(keys.epoch()))
        if since is not None:
            # its clock may have been set back since
            return abs(now_s - int(since))
        for queue in QUEUES:
            self._runs.numbers.go_on(queue)
            tallies.go_on(self._service, self._ledger, queue)
        with reachable():
            client.set(keys.epoch(), now_s, nx=True)
        return 0

    def _missing(self, rows: list[Item]) -> list[Run]:
        runs = (self._run_of(row) for row in rows if row["id"] not in self._hopeless)
        return [run for run in runs if run is not None and self._remains.are_missing(run)]

    def _run_of(self, row: Item) -> Run | None:
        """Read a run; one that cannot be read keeps no other from being restored."""
        try:
            return run_from_row(row)
        except Exception:
            self._hopeless.add(row["id"])
            log.exception("run not readable", run_id=row["id"])
            return None

    def _restored(self, run: Run, token: str) -> bool:
        """Restore one run; one that cannot be restored keeps no other from it, and is left alone for a while."""
        try:
            return self._restore(run, token)
        except (LedgerUnavailable, RecordsUnavailable):
            raise
        except Exception:
            self._hopeless.add(run.id)
            log.exception("run not restored", run_id=run.id)
            return False

    def _restore(self, run: Run, token: str) -> bool:
        result = self._runs.result_of(run)
        if result is not None:
            self._runs.settle(run, result)
            log.warning("the end of a run is told again", run_id=run.id, outcome=type(outcome_of(result)).__name__)
            return False
        return self._runs.restore(run, lambda: self._remains.forget(run, token))
