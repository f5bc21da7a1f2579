"""Write open runs into a ledger that has forgotten them: after FLUSHALL, with another Redis, or a dead acceptance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

from geniequeue.errors import LedgerUnavailable, RecordsUnavailable
from geniequeue.jobs import keys
from geniequeue.jobs.finish import iso, outcome_of
from geniequeue.jobs.job import Run
from geniequeue.jobs.leases import LEASE_S
from geniequeue.jobs.ledger import Ledger, reachable
from geniequeue.jobs.request import run_from_row
from geniequeue.jobs.runs import RUN_FIELDS, Runs
from geniequeue.log import get_logger
from geniequeue.operations import QUEUES
from geniequeue.records.protocol import Item, Records

AT_ONCE = 100
SETTLED_AFTER_S = 30.0
"""How old a run is before it is looked at, but for an emptied Redis: until then somebody may still be accepting it."""

log = get_logger(__name__)


class Restoring:
    """Compares the records' open runs with the ledger.

    Args:
        service: records with the service's rights.
    """

    def __init__(self, service: Records, ledger: Ledger, runs: Runs) -> None:
        self._service = service
        self._ledger = ledger
        self._runs = runs

    def restore(self) -> int:
        """Send what the ledger does not know, by priority and age; return how many runs that were.

        In a Redis that was emptied all open runs are compared at once, as soon as holders of leases have had the time
        to take theirs again; afterwards some at a time.
        """
        epoch_s = self._epoch_s()
        if epoch_s < LEASE_S:
            return 0
        with reachable():
            done = cast("dict[str, str]", self._ledger.client.hgetall(keys.restored()))
        offset, restored = int(done.get("offset", 0)), 0
        while True:
            rows = self._open_runs(offset, SETTLED_AFTER_S if "all" in done else 0)
            restored += sum(self._restored(row) for row in rows)
            ended = len(rows) < AT_ONCE
            offset = 0 if ended else offset + len(rows)
            with reachable():
                # rows close while others are looked at, so a pass that found something is not the last one
                about: dict[str, str | int] = {"offset": offset, **({"all": 1} if ended and not restored else {})}
                self._ledger.client.hset(keys.restored(), mapping=about)  # type: ignore[arg-type]
            if ended or "all" in done:
                return restored

    def _open_runs(self, offset: int, age_s: float) -> list[Item]:
        before = datetime.now(UTC) - timedelta(seconds=age_s)
        return self._service.list_items(
            "media_job_runs",
            {"open": True, "accepted_at": {"_lte": iso(before)}},
            sort=("priority", "accepted_at", "id"),
            limit=AT_ONCE,
            offset=offset,
            fields=RUN_FIELDS,
        )

    def _epoch_s(self) -> float:
        """Return how long this Redis has been known; a new one is told the numbers on record first."""
        client = self._ledger.client
        with reachable():
            now_s = client.time()[0]
            since = cast("str | None", client.get(keys.epoch()))
        if since is not None:
            return now_s - int(since)
        for queue in QUEUES:
            self._runs.numbers.go_on(queue)
        with reachable():
            client.set(keys.epoch(), now_s, nx=True)
        return 0

    def _restored(self, row: Item) -> bool:
        """Restore one run; one that cannot be restored keeps no other from it."""
        try:
            return self._restore(run_from_row(row))
        except (LedgerUnavailable, RecordsUnavailable):
            raise
        except Exception:
            log.exception("run not restored", run_id=row["id"])
            return False

    def _restore(self, run: Run) -> bool:
        known = self._ledger.current(run.key)
        if known is not None and int(known["round"]) >= run.round:
            return False
        result = self._runs.result_of(run)
        if result is not None:
            self._runs.settle(run, result)
            log.warning("the end of a run is told again", run_id=run.id, outcome=type(outcome_of(result)).__name__)
            return False
        self._runs.restore(run)
        return True
