"""An attempt of a job while it holds its lease."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from geniequeue.errors import (
    CancelledError,
    LedgerUnavailable,
    RecordForbidden,
    RecordInvalid,
    RecordsUnavailable,
    RightMissing,
    ServiceTokenRefused,
)
from geniequeue.jobs.finish import Ended, finish, outcome_of
from geniequeue.jobs.job import Lease, Run
from geniequeue.jobs.leases import Loss
from geniequeue.jobs.outcome import Cancelled, Final, Outcome, Retry, decide, failure, snooze
from geniequeue.jobs.patience import Patience
from geniequeue.log import get_logger
from geniequeue.operations import OPERATIONS, Operation
from tasks.progress import Progress
from tasks.services import Services
from tasks.stopping import handing_back, stopping

PATIENCE_MARGIN_S = 105.0
"""How much longer than the operation's limit an attempt waits for stores; the keeper kills it some time later."""

T = TypeVar("T")

log = get_logger(__name__)


@dataclass
class Attempt:
    """One attempt of a run.

    Attributes:
        lease: the right to write; attempt number and tries.
        progress: writes progress and learns of a cancel.
        peak_memory_bytes: of the sandboxed work, once it ran.
        stored: ids of the files it began to store.
    """

    run: Run
    lease: Lease
    services: Services
    progress: Progress
    started: float = field(default_factory=time.monotonic)
    peak_memory_bytes: int | None = None
    stored: list[str] = field(default_factory=list)
    _patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        self._patience = Patience(
            self.operation.time_limit_s + PATIENCE_MARGIN_S, stopping=stopping, cancelled=self.progress.should_stop
        )

    @property
    def operation(self) -> Operation:
        """What is to be done."""
        return OPERATIONS[self.run.spec.operation]

    def patiently(self, call: Callable[[], T], *, cancellable: bool = True) -> T:
        """Call again while Redis or the record store is away; see `Patience.call`."""
        return self._patience.call(call, cancellable=cancellable)

    def standing_end(self) -> Final | None:
        """Return how the run has ended already, where an earlier attempt could not tell it everywhere."""
        if self.lease.attempt <= self.run.spec.attempts_before + 1:
            return None
        try:
            return outcome_of(self.services.records.get_item("media_job_results", self.run.id))
        except RecordForbidden:
            return None

    def note(self) -> None:
        """Write the attempt's number into the records, so that numbers grow also when Redis is emptied.

        The first attempt of a run needs no note: whoever counts from the records adds one.
        """
        if self.lease.attempt > self.run.spec.attempts_before + 1 and not self.run.ledger_only:
            self.services.records.update_item("media_job_runs", self.run.id, {"attempt": self.lease.attempt})

    def decide(self, error: Exception) -> Outcome:
        """Return what the attempt comes to after `error`; an operator's own matter is told to him."""
        if isinstance(error, CancelledError) and handing_back():
            log.info("attempt stopped, because its worker ends")
            return Cancelled()
        if isinstance(error, ServiceTokenRefused | RightMissing):
            log.error("the record store refuses the service", error=str(error))
        if stopping() and isinstance(error, LedgerUnavailable | RecordsUnavailable):
            outcome: Outcome = snooze(error)
        else:
            outcome = decide(error, tries=self.lease.tries, max_tries=self.operation.max_tries)
        log.info("attempt did not complete", outcome=type(outcome).__name__, error=str(error))
        return outcome

    def end(self, outcome: Final, *, cancellable: bool = True) -> Ended:
        """End the job everywhere; what the record store will never take becomes a failure."""
        try:
            return self.patiently(lambda: self._finish(outcome), cancellable=cancellable)
        except RecordInvalid as error:
            log.exception("the end of the job was refused")
            refused = failure(error)
            return self.patiently(lambda: self._finish(refused), cancellable=cancellable)

    def put_off(self, outcome: Retry) -> bool:
        """Show the job as delayed; False where a newer attempt exists."""
        put_off = self.patiently(
            lambda: self.services.ledger.delay(
                self.run,
                self.lease.attempt,
                after_s=outcome.after_s,
                reason=outcome.cause.message,
                why=outcome.cause.reason or outcome.cause.code,
                counted=outcome.counted,
            ),
            cancellable=False,
        )
        if not put_off:
            log.warning("attempt is stale, it is not tried again")
        return put_off

    def hand_back(self) -> str:
        """Put the job back to the front of its queue without counting the attempt; return where it is then."""
        leases = self.services.leases
        job = self.patiently(lambda: leases.find(self.run.bull_job_id), cancellable=False)
        if job is None:
            return "elsewhere"
        lock = self.patiently(lambda: leases.lock(job), cancellable=False)
        mine = lock if lock and lock.startswith(f"{self.lease.attempt}:") else None
        return self.patiently(lambda: leases.put_back(job, mine, Loss(counted=False)), cancellable=False)

    def _finish(self, outcome: Final) -> Ended:
        return finish(
            self.services.records,
            self.services.ledger,
            self.run,
            self.lease.attempt,
            outcome,
            peak_memory_bytes=self.peak_memory_bytes,
        )
