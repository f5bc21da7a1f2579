"""The thread of a worker's main process that does the chores: whichever worker comes first, for all."""

from __future__ import annotations

import os
import threading
from typing import Any

from celery import bootsteps

from geniequeue.config import Settings
from geniequeue.errors import RecordsUnavailable
from geniequeue.jobs.chores import Chore, do_if_due
from geniequeue.jobs.finish import close_ended
from geniequeue.log import get_logger
from tasks.services import Services, services_for

LOOK_EVERY_S = 1.0

log = get_logger(__name__)


def chores_of(services: Services) -> tuple[Chore, ...]:
    """Return what is to be done again and again."""
    return (
        Chore("close-ended", 5.0, lambda: close_ended(services.records, services.ledger)),
        Chore("settle-quota", 2.0, services.quota.settle),
    )


class Housekeeping(bootsteps.StartStopStep):  # type: ignore[misc]  # celery is untyped
    """The thread that does the chores.

    It begins after the pool, and what it needs is made before: a pool child that is forked while a thread imports a
    module waits for that module for ever.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._settings: Settings = parent.app.conf.geniequeue
        self._services = self._opened()
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
        in_trouble = set[str]()
        while not self._stopped.wait(LOOK_EVERY_S):
            self._services = self._services or self._opened()
            if self._services is None:
                continue
            for chore in chores_of(self._services):
                do_if_due(self._services.ledger.client, chore, in_trouble)

    def _opened(self) -> Services | None:
        """Return the services, None where the record store cannot be opened now."""
        try:
            return services_for(self._settings, os.getpid())
        except RecordsUnavailable as error:
            log.warning("no chore is done", error=str(error))
            return None
