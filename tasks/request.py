"""What a worker's main process does when it loses the pool child that works on a job."""

from __future__ import annotations

from typing import Any

from billiard.einfo import ExceptionWithTraceback  # type: ignore[import-untyped]
from celery.exceptions import WorkerLostError
from celery.worker.request import Request

from geniequeue.errors import LedgerUnavailable
from geniequeue.jobs.leases import Loss
from geniequeue.log import bind, get_logger
from tasks import last_words
from tasks.keeper import Keeper, Kept

LOG_CHARACTERS = 2000

log = get_logger(__name__)


class JobRequest(Request):  # type: ignore[misc]  # celery is untyped
    """A message of a job in a worker's main process.

    Celery would acknowledge the message of a lost pool child, or put it to the back of its queue while the lease of the
    dead attempt still stands. Here lease and entry are mended first, in one step with a new message at the front; then
    the old message is acknowledged. Where Redis does not answer, the lease runs out and the sweeper does the same.
    """

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """Put the job back when its pool child was lost; then let Celery do what it does about failed tasks."""
        try:
            if _is_lost(exc_info.exception):
                with bind(run_id=self.id, bull_job_id=self.kwargs["bull_job_id"]):
                    self._put_back(exc_info.exception)
        except Exception:  # Celery has to hear of the end in any case, or the worker waits for it for ever
            log.exception("job of a lost pool child not put back")
        finally:
            super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def _put_back(self, error: BaseException) -> None:
        keeper: Keeper = self.app.conf.geniequeue_keeper
        try:
            job = keeper.leases.find(self.kwargs["bull_job_id"])
            if job is None:
                log.warning("pool child lost with a job that the ledger does not know", error=str(error))
                return
            kept = keeper.about(self)
            lock = keeper.leases.lock(job)
            mine = lock if lock and lock.endswith(f":{keeper.holder}") else None
            answer: str = keeper.leases.put_back(job, mine, loss_of(kept, error))
            if answer == "elsewhere":
                # it died before it had a lease, or after it had told the end
                answer = keeper.leases.resend(job)
        except LedgerUnavailable as unavailable:
            log.error("pool child lost, and Redis is away: its job waits for its lease to end", error=str(unavailable))
        else:
            log.error("pool child lost", job=answer, error=str(error), killed_for=kept.killed_for if kept else "")


def loss_of(kept: Kept | None, error: BaseException) -> Loss:
    """Return what an attempt comes to whose pool child died, and what is known about it."""
    why = kept.killed_for if kept else ""
    if why == "stop":
        return Loss(counted=False)
    if why in ("cancel", "lost"):
        return Loss(counted=None)
    peak_mb = kept.peak_bytes / 1e6 if kept else 0.0
    attempt = kept.attempt if kept else ""
    ended = "killed at its time limit" if why == "timeout" else str(error)
    evidence = (
        f"attempt {attempt or '?'}: {ended} Peak memory: {peak_mb:.0f} MB. "
        f"Last log lines:\n{last_words.read()[-LOG_CHARACTERS:]}"
    )
    return Loss(None, evidence, "timeout") if why == "timeout" else Loss(True, evidence)


def _is_lost(error: BaseException) -> bool:
    """Tell whether a task failed because its process ended."""
    if isinstance(error, ExceptionWithTraceback):
        error = error.exc
    return isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt)
