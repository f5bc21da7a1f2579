"""Leases of running jobs: renewed by their holder, taken away from a holder that is gone, and the job put back.

A lease is the lock `<prefix>:<queue>:<n>:lock`, `<attempt>:<holder>`, that runs out in Redis' own time. Only the newest
attempt may write, and none whose lease was taken away; the job's index tells both, in the same script that writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, cast

from geniequeue import metrics
from geniequeue.jobs import broker, keys
from geniequeue.jobs.holder import Holder
from geniequeue.jobs.job import DEFAULT_PRIORITY, MAX_PRIORITY, Run, Spec
from geniequeue.jobs.keys import QueueKeys
from geniequeue.jobs.ledger import Ledger, reachable
from geniequeue.jobs.stored import object_of
from geniequeue.scripts import Scripts

LEASE_S = 8.0

PutBack = Literal["back", "leased", "elsewhere", "not leader"]
Resent = Literal["sent", "leased", "not due", "elsewhere", "not leader"]


@dataclass(frozen=True)
class Queued:
    """A job as its ledger entry tells it: enough to lease it, to send its message, and to find its records.

    Attributes:
        index: key of its index.
        run: without params and owner, which are in the records alone.
    """

    index: str
    run: Run


@dataclass(frozen=True)
class Renewal:
    """What became of a lease that was to be renewed.

    Attributes:
        answer: `none` while its holder has none yet, `lost` when the attempt may not write any more.
        attempt: its number, '' without one.
    """

    answer: Literal["ok", "cancel", "none", "lost"]
    attempt: str = ""


@dataclass(frozen=True)
class Loss:
    """How an attempt ended that could not tell it itself.

    Attributes:
        counted: True when its worker was lost with it, False when it is as if it had not begun, None otherwise.
        evidence: for people, about the end.
        killed_for: `timeout` when the time limit struck; the next attempt ends the job for that.
    """

    counted: bool | None
    evidence: str = ""
    killed_for: Literal["", "timeout"] = ""


class Leases:
    """Leases in one Redis; every method raises `LedgerUnavailable` when Redis cannot be reached or refuses to write.

    Args:
        ledger: of the queues.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._redis = ledger.client
        self._scripts = Scripts(self._redis, "geniequeue.jobs", ("renew", "putback", "resend"))
        self._envelopes = broker.Envelopes()

    def find(self, bull: str) -> Queued | None:
        """Return a job by its `bullJobId`, None for one that the ledger does not know, or that is not ours."""
        queue, number = bull.split(":")[-2:]
        with reachable():
            stored = self._redis.hmget(self._keys(queue).job(number), ["index", "data", "priority", "name"])
        return self._queued(queue, bull, cast("list[str | None]", stored))

    def active(self, queue: str) -> list[tuple[Queued, str | None]]:
        """Return the jobs of a queue that are active, each with its lock, which lasts no longer than a lease."""
        k = self._keys(queue)
        with reachable():
            numbers = cast("list[str]", self._redis.lrange(k.active(), 0, -1))
            pipeline = self._redis.pipeline(transaction=False)
            for number in numbers:
                pipeline.hmget(k.job(number), ["index", "data", "priority", "name"])
                pipeline.get(k.lock(number))
                pipeline.pttl(k.lock(number))
            answers = pipeline.execute()
            for number, left_ms in zip(numbers, answers[2::3], strict=True):
                if left_ms > LEASE_S * 1000:  # Redis' clock was set back
                    self._redis.pexpire(k.lock(number), int(LEASE_S * 1000))
        jobs = (
            (self._queued(queue, k.job(number), stored), lock)
            for number, stored, lock in zip(numbers, answers[::3], answers[1::3], strict=True)
        )
        return [(job, lock) for job, lock in jobs if job is not None]

    def renew(self, job: Queued, attempt: str, holder: str) -> Renewal:
        """Renew a lease, or take it again where Redis lost it.

        Args:
            attempt: as the last renewal told it; '' for whatever the lock says.
        """
        k, number = self._keys(job.run.queue), job.run.number
        names = [
            *(job.index, k.job(number), k.lock(number), k.prioritized(), k.wait(), k.delayed(), k.active()),
            *(k.completed(), k.failed(), k.cancel(number)),
        ]
        answer = self._call("renew", names, [number, attempt, holder, int(LEASE_S * 1000)])
        return Renewal(*answer)

    def lock(self, job: Queued) -> str | None:
        """Return the lock of a job, None without one."""
        with reachable():
            return cast("str | None", self._redis.get(self._keys(job.run.queue).lock(job.run.number)))

    def last_holder(self, job: Queued) -> Holder | None:
        """Return who got the newest lease of a job, also after it ran out; None where Redis has forgotten."""
        with reachable():
            return Holder.parse(cast("str | None", self._redis.hget(job.index, "holder")) or "")

    def put_back(self, job: Queued, lock: str | None, loss: Loss, *, token: str = "") -> PutBack:
        """Put an active job whose attempt is over back to the front of its queue.

        Args:
            lock: as it was seen; another one means that somebody else holds the job by now.
            token: of the sweeper, where it is the one that asks.
        """
        k, number = self._keys(job.run.queue), job.run.number
        names = [
            *(job.index, k.job(number), k.lock(number), k.prioritized(), k.wait(), k.active(), k.events()),
            *(broker.broker_list(job.run), keys.sweeper(), metrics.key()),
        ]
        counted = "" if loss.counted is None else str(int(loss.counted))
        message = self._envelopes.message(job.run)
        args = [number, lock or "", message, counted, loss.evidence, loss.killed_for, token]
        return cast("PutBack", self._call("putback", names, args))

    def resend(self, job: Queued, *, token: str = "") -> Resent:
        """Send the message of a job again that waits, or whose delay is over."""
        k, number = self._keys(job.run.queue), job.run.number
        names = [
            *(job.index, k.job(number), k.lock(number), k.prioritized(), k.wait(), k.delayed(), k.events()),
            *(broker.broker_list(job.run), keys.sweeper(), metrics.key()),
        ]
        return cast("Resent", self._call("resend", names, [number, self._envelopes.message(job.run), token]))

    def due(self, queue: str, limit: int) -> Iterator[Queued]:
        """Yield at most so many delayed jobs that are due, the earliest first; entries of other programs are left."""
        k = self._keys(queue)
        with reachable():
            seconds, microseconds = self._redis.time()
            latest = (seconds * 1000 + microseconds // 1000) * 4096
            numbers = cast("list[str]", self._redis.zrangebyscore(k.delayed(), 0, latest, start=0, num=10 * limit))
        found = (self.find(k.job(number)) for number in numbers)
        yield from islice((job for job in found if job is not None), limit)

    def _queued(self, queue: str, bull: str, stored: Sequence[str | None]) -> Queued | None:
        """Read `index`, `data`, `priority`, `name` of a job's hash; None for an entry that another program made."""
        index, data, priority, name = stored
        if not index:
            return None
        about = object_of(data)
        if not {"runId", "jobId", "requestId"} <= set(about):
            # BullMQ's tools can change the data of a job, and it must be found all the same
            about = self._about(index)
        spec = Spec(name or "", about["jobId"], "", {}, priority=_priority_of(priority), request_id=about["requestId"])
        return Queued(index, Run(about["runId"], 0, queue, bull, spec, accepted_at=""))

    def _about(self, index: str) -> Mapping[str, str]:
        """Return what the index tells of a job's latest run."""
        with reachable():
            run_id = cast("str | None", self._redis.hget(index, "run"))
        return {
            "runId": run_id or "",
            "jobId": index.removeprefix(keys.job_index("")).rpartition("/")[2],
            "requestId": "",
        }

    def _keys(self, queue: str) -> QueueKeys:
        return self._ledger.queue_keys(queue)

    def _call(self, name: str, script_keys: Sequence[str], args: Sequence[Any]) -> Any:
        with reachable():
            return self._scripts.call(name, script_keys, args)


def _priority_of(stored: str | None) -> int:
    """Read a priority; BullMQ's tools write any number there."""
    return int(stored) if stored and stored.isdecimal() and int(stored) <= MAX_PRIORITY else DEFAULT_PRIORITY
