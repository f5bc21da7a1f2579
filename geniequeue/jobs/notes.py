"""What Redis notes about runs beside the ledger: acceptances given up half-way, and ended runs that are open still.

Losing a note costs time or a call, never a job: the records say the same, only later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from geniequeue.jobs import keys
from geniequeue.jobs.job import Run
from geniequeue.jobs.ledger import Ledger, reachable

GIVEN_UP_KEEP_S = 3600
LATE_S = 5
"""By when a write that brought no answer has been done, or never will be."""


class Notes:
    """Notes about runs; every method raises `LedgerUnavailable` when Redis cannot be reached.

    Args:
        ledger: whose Redis it is.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._redis = ledger.client

    def give_up(self, run: Run) -> None:
        """Note that whoever was accepting a run has stopped before it was in the ledger."""
        with reachable():
            self._redis.set(keys.given_up(run.id), self._now_s(), ex=GIVEN_UP_KEEP_S)

    def given_up(self, run: Run) -> bool:
        """Tell whether the acceptance of a run was given up so long ago that nothing of it is on its way."""
        with reachable():
            since = cast("str | None", self._redis.get(keys.given_up(run.id)))
            return since is not None and self._now_s() - int(since) >= LATE_S

    def has_ended(self, run: Run) -> bool:
        """Tell whether a run has ended everywhere but for its own row, which is closed later."""
        with reachable():
            return bool(self._redis.sismember(keys.ended_runs(), ended_note(run)))

    def ended_runs(self, limit: int) -> dict[str, str]:
        """Return the ids of some runs whose rows are to be closed, each with its job's."""
        with reachable():
            found = cast("list[str]", self._redis.srandmember(keys.ended_runs(), limit))
        return {run_id: job_id for run_id, _, job_id in (note.partition("/") for note in found)}

    def forget_ended(self, ended: Mapping[str, str]) -> None:
        """Forget runs whose rows were closed."""
        with reachable():
            self._redis.srem(keys.ended_runs(), *(f"{run_id}/{job_id}" for run_id, job_id in ended.items()))

    def _now_s(self) -> int:
        return self._redis.time()[0]


def ended_note(run: Run) -> str:
    """Return what is noted of a run that has ended and is to be closed: `<run>/<job>`."""
    return f"{run.id}/{run.spec.job_id}"
