"""A job as the parts of the system hand it on, and the ids derived from it."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from geniequeue.quota.verdict import Unit

State = Literal["waiting", "delayed", "active", "completed", "failed", "cancelled"]
ShownState = Literal["created", "waiting", "delayed", "active", "completed", "failed", "cancelled"]
"""What a caller is shown: a job is `created` when it has an item that was never accepted onto a queue."""
FINAL_STATES = frozenset({"completed", "failed", "cancelled"})
DEFAULT_PRIORITY = 10
RETRY_PRIORITY = 5
MAX_PRIORITY = 2_097_151
SPEC_VERSION = 1

_NAMESPACE = uuid.UUID("6f1d3f0a-6b0e-5f0b-9d53-2f8f6f1b7a10")


@lru_cache(maxsize=256)
def run_id_of(job_id: str, round_: int) -> str:
    """Return the id of a job's run; the same for whoever computes it, so that only one can create it."""
    return str(uuid.uuid5(_NAMESPACE, f"run:{job_id}:{round_}"))


def output_id_of(secret: str, job_id: str, attempt: int, number: int) -> str:
    """Return the id of an attempt's output file, so that no attempt overwrites another's.

    Args:
        secret: keeps others from taking the id first; users may choose the ids of their files.
    """
    digest = hmac.digest(secret.encode(), f"output:{job_id}:{attempt}:{number}".encode(), "sha256")
    return str(uuid.UUID(bytes=digest[:16], version=5))


def job_key(job_id: str, ledger_only_user: str | None = None) -> str:
    """Return a job's name in the index; a job without an item is kept per user, so that nobody can squat an id."""
    return f"{ledger_only_user}/{job_id}" if ledger_only_user else job_id


def bull_job_id(prefix: str, queue: str, number: str) -> str:
    """Return `bull:<queue>:<n>`, the key of the job's hash in the ledger."""
    return f"{prefix}:{queue}:{number}"


def number_of(bull_id: str) -> str:
    """Return the last part of a `bullJobId`."""
    return bull_id.rsplit(":", 1)[1]


@dataclass(frozen=True)
class Spec:
    """What was accepted, frozen: the worker runs this and nothing that was written to the item later.

    Attributes:
        operation: name in the registry.
        job_id: id of the `media_jobs` item.
        owner_id: user who owns the item, hence the outputs.
        params: validated, defaults filled in.
        priority: 0 to 2097151, lower first.
        folder_id: where the outputs go; None for none.
        request_id: of the request that was accepted; log lines carry it.
        attempts_before: attempts of the job's earlier runs, so that numbers go on growing.
        input_bytes: sizes of the input files on record when they were checked, by role.
        unit: what it uses of the owner's quota; None for what is not counted.
        quota: `unverified` where the quota could not be asked.
    """

    operation: str
    job_id: str
    owner_id: str
    params: Mapping[str, Any]
    priority: int = DEFAULT_PRIORITY
    input_file_id: str | None = None
    input_url: str | None = None
    creator_profile_id: str | None = None
    folder_id: str | None = None
    request_id: str = ""
    attempts_before: int = 0
    input_bytes: Mapping[str, int] = field(default_factory=dict)
    unit: Unit | None = None
    quota: Literal["unverified"] | None = None
    version: int = SPEC_VERSION

    def as_json(self) -> dict[str, Any]:
        """Return the members as stored in `media_job_runs.spec`."""
        return {**vars(self), "unit": self.unit.as_json() if self.unit else None}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Spec:
        """Read a stored spec; members that a newer version wrote are left out."""
        members = {name: stored[name] for name in cls.__dataclass_fields__ if name in stored}
        return cls(**members | {"unit": Unit.from_json(members["unit"]) if members.get("unit") else None})

    def differences(self, other: Spec) -> list[str]:
        """Return the members in which two requests for one job differ."""
        compared = ("operation", "input_file_id", "input_url", "params", "creator_profile_id", "priority")
        return [name for name in compared if getattr(self, name) != getattr(other, name)]


@dataclass(frozen=True)
class Run:
    """One accepted round of a job: the row in `media_job_runs`.

    Attributes:
        id: from job and round.
        round: 1 for the first, one more for each retry by the user.
        bull_job_id: key of its ledger entry.
        open: until it has a result.
        ledger_only: the item did not exist; there is no row, and the worker fails the job.
    """

    id: str
    round: int
    queue: str
    bull_job_id: str
    spec: Spec
    accepted_at: str
    open: bool = True
    ledger_only: bool = False

    @property
    def number(self) -> str:
        """The job's number in its queue's ledger."""
        return number_of(self.bull_job_id)

    @property
    def key(self) -> str:
        """The job's name in the index."""
        return job_key(self.spec.job_id, self.spec.owner_id if self.ledger_only else None)


@dataclass(frozen=True)
class Lease:
    """The right to run a job; only the newest attempt may write.

    Attributes:
        attempt: grows over all runs of the job.
        tries: attempts of this run so far, this one included.
        losses: how often a worker was lost with the job.
        killed_for: `timeout` when the attempt before was killed for its time limit.
    """

    attempt: int
    tries: int
    losses: int = 0
    killed_for: str = ""


@dataclass(frozen=True)
class Entry:
    """A job as the ledger has it.

    Attributes:
        state: from the one set the job lies in; `cancelled` is a failed one with that reason.
        progress: 0 to 100.
        timestamp_ms, processed_ms, finished_ms: accepted, last start, end; None where it did not happen.
        failed_reason: why it failed, or why it was put off the last time; a sentence.
        why: the same of its being put off, as a word.
    """

    state: State
    name: str
    progress: float
    tries: int
    timestamp_ms: int
    processed_ms: int | None
    finished_ms: int | None
    failed_reason: str | None
    why: str | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    job_id: str = ""
