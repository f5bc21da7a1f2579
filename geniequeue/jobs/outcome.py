"""How an attempt can end: a closed set, decided here and nowhere else."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from geniequeue.errors import (
    CancelledError,
    HostFull,
    JobError,
    RecordForbidden,
    RecordInvalid,
    RecordsError,
    RecordsUnavailable,
    RecordTooLarge,
    ServiceTokenRefused,
)
from geniequeue.jobs.job import Lease

MAX_LOSSES = 3
BACKOFF_BASE_S = 2.0
BACKOFF_CAP_S = 300.0
SNOOZE_S = 5.0
HOST_FULL_S = 30.0


@dataclass(frozen=True)
class Completed:
    """The outputs are stored and verified."""

    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """The job is over without an output; `message` is for the person who sent it."""

    code: str
    message: str
    reason: str | None = None


@dataclass(frozen=True)
class Retry:
    """The cause may pass: try again after some time.

    Attributes:
        counted: False where the cause has nothing to do with the job, so that it costs none of its tries.
    """

    after_s: float
    cause: Failed
    counted: bool = True


@dataclass(frozen=True)
class Cancelled:
    """Somebody asked for the job to stop."""


Final = Completed | Failed | Cancelled
Outcome = Completed | Failed | Retry | Cancelled


def decide(error: Exception, *, tries: int, max_tries: int, draw: Callable[[], float] = random.random) -> Outcome:
    """Return what an attempt that raised `error` comes to.

    Args:
        tries: attempts of this run so far, this one included.
        max_tries: attempts in all before a transient failure is final.
        draw: uniform random number in [0, 1), for the jitter.
    """
    if isinstance(error, CancelledError):
        return Cancelled()
    if isinstance(error, ServiceTokenRefused):
        return snooze(error)
    if isinstance(error, HostFull):
        return Retry(HOST_FULL_S, failure(error), counted=False)
    failed, transient, retry_after_s = _read(error)
    if transient and tries < max_tries:
        return Retry(retry_after_s if retry_after_s is not None else backoff_s(tries, draw), failed)
    return failed


def end_without_work(lease: Lease) -> Failed | None:
    """Return how a job ends that earlier attempts have shown not to end by itself, None for one that may be tried."""
    if lease.killed_for == "timeout":
        message = "The job took longer than it may, and did not heed its limit; try a smaller input."
        return Failed("timeout", message, "killed")
    if lease.losses >= MAX_LOSSES:
        message = f"The job has killed its worker {lease.losses} times, so it is not tried again."
        return Failed("poison", message, "killed_its_worker")
    return None


def snooze(error: Exception) -> Retry:
    """Return what an attempt comes to that could not run, or be told, through no fault of the job."""
    return Retry(SNOOZE_S, failure(error), counted=False)


def failure(error: Exception) -> Failed:
    """Return what a job ends with after an error that no further try would mend."""
    return _read(error)[0]


def backoff_s(tries: int, draw: Callable[[], float]) -> float:
    """Return exponential backoff with full jitter, at least a tenth of a second.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    ceiling: float = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** (tries - 1))
    return max(0.1, ceiling * draw())


def sentence(message: str) -> str:
    """Return a message as a sentence: a capital at the start, a full stop at the end."""
    return message[:1].upper() + message[1:].rstrip(".") + "."


def _read(error: Exception) -> tuple[Failed, bool, float | None]:
    if isinstance(error, JobError):
        return Failed(error.kind, sentence(error.message), error.reason), error.retryable, error.retry_after_s
    if isinstance(error, ServiceTokenRefused):
        message = "The record store does not let the service in; the job waits until its operators have mended that."
        return Failed("upstream", message, "token_refused"), True, None
    if isinstance(error, RecordsUnavailable):
        asked = f" when asked to {error.action} {error.collection}" if error.action else ""
        message = f"The record store did not answer as it should{asked}; nothing was lost, try again later."
        return Failed("upstream", message, "records_unavailable"), True, error.retry_after_s
    if isinstance(error, RecordTooLarge):
        return Failed("upstream", f"The record store did not take the output: {error}", "upstream_limit"), False, None
    if isinstance(error, RecordForbidden | RecordInvalid):
        return Failed("upstream", f"The record store refused: {error}", "records_refused"), False, None
    if isinstance(error, RecordsError):
        return Failed("upstream", f"The record store answered: {error}", None), True, None
    message = "Something went wrong inside the service; the operators can find it in the log by the job's id."
    return Failed("internal", message, None), True, None
