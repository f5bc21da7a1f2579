"""One attempt of a job, from lease to final state.

    find the run → take the lease → say that it is processing → perform → end it

Every step may be the last one that a crash lets happen, so each can be done again. What `perform` is depends on the
queue; how an attempt ends is decided by `outcome.decide` and written by `finish` alone.
"""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from celery import Task

from geniequeue.config import Settings
from geniequeue.errors import (
    CancelledError,
    GenieQueueError,
    InputError,
    LedgerUnavailable,
    RecordForbidden,
    RecordsUnavailable,
)
from geniequeue.jobs.finish import finish, now_iso
from geniequeue.jobs.job import Lease, Run
from geniequeue.jobs.outcome import Completed, Final, Outcome, Retry, decide
from geniequeue.jobs.request import run_from_row
from geniequeue.log import bind, get_logger
from geniequeue.operations import OPERATIONS
from tasks.progress import Progress
from tasks.services import Services, services_for

LEASE_MARGIN_S = 120.0
"""How much longer than the operation's limit a lease stands: downloads, uploads and the record store take time too."""

UNKNOWN_OPERATION_DELAY_S = 30.0
STORE_AWAY_DELAY_S = 5.0
PATIENCE_S = (0.5, 1, 2, 4, 8, 16)

T = TypeVar("T")

log = get_logger(__name__)


@dataclass
class Attempt:
    """One attempt of a run.

    Attributes:
        lease: the right to write; attempt number and tries.
        progress: writes progress and learns of a cancel.
        peak_memory_bytes: of the sandboxed work, once it ran.
    """

    run: Run
    lease: Lease
    services: Services
    progress: Progress
    started: float = field(default_factory=time.monotonic)
    peak_memory_bytes: int | None = None


class JobTask(Task):  # type: ignore[misc]  # celery is untyped
    """Base of the task that serves a queue; the message carries the run's id and nothing that needs to be secret."""

    abstract = True
    # the attempt decides itself when to try again
    max_retries = None

    @abstractmethod
    def perform(self, attempt: Attempt) -> Completed:
        """Do the work and store the outputs.

        Raises:
            JobError: the attempt failed.
            CancelledError: somebody asked for the job to stop.
        """

    def discard(self, attempt: Attempt, *, keep: frozenset[str]) -> None:
        """Remove what `perform` stored, but the files that the record names: the job had ended otherwise already."""

    def run(self, run_id: str, bull_job_id: str, request_id: str, version: int) -> None:
        """Run one attempt of the job that the message names, or drop the message."""
        del version
        with bind(request_id=request_id, bull_job_id=bull_job_id):
            try:
                attempt = self._begin(run_id, bull_job_id)
            except (LedgerUnavailable, RecordsUnavailable) as error:
                log.warning("store away, message put back", error=str(error))
                raise self.retry(countdown=STORE_AWAY_DELAY_S) from error
            if attempt is not None:
                spec = attempt.run.spec
                with bind(job_id=spec.job_id, operation=spec.operation, attempt=attempt.lease.attempt):
                    self._end(attempt, self._outcome(attempt))

    def _begin(self, run_id: str, bull_job_id: str) -> Attempt | None:
        """Find the run and take its lease; None for a message that has nothing to do."""
        run = self._find(run_id, bull_job_id)
        if run is None:
            return None
        with bind(job_id=run.spec.job_id, operation=run.spec.operation):
            if run.spec.operation not in OPERATIONS:
                log.warning("operation unknown to this version, put back")
                raise self.retry(countdown=UNKNOWN_OPERATION_DELAY_S)
            return self._lease(run)

    def _find(self, run_id: str, bull_job_id: str) -> Run | None:
        """Return the frozen run of a message, None for one that nobody accepted."""
        services = self._services()
        try:
            return run_from_row(services.records.get_item("media_job_runs", run_id))
        except RecordForbidden:
            run = services.ledger.run_without_item(run_id, bull_job_id)
        if run is None:
            log.warning("message dropped", why="no such run", run_id=run_id)
        return run

    def _lease(self, run: Run) -> Attempt | None:
        services = self._services()
        operation = OPERATIONS[run.spec.operation]
        lease = services.ledger.lease(
            run,
            worker=self.request.hostname or "worker",
            lease_s=operation.time_limit_s + LEASE_MARGIN_S,
        )
        if isinstance(lease, Lease):
            return Attempt(run, lease, services, Progress(services, run, lease.attempt))
        if lease == "paused":
            log.info("queue paused, message put back")
            raise self.retry(countdown=STORE_AWAY_DELAY_S)
        if lease == "leased":
            # its holder may be dead: the message is dropped only when the job has ended
            left_s = services.ledger.lease_left_s(run)
            log.warning("job is leased, message put back", left_s=left_s)
            raise self.retry(countdown=left_s + 1)
        log.info("message dropped", why=lease)
        return None

    def _outcome(self, attempt: Attempt) -> Outcome:
        try:
            self._say_processing(attempt)
            return self.perform(attempt)
        except GenieQueueError as error:
            attempt.peak_memory_bytes = getattr(error, "peak_memory_bytes", None)
            return self._decide(attempt, error)
        except Exception as error:
            log.exception("attempt broke")
            return self._decide(attempt, error)

    def _decide(self, attempt: Attempt, error: Exception) -> Outcome:
        outcome = decide(error, tries=attempt.lease.tries, max_tries=OPERATIONS[attempt.run.spec.operation].max_tries)
        log.info("attempt did not complete", outcome=type(outcome).__name__, error=str(error))
        return outcome

    def _say_processing(self, attempt: Attempt) -> None:
        if attempt.run.ledger_only:
            raise _missing_item()
        if attempt.progress.should_stop():
            raise CancelledError
        log.info("attempt started", tries=attempt.lease.tries)
        fields = {"status": "processing", "started_at": now_iso(), "progress": 0}
        try:
            attempt.services.records.update_item("media_jobs", attempt.run.spec.job_id, fields)
        except RecordForbidden:
            raise _missing_item() from None

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        ran_s = round(time.monotonic() - attempt.started, 3)
        if isinstance(outcome, Retry):
            self._put_off(attempt, outcome)
            return
        if not patiently(attempt.progress.still_mine):
            log.warning("attempt is stale, its result is dropped", ran_s=ran_s)
            self.discard(attempt, keep=frozenset())
            return
        ended = patiently(
            lambda: finish(
                attempt.services.records,
                attempt.services.ledger,
                attempt.run,
                attempt.lease.attempt,
                outcome,
                peak_memory_bytes=attempt.peak_memory_bytes,
            )
        )
        log.info("attempt ended", ran_s=ran_s, won=ended.won)
        if not ended.won:
            self.discard(attempt, keep=file_ids_of(ended.outcome))

    def _put_off(self, attempt: Attempt, outcome: Retry) -> None:
        """Show the job as delayed, then let Celery send it again when it is due."""
        put_off = patiently(
            lambda: attempt.services.ledger.delay(
                attempt.run, attempt.lease.attempt, after_s=outcome.after_s, reason=outcome.cause.message
            )
        )
        if not put_off:
            log.warning("attempt is stale, it is not tried again")
            return
        log.info("attempt put off", after_s=round(outcome.after_s, 1), cause=outcome.cause.code)
        raise self.retry(countdown=outcome.after_s)

    def _services(self) -> Services:
        settings: Settings = self.app.conf.geniequeue
        return services_for(settings, os.getpid())


def _missing_item() -> InputError:
    message = "There is no media_jobs item with this id; create it before you send the job."
    return InputError(message, reason="missing_item")


def file_ids_of(outcome: Final) -> frozenset[str]:
    """Return the files that an outcome names."""
    outputs = outcome.result.get("outputs", ()) if isinstance(outcome, Completed) else ()
    return frozenset(output["file_id"] for output in outputs)


def patiently(call: Callable[[], T]) -> T:
    """Call again for half a minute while Redis or the record store is away; the last error is raised."""
    for pause_s in PATIENCE_S:
        try:
            return call()
        except (LedgerUnavailable, RecordsUnavailable) as error:
            log.warning("waiting for the store", error=str(error), pause_s=pause_s)
            time.sleep(pause_s)
    return call()
