"""The thread of a worker's main process that keeps the leases of running jobs, and ends what must end.

It renews every lease, also while the worker shuts down and its event loop stands still. It looks for cancels, time
limits and the end of the time that a stopping worker has; a pool child that does not heed them by itself is killed, and
`JobRequest` puts its job back.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from celery import bootsteps
from celery.worker import state

from geniequeue.config import Settings
from geniequeue.errors import LedgerUnavailable
from geniequeue.jobs.broker import TASK_NAMES
from geniequeue.jobs.holder import Holder
from geniequeue.jobs.leases import Leases, Queued
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.log import get_logger
from geniequeue.operations import OPERATIONS
from tasks import memory
from tasks.stopping import hand_back, stopping

LOOK_EVERY_S = 0.5
"""How often leases are renewed, which is also how a cancel is heard of: a hanging child is to be dead 2 s after it."""
MEASURE_EVERY_S = 2.0
HEED_WITHIN_S = 1.0
"""How long a pool child may take to see a cancel by itself; it looks twice a second unless it waits for the
record store."""
LOST_WITHIN_S = 10.0
"""How long a pool child may take to stop when another attempt has its job."""
MARGIN_S = 1320.0
"""Of an attempt's wall clock beyond the operation's own limit: a download and an upload of 10 minutes each, and waiting
for a store. The sandbox keeps the operation's own limit; this is for a pool child that hangs elsewhere."""

log = get_logger(__name__)


@dataclass
class Kept:
    """One running job.

    Attributes:
        request: Celery's, of the pool child that works on it.
        since: when it was first seen, monotonic s.
        attempt: '' until the child has a lease.
        unheeded_since: monotonic s; None while there is nothing to be heeded.
        measured: when its memory was looked at, monotonic s.
        peak_bytes: highest resident memory of the child and its descendants that was seen.
        killed_for: why the child was killed, '' while it was not.
    """

    request: Any
    since: float
    job: Queued | None = None
    attempt: str = ""
    lock: str = ""
    unheeded_since: float | None = None
    measured: float = float("-inf")
    peak_bytes: int = 0
    killed_for: str = ""


@dataclass
class Keeper:
    """Keeps the leases of one worker.

    Args:
        leases: on a connection of its own.
        holder: this worker's main process.
        stop_within_s: after which time a stopping worker hands back what still runs.
    """

    leases: Leases
    holder: Holder
    stop_within_s: float
    _kept: dict[str, Kept] = field(default_factory=dict)
    _stopping_since: float | None = None

    def run(self) -> None:
        """Look after the running jobs until the process ends."""
        in_trouble = False
        while True:
            time.sleep(LOOK_EVERY_S)
            try:
                self.look(running_requests())
                in_trouble = False
            except LedgerUnavailable as error:
                if not in_trouble:
                    log.warning("leases not renewed", error=str(error))
                in_trouble = True
            except Exception:  # the thread must live on, for a lease that nobody renews runs a job twice
                log.exception("keeping the leases broke")

    def look(self, requests: Iterable[Any]) -> None:
        """Renew and judge every running job once."""
        now = time.monotonic()
        self._heed_stop(now)
        running = {request.id: request for request in requests}
        for run_id in set(self._kept) - set(running):
            del self._kept[run_id]
        for run_id, request in running.items():
            kept = self._kept.get(run_id)
            if kept is None or kept.request is not request:
                kept = self._kept[run_id] = Kept(request, now)
            self._judge_time(kept, now)
            self._renew(kept, now)

    def about(self, request: Any) -> Kept | None:
        """Return what is known of a request, None for one that was never looked at."""
        kept = self._kept.get(request.id)
        return kept if kept is not None and kept.request is request else None

    def _renew(self, kept: Kept, now: float) -> None:
        """Renew a lease; what was lost, or cancelled, is given some time to end by itself."""
        kept.job = kept.job or self.leases.find(kept.request.kwargs["bull_job_id"])
        if kept.job is None:
            return
        renewal = self.leases.renew(kept.job, kept.attempt, str(self.holder))
        if renewal.answer == "none":
            return
        if renewal.attempt and not kept.attempt:
            kept.attempt = renewal.attempt
            kept.lock = f"{renewal.attempt}:{self.holder}"
        if now - kept.measured >= MEASURE_EVERY_S:
            kept.measured = now
            kept.peak_bytes = max(kept.peak_bytes, memory.peak_bytes(kept.request.worker_pid))
        if renewal.answer == "ok":
            kept.unheeded_since = None
            return
        kept.unheeded_since = kept.unheeded_since or now
        patience_s = HEED_WITHIN_S if renewal.answer == "cancel" else LOST_WITHIN_S
        if now - kept.unheeded_since >= patience_s:
            self._kill(kept, renewal.answer)

    def _judge_time(self, kept: Kept, now: float) -> None:
        """Kill what runs longer than it may, or than this stopping worker lives."""
        if self._stopping_since is not None and now - self._stopping_since >= self.stop_within_s + LOST_WITHIN_S / 2:
            self._kill(kept, "stop")
        elif now - kept.since > limit_s(kept.request):
            self._kill(kept, "timeout")

    def _heed_stop(self, now: float) -> None:
        if stopping() and self._stopping_since is None:
            self._stopping_since = now
        if self._stopping_since is not None and now - self._stopping_since >= self.stop_within_s:
            hand_back()

    def _kill(self, kept: Kept, why: str) -> None:
        """Kill the pool child, and with it all that its sandbox runs."""
        if kept.killed_for or not kept.request.worker_pid:
            return
        kept.killed_for = why
        log.warning("killing the pool child", why=why, run_id=kept.request.id, pid=kept.request.worker_pid)
        with suppress(ProcessLookupError):  # it is lost already, and `JobRequest` will hear of it
            os.kill(kept.request.worker_pid, signal.SIGKILL)


def limit_s(request: Any) -> float:
    """Return how long an attempt may take in all, by the registry."""
    operation = OPERATIONS.get(request.name)
    return (operation.time_limit_s if operation else 0.0) + MARGIN_S


def running_requests() -> list[Any]:
    """Return the requests of jobs that pool children work on."""
    while True:
        try:
            return [request for request in state.active_requests if request.task.name in TASK_NAMES.values()]
        except RuntimeError:  # the main thread was faster: the set changed
            continue


class KeeperStep(bootsteps.StartStopStep):  # type: ignore[misc]  # celery is untyped
    """Starts the thread; it is never stopped, because it has to outlive the shutdown of the pool."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        settings: Settings = parent.app.conf.geniequeue
        ledger = Ledger(connect(settings.redis_url), settings.ledger_prefix)
        holder = Holder.of_process(parent.hostname, os.getpid())
        parent.app.conf.geniequeue_keeper = Keeper(Leases(ledger), holder, settings.stop_within_s)
        self._keeper: Keeper = parent.app.conf.geniequeue_keeper

    def start(self, parent: Any) -> None:
        """Start keeping."""
        del parent
        threading.Thread(target=self._keeper.run, name="keeper", daemon=True).start()

    def register_with_event_loop(self, parent: Any, hub: Any) -> None:
        """Let the pool look for dead children more often than every 5 s, as it does by itself."""
        hub.call_repeatedly(LOOK_EVERY_S, parent.pool.maintain_pool)
