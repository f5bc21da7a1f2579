"""One attempt of a job, from lease to final state.

    find the run → take the lease → note the attempt → say that it is processing → perform → end it

Every step may be the last one that a crash lets happen, so each can be done again. What `perform` is depends on the
queue; how an attempt ends is decided by `outcome.decide` and written by `finish` alone. Work that is done is kept while
nobody can take it (`patience`).
"""

from __future__ import annotations

import os
import time
from abc import abstractmethod

from celery import Task
from celery.exceptions import Reject
from celery.exceptions import Retry as CeleryRetry

from geniequeue.config import Settings
from geniequeue.errors import (
    CancelledError,
    GenieQueueError,
    InputError,
    LedgerUnavailable,
    RecordForbidden,
    RecordsError,
    RecordsUnavailable,
    RightMissing,
    ServiceTokenRefused,
)
from geniequeue.jobs.finish import now_iso
from geniequeue.jobs.holder import Holder
from geniequeue.jobs.job import Lease, Run
from geniequeue.jobs.leases import LEASE_S
from geniequeue.jobs.outcome import Cancelled, Completed, Final, Outcome, Retry, end_without_work, snooze
from geniequeue.jobs.request import run_from_row
from geniequeue.log import bind, get_logger
from geniequeue.operations import OPERATIONS
from geniequeue.records.protocol import Records
from tasks import last_words
from tasks.attempt import Attempt
from tasks.late import undo_late_writes
from tasks.progress import Progress
from tasks.services import Services, services_for
from tasks.stopping import handing_back

UNKNOWN_OPERATION_DELAY_S = 30.0
STORE_AWAY_DELAY_S = 5.0
REDIS_AWAY_PAUSE_S = 1.0

log = get_logger(__name__)


class JobTask(Task):  # type: ignore[misc]  # celery is untyped
    """Base of the task that serves a queue; the message carries the run's id and nothing that needs to be secret."""

    abstract = True
    # the attempt decides itself when to try again, and `JobRequest` what becomes of a lost one
    max_retries = None
    reject_on_worker_lost = False
    Request = "tasks.request:JobRequest"

    @abstractmethod
    def perform(self, attempt: Attempt) -> Completed:
        """Do the work and store the outputs.

        Raises:
            JobError: the attempt failed.
            CancelledError: somebody asked for the job to stop.
        """

    def run(self, run_id: str, bull_job_id: str, request_id: str, version: int) -> None:
        """Run one attempt of the job that the message names, or drop the message."""
        del version
        last_words.forget()
        with bind(request_id=request_id, bull_job_id=bull_job_id):
            try:
                self._run_attempt(run_id, bull_job_id)
            except (LedgerUnavailable, Reject) as error:
                # nothing can be sent while Redis is away: the message itself goes back, and the lease decides later
                log.error("Redis away, message goes back to its queue", error=str(error))
                time.sleep(REDIS_AWAY_PAUSE_S)
                raise Reject(str(error), requeue=True) from error

    def _run_attempt(self, run_id: str, bull_job_id: str) -> None:
        """Run one attempt; a message that cannot be worked on now is sent again later.

        Raises:
            LedgerUnavailable, Reject: Redis is away.
        """
        try:
            attempt = self._begin(run_id, bull_job_id)
        except (LedgerUnavailable, RecordsUnavailable, RightMissing) as error:
            refused = isinstance(error, ServiceTokenRefused | RightMissing)
            tell = log.error if refused else log.warning
            tell("store away, message put back", error=str(error), refused=refused)
            raise self.retry(countdown=STORE_AWAY_DELAY_S) from error
        if attempt is not None:
            spec = attempt.run.spec
            with bind(job_id=spec.job_id, operation=spec.operation, attempt=attempt.lease.attempt):
                outcome = self._outcome(attempt)
                if isinstance(outcome, Cancelled) and handing_back():
                    self._hand_back(attempt)
                else:
                    self._end(attempt, outcome)

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
        except RecordForbidden as error:
            run = services.ledger.run_without_item(run_id, bull_job_id)
            if run is None and _is_there(services.records, "media_job_runs", run_id):
                raise _hidden(error) from None
        if run is None:
            log.warning("message dropped", why="no such run", run_id=run_id)
        return run

    def _lease(self, run: Run) -> Attempt | None:
        services = self._services()
        worker = self.request.hostname or "worker"
        # the main process renews it
        holder = str(Holder.of_process(worker, os.getppid()))
        lease = services.ledger.lease(run, worker=worker, lease_s=LEASE_S, holder=holder)
        if isinstance(lease, Lease):
            return Attempt(run, lease, services, Progress(services, run, lease.attempt))
        if lease == "paused":
            log.info("queue paused, message put back")
            raise self.retry(countdown=STORE_AWAY_DELAY_S)
        # should the holder of a leased one be dead, whoever finds that out sends another message
        log.info("message dropped", why=lease)
        return None

    def _outcome(self, attempt: Attempt) -> Outcome:
        try:
            standing = attempt.standing_end()
            if standing is not None:
                return standing
            attempt.note()
            ended = end_without_work(attempt.lease)
            if ended is not None:
                return ended
            self._say_processing(attempt)
            return self.perform(attempt)
        except GenieQueueError as error:
            attempt.peak_memory_bytes = getattr(error, "peak_memory_bytes", None) or attempt.peak_memory_bytes
            return attempt.decide(error)
        except Exception as error:
            log.exception("attempt broke")
            return attempt.decide(error)

    def _say_processing(self, attempt: Attempt) -> None:
        if attempt.run.ledger_only:
            raise _missing_item()
        if attempt.progress.should_stop():
            raise CancelledError
        log.info("attempt started", tries=attempt.lease.tries)
        records, job_id = attempt.services.records, attempt.run.spec.job_id
        try:
            records.update_item("media_jobs", job_id, {"status": "processing", "started_at": now_iso(), "progress": 0})
        except RecordForbidden as error:
            if _is_there(records, "media_jobs", job_id):
                raise _hidden(error) from None
            raise _missing_item() from None

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        if isinstance(outcome, Retry):
            self._put_off(attempt, outcome)
            return
        try:
            self._tell(attempt, outcome)
        except (LedgerUnavailable, RecordsError) as error:
            log.error("the end of the job could not be told, it is put off", error=str(error))
            self._put_off(attempt, snooze(error))

    def _tell(self, attempt: Attempt, outcome: Final, *, cancellable: bool = True) -> None:
        """Write the end of the job everywhere, unless a newer attempt has it."""
        ran_s = round(time.monotonic() - attempt.started, 3)
        if not attempt.patiently(attempt.progress.still_mine, cancellable=False):
            log.warning("attempt is stale, its result is dropped", ran_s=ran_s)
            undo_late_writes(attempt)
            return
        try:
            ended = attempt.end(outcome, cancellable=cancellable)
        except CancelledError:
            # either somebody has cancelled the job, or it is another attempt's by now
            log.info("stopped while its end could not be told")
            self._tell(attempt, Cancelled(), cancellable=False)
            return
        log.info("attempt ended", ran_s=ran_s, won=ended.won)

    def _put_off(self, attempt: Attempt, outcome: Retry) -> None:
        """Show the job as delayed, in the ledger and to Celery; the sweeper sends its message when it is due."""
        if attempt.put_off(outcome):
            cause = outcome.cause
            log.info("attempt put off", after_s=round(outcome.after_s, 1), cause=cause.code, reason=cause.reason)
            raise CeleryRetry(outcome.cause.message, when=outcome.after_s)
        undo_late_writes(attempt)

    def _hand_back(self, attempt: Attempt) -> None:
        """Put a job back that outlasts its worker, as if the attempt had not begun."""
        place = attempt.hand_back()
        log.warning("attempt handed back", ledger=place)
        if place != "back":
            undo_late_writes(attempt)

    def _services(self) -> Services:
        settings: Settings = self.app.conf.geniequeue
        return services_for(settings, os.getpid())


def _is_there(records: Records, collection: str, item_id: str) -> bool:
    """Tell whether an item exists that a store says may not be seen or changed, or may not exist.

    Raises:
        RightMissing: the service may not even look for it.
    """
    return records.count_items(collection, {"id": item_id}) > 0


def _hidden(error: RecordForbidden) -> RightMissing:
    message = f"expected the service account to {error.action} an item of {error.collection}, got a refusal"
    return RightMissing(message, collection=error.collection, action=error.action)


def _missing_item() -> InputError:
    message = "There is no media_jobs item with this id; create it before you send the job."
    return InputError(message, reason="missing_item")
