"""The thread of a worker's main process that does the chores: whichever worker comes first, for all."""

from __future__ import annotations

import os
import threading
from typing import Any

from celery import bootsteps

from geniequeue.config import Settings
from geniequeue.jobs.chores import Chore, do_if_due
from geniequeue.jobs.finish import close_ended
from tasks.services import Services, services_for

LOOK_EVERY_S = 1.0


def chores_of(services: Services) -> tuple[Chore, ...]:
    """Return what is to be done again and again."""
    return (
        Chore("close-ended", 5.0, lambda: close_ended(services.records, services.ledger)),
        Chore("settle-quota", 2.0, services.quota.settle),
    )


class Housekeeping(bootsteps.StartStopStep):  # type: ignore[misc]  # celery is untyped
    """The thread that does the chores.

    It begins after the pool, and imports nothing: a pool child that is forked while a thread imports a module waits for
    that module for ever.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        settings: Settings = parent.app.conf.geniequeue
        self._services = services_for(settings, os.getpid())
        self._stopped = threading.Event()

    def start(self, parent: Any) -> None:
        """Start looking for what is due."""
        del parent
        threading.Thread(target=self._run, name="housekeeping", daemon=True).start()

    def stop(self, parent: Any) -> None:
        """Begin no chore any more; one that is in the middle ends with the process."""
        del parent
        self._stopped.set()

    def _run(self) -> None:
        chores, in_trouble = chores_of(self._services), set[str]()
        while not self._stopped.wait(LOOK_EVERY_S):
            for chore in chores:
                do_if_due(self._services.ledger.client, chore, in_trouble)
