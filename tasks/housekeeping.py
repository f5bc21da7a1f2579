"""The thread of a worker's main process that does the chores: whichever worker comes first, for all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from celery import bootsteps

from geniequeue.config import Settings
from geniequeue.errors import LedgerUnavailable, RecordsUnavailable
from geniequeue.jobs import delivery
from geniequeue.jobs.chores import Chore, do_if_due
from geniequeue.jobs.closing import close_ended
from geniequeue.jobs.holder import Holder
from geniequeue.jobs.leases import Leases
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.jobs.leftovers import Leftovers
from geniequeue.jobs.sweeper import Sweeper
from geniequeue.log import get_logger
from tasks.keeper import running_requests
from tasks.services import Services, services_for

LOOK_EVERY_S = 1.0
RESTORE_EVERY_S = 10.0

log = get_logger(__name__)


def chores_of(services: Services) -> tuple[Chore, ...]:
    """Return what is to be done again and again."""
    return (
        Chore("close-ended", 5.0, lambda: close_ended(services.records, services.ledger)),
        Chore("late-outputs", 60.0, Leftovers(services.records, services.ledger).remove_late),
        Chore("settle-quota", 2.0, services.quota.settle),
        Chore("restore", RESTORE_EVERY_S, services.restoring.restore),
        Chore("reconcile", RESTORE_EVERY_S, services.reconciling.reconcile),
    )


class Housekeeping(bootsteps.StartStopStep):  # type: ignore[misc]  # celery is untyped
    """Two threads: one sweeps the queues, which needs Redis alone, one does the chores, which may wait for the records.

    It begins after the pool, and what it needs is made before: a pool child that is forked while a thread imports a
    module waits for that module for ever.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._settings: Settings = parent.app.conf.geniequeue
        self._services = self._opened()
        ledger = Ledger(connect(self._settings.redis_url), self._settings.ledger_prefix)
        self._sweeper = Sweeper(ledger, Leases(ledger), Holder.of_process(parent.hostname, os.getpid()), modest=True)
        self._stopped = threading.Event()

    def start(self, parent: Any) -> None:
        """Start looking for what is due."""
        del parent
        for work in (self._sweep, self._do_chores):
            threading.Thread(target=self._again_and_again, args=(work,), name="housekeeping", daemon=True).start()

    def stop(self, parent: Any) -> None:
        """Begin no chore any more; one that is in the middle ends with the process."""
        del parent
        self._stopped.set()

    def _again_and_again(self, work: Callable[[set[str]], None]) -> None:
        in_trouble = set[str]()
        while not self._stopped.wait(LOOK_EVERY_S):
            work(in_trouble)

    def _do_chores(self, in_trouble: set[str]) -> None:
        self._services = self._services or self._opened()
        if self._services is None:
            return
        for chore in chores_of(self._services):
            do_if_due(self._services.ledger.client, chore, in_trouble)

    def _sweep(self, in_trouble: set[str]) -> None:
        """Sweep the queues; trouble is told once, until it is over."""
        try:
            self._sweeper.sweep()
        except LedgerUnavailable as error:
            if "sweep" not in in_trouble:
                log.warning("not swept", error=str(error))
            in_trouble.add("sweep")
        except Exception:
            log.exception("sweeping broke")
        else:
            in_trouble.discard("sweep")

    def _opened(self) -> Services | None:
        """Return the services, None where the record store cannot be opened now."""
        try:
            return services_for(self._settings, os.getpid())
        except RecordsUnavailable as error:
            log.warning("no chore is done", error=str(error))
            return None


class Adoption(bootsteps.StartStopStep):  # type: ignore[misc]  # celery is untyped
    """After a reconnect, the running jobs belong to the new connection."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Any) -> None:
        """Take over what runs; at the first start nothing does."""
        adopted = delivery.adopt(parent.task_consumer.channel, running_requests())
        if adopted:
            log.info("running jobs go on with a new connection", jobs=adopted)
        parent.steady()
