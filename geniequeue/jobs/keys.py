"""Every Redis key, one function each.

The ledger has BullMQ's layout under `<prefix>:<queue>:`, so that BullMQ's own clients read our queues. Nothing else may
lie under that prefix, because their maintenance deletes what it does not know; everything of ours is under `gq:`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass


@dataclass(frozen=True)
class QueueKeys:
    """Keys of one queue's ledger.

    Attributes:
        prefix: `LEDGER_PREFIX`, `bull` unless set.
        queue: name of the queue.
    """

    prefix: str
    queue: str

    def _key(self, name: str) -> str:
        return f"{self.prefix}:{self.queue}:{name}"

    def job(self, number: str) -> str:
        """Hash of one job; its name is the `bullJobId`."""
        return self._key(number)

    def lock(self, number: str) -> str:
        """String `<attempt>:<holder>` that expires: the lease; the holder begins with the worker's name."""
        return self._key(f"{number}:lock")

    def number(self) -> str:
        """Counter of job numbers."""
        return self._key("id")

    def largest(self) -> str:
        """Largest job number that was given or is on record; gone when Redis was emptied."""
        return f"gq:largest:{self.queue}"

    def prioritized(self) -> str:
        """Sorted set of waiting jobs with a priority above 0."""
        return self._key("prioritized")

    def priority_counter(self) -> str:
        """Counter that keeps first in, first out within one priority."""
        return self._key("pc")

    def wait(self) -> str:
        """List of waiting jobs of priority 0; the right end is next."""
        return self._key("wait")

    def paused(self) -> str:
        """List that old BullMQ clients rename `wait` to; read, never written."""
        return self._key("paused")

    def active(self) -> str:
        """List of jobs that hold a lease."""
        return self._key("active")

    def delayed(self) -> str:
        """Sorted set of jobs that wait for a time: score = due in ms times 4096."""
        return self._key("delayed")

    def completed(self) -> str:
        """Sorted set of completed jobs by time of finish in ms."""
        return self._key("completed")

    def failed(self) -> str:
        """Sorted set of failed and cancelled jobs by time of finish in ms."""
        return self._key("failed")

    def meta(self) -> str:
        """Hash of the queue's own settings."""
        return self._key("meta")

    def events(self) -> str:
        """Stream of what happened."""
        return self._key("events")

    def connection_name(self, node: str) -> str:
        """Name of a worker's Redis connection, by which BullMQ clients know that the queue is served."""
        return f"{self.prefix}:{base64.b64encode(self.queue.encode()).decode()}:w:{node}"

    def counts(self) -> str:
        """Hash of counters `completed`, `failed`, `cancelled` that retention does not lower."""
        return f"gq:counts:{self.queue}"

    def cancel(self, number: str) -> str:
        """Flag: somebody asked for this job to stop."""
        return f"gq:cancel:{self.queue}:{number}"


def job_index(job_key: str) -> str:
    """Hash `run`, `round`, `bull`, `attempt` of a job's latest run; `job_key` from `job.job_key`.

    `over` is an attempt that may write no more though no newer one has begun, `asked` the call that got the lease,
    `holder` the process that got it.
    """
    return f"gq:job:{job_key}"


def ended_runs() -> str:
    """Set `<run>/<job>` of runs that have ended everywhere but for their own row, which says open still."""
    return "gq:ended-runs"


def leftovers() -> str:
    """Sorted set `<file>/<job>` of files that are to be removed, by when that was tried last in s, Redis time."""
    return "gq:leftovers"


def late_rows() -> str:
    """Time and id of the last announced output that was looked at a second time."""
    return "gq:late-rows"


def given_up(run_id: str) -> str:
    """When the acceptance of a run was given up, in s of Redis time."""
    return f"gq:given-up:{run_id}"


def renumbered(run_id: str, number: str) -> str:
    """The number that a run has instead of one that another job got, the same for all who push it; expires."""
    return f"gq:renumbered:{run_id}:{number}"


def turn(chore: str) -> str:
    """Stands as long as nobody may do a periodic chore again."""
    return f"gq:turn:{chore}"


def epoch() -> str:
    """When this Redis was first seen, in s of its own time; gone when it was emptied."""
    return "gq:epoch"


def restored() -> str:
    """Hash `all`: the records' open runs were all compared once in this epoch; `after`: the mark to look on from."""
    return "gq:restored"


def restoring() -> str:
    """Names the one worker that restores, with a token of its own for each time that the lead is taken."""
    return "gq:restoring"


def restoring_leads() -> str:
    """Counter of the times that this lead was taken: the first part of each token."""
    return "gq:restoring:leads"


def sweeper() -> str:
    """Names the one worker that sweeps, with a token of its own for each time that the lead is taken."""
    return "gq:sweeper"


def sweeper_leads() -> str:
    """Counter of the times that the lead was taken: the first part of each token."""
    return "gq:sweeper:leads"


def ping() -> str:
    """Written to see whether Redis takes writes."""
    return "gq:ping"


def workers() -> str:
    """Sorted set `<queue>|<worker>` by time of the last heartbeat in s, Redis time."""
    return "gq:workers"


def snapshot() -> str:
    """JSON of what the workers last answered to `inspect`."""
    return "gq:snapshot"


def snapshot_lock() -> str:
    """Chooses the one process that asks the workers."""
    return "gq:snapshot:lock"


def taxonomy() -> str:
    """Hash `generation`, `hits`, `misses`, `size` of the taxonomy cache, shared by all processes."""
    return "gq:taxonomy"


def rate(user_id: str, kind: str) -> str:
    """When the requests of one kind that a user has sent are used up, in us of Redis time; expires then."""
    return f"gq:rate:{kind}:{user_id}"


def broker_list(queue: str, step: int) -> str:
    """List that a worker of `queue` pops for one priority step, as kombu names it."""
    return f"{queue}:{step}" if step else queue
