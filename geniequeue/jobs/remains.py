"""What is left in the ledger of a run that the records call open."""

from __future__ import annotations

from typing import Literal, cast

from geniequeue.jobs import keys
from geniequeue.jobs.job import Run
from geniequeue.jobs.ledger import Ledger, reachable
from geniequeue.jobs.notes import ended_note
from geniequeue.scripts import Scripts

Place = Literal["there", "newer", "missing", "not leader"]


class Remains:
    """Looks for runs in the ledger; every method raises `LedgerUnavailable` when Redis cannot be reached.

    Args:
        ledger: of the queues.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._scripts = Scripts(ledger.client, "geniequeue.jobs", ("forget",))

    def are_missing(self, run: Run) -> bool:
        """Tell whether a run neither waits nor runs, nor has ended, nor is a later round of its job known."""
        return self._ask(run, "") == "missing"

    def forget(self, run: Run, token: str) -> bool:
        """Forget what is left of a run that is missing; False where it is not.

        Args:
            token: of the lead of who restores; False where that is over.
        """
        return self._ask(run, token) == "missing"

    def _ask(self, run: Run, token: str) -> Place:
        k, number = self._ledger.queue_keys(run.queue), run.number
        names = [
            *(keys.job_index(run.key), k.job(number), k.lock(number), k.prioritized(), k.wait(), k.paused()),
            *(k.delayed(), k.active(), k.completed(), k.failed(), keys.ended_runs(), keys.restoring()),
        ]
        with reachable():
            return cast("Place", self._scripts.call("forget", names, [number, ended_note(run), run.round, token]))
