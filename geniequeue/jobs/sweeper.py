"""The sweeper: puts back what a dead worker held, and sends what is due.

Every worker's main process has one, and one of them leads. Each move of a job is one script that looks again, and
refuses one whose lead is over; so a sweeper that slept moves none. What it does beside that may be done at any time:
BullMQ's workers are kept out, and messages are forgotten of which the ledger does not need any.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

from geniequeue.jobs import keys
from geniequeue.jobs.holder import Holder, holder_in_lock
from geniequeue.jobs.lead import Lead
from geniequeue.jobs.leases import LEASE_S, Leases, Loss, Queued
from geniequeue.jobs.ledger import Ledger, reachable
from geniequeue.jobs.messages import Messages
from geniequeue.jobs.strangers import Strangers
from geniequeue.log import get_logger
from geniequeue.operations import QUEUES

LEAD_S = 3.0
DUE_AT_ONCE = 100
COMPARE_EVERY_S = 15.0
GAP_S = 5.0
"""How much time may pass between two sweeps, by any clock, before leases may have run out that nobody could renew."""

log = get_logger(__name__)


class Sweeper:
    """Sweeps all queues; every method raises `LedgerUnavailable` when Redis cannot be reached or refuses to write.

    Args:
        holder: this worker's main process.
        clock: monotonic seconds.
        modest: while it may not judge yet, leave a lead that nobody has to one who may; the jobs of a host that is gone
            would wait for a lease time more.
    """

    def __init__(
        self,
        ledger: Ledger,
        leases: Leases,
        holder: Holder,
        clock: Callable[[], float] = time.monotonic,
        *,
        modest: bool = False,
    ) -> None:
        self._redis = ledger.client
        self._leases = leases
        self._messages = Messages(ledger, leases, clock)
        self._strangers = Strangers(ledger)
        self._compared = float("-inf")
        self._clock = clock
        self._modest = modest
        self._lead = Lead(self._redis, keys.sweeper(), keys.sweeper_leads(), holder, LEAD_S)
        self._steady_since: float | None = None
        self._seen = (float("inf"), float("inf"))

    def sweep(self) -> int:
        """Sweep once where this sweeper leads; return how many jobs were moved."""
        try:
            token = self._lead.take(eager=not self._modest or self._is_steady())
            self._look_at_clocks()
            if self._steady_since is None:
                self._steady_since = self._clock()
            if not token:
                return 0
            self._strangers.keep_out()
            return sum(self._sweep_queue(queue, token) for queue in QUEUES) + self._compare(token)
        except BaseException:
            # holders get one lease time to take theirs again before anyone judges
            self._steady_since = None
            raise

    def _sweep_queue(self, queue: str, token: str) -> int:
        moved = 0
        for job, lock in self._leases.active(queue):
            moved += self._put_back_if_ended(job, lock, token)
        for job in self._leases.due(queue, DUE_AT_ONCE):
            moved += self._leases.resend(job, token=token) == "sent"
        return moved

    def _compare(self, token: str) -> int:
        """Send what waits without a message, and fail what is not ours, once in a while; return how many jobs."""
        if self._clock() - self._compared < COMPARE_EVERY_S:
            return 0
        self._compared = self._clock()
        sent = sum(self._strangers.refuse(queue, token) for queue in QUEUES)
        for queue in QUEUES:
            for job in self._messages.lost(queue):
                if self._leases.resend(job, token=token) == "sent":
                    log.warning("a message was lost, it is sent again", bull_job_id=job.run.bull_job_id)
                    sent += 1
        forgotten = self._messages.forget_dead()
        if forgotten:
            log.info("messages of dead workers forgotten", messages=forgotten)
        return sent

    def _put_back_if_ended(self, job: Queued, lock: str | None, token: str) -> bool:
        """Put a job back whose holder is gone, or whose lease has run out while everybody could have renewed it."""
        holder = holder_in_lock(lock)
        if lock is None:
            if not self._may_judge():
                return False
            loss = self._loss(job)
        elif holder is not None and holder.is_gone():
            loss = Loss(True, f"The worker {holder.worker} is gone, pid {holder.pid}.")
        else:
            return False
        answer = self._leases.put_back(job, lock, loss, token=token)
        if answer == "back":
            happened = "a worker was lost with its job" if loss.counted else "a worker has slept through its lease"
            log.error(happened, bull_job_id=job.run.bull_job_id, why=loss.evidence)
        return answer == "back"

    def _loss(self, job: Queued) -> Loss:
        """Judge a lease that ran out: a job whose holder is seen to live has killed no worker."""
        holder = self._leases.last_holder(job)
        if holder is not None and holder.is_seen():
            return Loss(False, f"The lease ran out, but the worker {holder.worker} lives, pid {holder.pid}.")
        return Loss(True, "The lease ran out: its worker, or the host of it, is gone.")

    def _look_at_clocks(self) -> None:
        """Count from now on again where a clock has jumped, or this process waited long for Redis or stood still."""
        with reachable():
            seconds, microseconds = self._redis.time()
        seen = (self._clock(), seconds + microseconds / 1e6)
        passed = [now - before for now, before in zip(seen, self._seen, strict=True)]
        self._seen = seen
        if max(passed) > GAP_S or min(passed) < -GAP_S:
            self._steady_since = None

    def _may_judge(self) -> bool:
        """Tell whether Redis has served for a lease time, as far as this process and Redis itself know."""
        if not self._is_steady():
            return False
        with reachable():
            uptime_s = cast("dict[str, int]", self._redis.info("server"))["uptime_in_seconds"]
        return uptime_s > LEASE_S

    def _is_steady(self) -> bool:
        """Tell whether this process has had no trouble with Redis for a lease time."""
        return self._steady_since is not None and self._clock() - self._steady_since >= LEASE_S
