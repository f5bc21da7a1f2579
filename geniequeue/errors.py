"""Every error the project raises on purpose.

    GenieQueueError
    ├── SettingsError          the environment is wrong; lists every fault at once
    ├── JobError               ends an attempt; kind, reason, retryable, public message
    │   ├── InputError         the file or the params are wrong             (kind input)
    │   ├── PolicyError        too big, too many: refused by a limit        (kind policy)
    │   ├── ToolError          a library or program failed on good input    (kind tool)
    │   │   └── HostError          the worker's host let it down; retryable
    │   │       └── HostFull           it has no space to begin with: the job waits
    │   ├── VerifyError        the output is not what was promised          (kind verify)
    │   ├── TimeLimitError     the wall clock limit struck                  (kind timeout)
    │   ├── MemoryLimitError   the work needed more memory than it may  (kind oom)
    │   ├── LostError          the process that did the work died           (kind lost)
    │   └── UpstreamError      records or files could not be reached; retryable (kind upstream)
    ├── CancelledError         somebody asked for the job to stop; not a failure
    ├── RecordsError           what a record store answers
    │   ├── RecordForbidden    no such item, or not yours: the store does not tell which
    │   │   └── TokenRefused   the caller's token is not accepted
    │   │   └── RightMissing       it is the service's own account that may not do it
    │   ├── RecordNotUnique    an item with this id exists
    │   ├── RecordInvalid      the store refused the data
    │   │   └── RecordTooLarge     a file of this size, or one that takes this long, it does not take
    │   ├── MalformedSource    it holds something that the quota cannot count with
    │   └── RecordsUnavailable the store did not answer, or not in a way it should; retryable
    │       ├── ServiceTokenRefused it does not accept the service's own token
    │       └── SourceSlow         the quota did not wait for the answer any longer
    ├── LedgerUnavailable      Redis cannot be reached or refuses to write
    └── RequestRefused         the producer refuses a request: status, code, message

`kind` is the `error_code` on the record, `reason` says it more exactly, and the message is written for the person
who sent the job: what was expected, what was found, what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar


class GenieQueueError(Exception):
    """Base of every error raised on purpose."""


class SettingsError(GenieQueueError):
    """The environment does not describe a service; `faults` names each variable that is wrong."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class JobError(GenieQueueError):
    """End an attempt.

    Args:
        message: one sentence for the person who sent the job.
        reason: a stable word that says it more exactly than `kind`, such as `empty_file`.

    Attributes:
        peak_memory_bytes: of the sandboxed work that raised it, where it ran.
    """

    kind: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    peak_memory_bytes: int | None = None

    def __init__(self, message: str, *, reason: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.retry_after_s = retry_after_s


class InputError(JobError):
    """The file or the params are wrong."""

    kind = "input"


class PolicyError(JobError):
    """Too big or too many: refused by a limit."""

    kind = "policy"


class ToolError(JobError):
    """A library or program failed on good input."""

    kind = "tool"


class HostError(ToolError):
    """The worker's host let the job down: its disk is full, or files were removed; it may pass."""

    retryable = True


class HostFull(HostError):
    """The worker's host has no space to begin with: the job waits, and uses none of its tries."""


class VerifyError(JobError):
    """The output is not what was promised."""

    kind = "verify"


class TimeLimitError(JobError):
    """The wall clock limit struck."""

    kind = "timeout"


class MemoryLimitError(JobError):
    """The work needed more memory than it may."""

    kind = "oom"


class LostError(JobError):
    """The process that did the work died."""

    kind = "lost"
    retryable = True


class UpstreamError(JobError):
    """Records or files did not do what they should; it may pass."""

    kind = "upstream"
    retryable = True


JOB_ERRORS: Mapping[str, type[JobError]] = {
    error.kind: error
    for error in (
        InputError,
        PolicyError,
        ToolError,
        VerifyError,
        TimeLimitError,
        MemoryLimitError,
        LostError,
        UpstreamError,
    )
}


class CancelledError(GenieQueueError):
    """Stop the attempt: the job was cancelled."""


class RecordsError(GenieQueueError):
    """Base of what a record store answers; names collection and action."""

    def __init__(self, message: str, *, collection: str = "", action: str = "") -> None:
        super().__init__(message)
        self.collection = collection
        self.action = action


class RecordForbidden(RecordsError):
    """No such item, or the caller may not see it: a store does not tell which."""


class RightMissing(RecordForbidden):
    """The service's own account may not do what the system needs: an operator must act."""


class TokenRefused(RecordForbidden):
    """The store does not accept the caller's token, though it may have done so a moment ago."""


class RecordNotUnique(RecordsError):
    """An item with this primary key exists already."""


class RecordInvalid(RecordsError):
    """The store refused the data: unknown field, wrong type."""


class RecordTooLarge(RecordInvalid):
    """The store, or a proxy before it, does not take a file of this size, or one that takes this long."""


class RecordsUnavailable(RecordsError):
    """The store did not answer in time, or with something that is no answer."""

    def __init__(
        self, message: str, *, collection: str = "", action: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, collection=collection, action=action)
        self.retry_after_s = retry_after_s


class ServiceTokenRefused(RecordsUnavailable):
    """The store does not accept the service's own token: an operator must act, the jobs wait."""


class SourceSlow(RecordsUnavailable):
    """What the quota wanted to know did not come within its budget."""


class MalformedSource(RecordsError):
    """The records hold something that the quota cannot count with."""


class LedgerUnavailable(GenieQueueError):
    """Redis cannot be reached, or refuses to write."""


class RequestRefused(GenieQueueError):
    """Refuse a request with an HTTP status and the error body of the API.

    Args:
        status: HTTP status code.
        code: stable machine-readable word (`error` in the body).
        message: one sentence for a person.
        errors: messages by field name, for 422.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        reason: str | None = None,
        errors: Mapping[str, object] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.reason = reason
        self.errors = errors
        self.retry_after_s = retry_after_s
