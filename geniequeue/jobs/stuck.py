"""What does not go on, and why: for the operator who asks, and for nobody else. Nothing is changed.

Most of it mends itself within a minute while a worker lives; so what is told twice, a minute apart, needs a person.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from geniequeue.jobs import keys
from geniequeue.jobs.finish import iso
from geniequeue.jobs.holder import holder_in_lock
from geniequeue.jobs.job import Run
from geniequeue.jobs.leases import Leases
from geniequeue.jobs.ledger import Ledger, reachable
from geniequeue.jobs.messages import Messages
from geniequeue.jobs.notes import ended_note
from geniequeue.jobs.request import run_from_row
from geniequeue.jobs.runs import RUN_FIELDS
from geniequeue.jobs.workers import HANGS, Workers
from geniequeue.operations import QUEUES
from geniequeue.records.protocol import Records

LOOKED_AT = 1000
"""Waiting or delayed jobs of a queue that are looked at, those that are next first."""
AT_ONCE = 100
LOOKS, LOOK_EVERY_S = 10, 0.3
OVERDUE_S = 10.0
"""How late a delayed job is before that is told: the sweeper sends it within a second or two."""


@dataclass(frozen=True)
class Stuck:
    """One job, or one queue with all that waits in it.

    Attributes:
        what: its `bullJobId`, or the name of the queue.
        job_id: '' for a queue.
        why, advice: for the operator, without an end of sentence.
    """

    what: str
    job_id: str
    why: str
    advice: str

    def __str__(self) -> str:
        return f"{self.what}{f' ({self.job_id})' if self.job_id else ''}: {self.why}; {self.advice}"


class StuckJobs:
    """Looks for what is stuck; every method raises `LedgerUnavailable` when Redis cannot be reached.

    Args:
        service: records with the service's rights.
        longer_than_s: how long a job may wait, or a run be open, before it is looked at.
    """

    def __init__(self, ledger: Ledger, service: Records, *, longer_than_s: float) -> None:
        self._ledger = ledger
        self._redis: Any = ledger.client
        self._leases = Leases(ledger)
        self._messages = Messages(ledger, self._leases)
        self._workers = Workers(ledger.client)
        self._service = service
        self._longer_than_s = longer_than_s

    def find(self) -> Iterator[Stuck]:
        """Yield what is stuck: first what Redis alone tells, then what the records know better.

        Raises:
            RecordsError: the records do not answer.
        """
        live, silent = self._workers.live(), self._workers.silent()
        for queue in QUEUES:
            yield from self._active(queue)
            yield from self._waiting(queue, live.get(queue, []), silent.get(queue, []))
            yield from self._overdue(queue)
            yield from self._put_off(queue)
        yield from self._open_runs()

    def _active(self, queue: str) -> Iterator[Stuck]:
        """Yield jobs that are active though nobody works on them."""
        for job, lock in self._leases.active(queue):
            holder = holder_in_lock(lock)
            if lock is None:
                why = "active, but its lease ran out"
            elif holder is not None and holder.is_gone():
                why = f"active, but its worker {holder.worker} is gone"
            else:
                continue
            yield Stuck(job.run.bull_job_id, job.run.spec.job_id, why, self._swept("puts it back within 10 s"))

    def _waiting(self, queue: str, workers: Sequence[str], silent: Sequence[str]) -> Iterator[Stuck]:
        """Yield a queue whose jobs wait in vain, or those of its jobs that do."""
        k = self._ledger.queue_keys(queue)
        ages_s = self._ages_s(queue)
        if not ages_s or max(ages_s) < self._longer_than_s:
            return
        waiting = self._ledger.counts()[queue]
        with reachable():
            paused = self._redis.hexists(k.meta(), "paused")
        said = f"{waiting.waiting} waiting, one for {_duration(max(ages_s))}"
        if paused:
            yield Stuck(queue, "", f"{said}, and the queue is paused", "resume it with the tool that paused it")
        elif not workers and silent:
            start = f"{HANGS}, otherwise start it"
            yield Stuck(queue, "", f"{said}, and no worker of the queue answers, {', '.join(silent)}", start)
        elif not workers:
            start = f"start one: celery -A tasks worker -Q {queue} -c 1"
            yield Stuck(queue, "", f"{said}, and no worker serves the queue", start)
        else:
            lost = list(self._messages.lost(queue))
            for job in lost:
                again = self._swept("sends it again within a minute and a half")
                yield Stuck(job.run.bull_job_id, job.run.spec.job_id, "waits, but its message is lost", again)
            if len(lost) < waiting.waiting and self._takes_none(queue):
                why = f"{said}, and {', '.join(workers)} takes none"
                yield Stuck(queue, "", why, "look into the worker's log, restart it")

    def _takes_none(self, queue: str) -> bool:
        """Tell whether nothing of a queue is active for a while: between two jobs nothing is for a moment."""
        for _ in range(LOOKS):
            if self._ledger.counts()[queue].active:
                return False
            time.sleep(LOOK_EVERY_S)
        return True

    def _ages_s(self, queue: str) -> list[float]:
        """Return for how long the jobs wait that are next."""
        k = self._ledger.queue_keys(queue)
        with reachable():
            numbers = self._redis.lrange(k.wait(), -LOOKED_AT, -1) + self._redis.lrange(k.paused(), -LOOKED_AT, -1)
            numbers += self._redis.zrange(k.prioritized(), 0, LOOKED_AT - 1)
            pipeline = self._redis.pipeline(transaction=False)
            for number in numbers:
                pipeline.hget(k.job(number), "timestamp")
            accepted_ms = pipeline.execute()
            now_s = self._now_s()
        return [now_s - int(each) / 1000 for each in accepted_ms if each]

    def _overdue(self, queue: str) -> Iterator[Stuck]:
        """Yield delayed jobs whose time has come without their being sent."""
        k = self._ledger.queue_keys(queue)
        with reachable():
            now_s = self._now_s()
            latest = (now_s - OVERDUE_S) * 1000 * 4096
            due = self._redis.zrangebyscore(k.delayed(), 0, latest, start=0, num=LOOKED_AT, withscores=True)
        for number, score in due:
            job = self._leases.find(k.job(number))
            if job is not None:
                why = f"delayed, and due for {_duration(now_s - score / 4096 / 1000)}"
                yield Stuck(job.run.bull_job_id, job.run.spec.job_id, why, self._swept("sends it within seconds"))

    def _put_off(self, queue: str) -> Iterator[Stuck]:
        """Yield delayed jobs that were put off more than once, for longer than they may."""
        k = self._ledger.queue_keys(queue)
        with reachable():
            numbers = self._redis.zrange(k.delayed(), 0, LOOKED_AT - 1)
            pipeline = self._redis.pipeline(transaction=False)
            for number in numbers:
                pipeline.hmget(k.job(number), "offs", "offSince", "why", "failedReason")
            answers = pipeline.execute()
            now_s = self._now_s()
        for number, (times, since_ms, word, message) in zip(numbers, answers, strict=True):
            age_s = now_s - int(since_ms or now_s * 1000) / 1000
            job = self._leases.find(k.job(number)) if int(times or 0) > 1 and age_s >= self._longer_than_s else None
            if job is not None:
                said = f"{word}: {message}" if word else message
                why = f"put off {times} times in {_duration(age_s)}, the last time for {said.rstrip('.')}"
                yield Stuck(job.run.bull_job_id, job.run.spec.job_id, why, "mend that, it goes on by itself")

    def _open_runs(self) -> Iterator[Stuck]:
        """Yield accepted runs that the ledger has forgotten."""
        before = iso(datetime.now(UTC) - timedelta(seconds=self._longer_than_s))
        where, offset = {"open": True, "accepted_at": {"_lte": before}}, 0
        while True:
            rows = self._service.list_items(
                "media_job_runs", where, sort=("accepted_at", "id"), limit=AT_ONCE, offset=offset, fields=RUN_FIELDS
            )
            runs = []
            for row in rows:
                try:
                    runs.append(run_from_row(row))
                except (KeyError, TypeError, AttributeError, IndexError):
                    why = "its row in media_job_runs cannot be read"
                    yield Stuck(
                        str(row["bull_job_id"]), str(row["job_id"]), why, "mend the row, or set `open` to false"
                    )
            yield from self._unknown(runs)
            if len(rows) < AT_ONCE:
                return
            offset += AT_ONCE

    def _unknown(self, runs: Sequence[Run]) -> Iterator[Stuck]:
        with reachable():
            pipeline = self._redis.pipeline(transaction=False)
            for run in runs:
                pipeline.hget(keys.job_index(run.key), "round")
                pipeline.exists(run.bull_job_id)
                pipeline.sismember(keys.ended_runs(), ended_note(run))
            answers = pipeline.execute()
        for run, round_, entry, ended in zip(runs, answers[::3], answers[1::3], answers[2::3], strict=True):
            if ended or int(round_ or 0) > run.round:
                continue
            if int(round_ or 0) < run.round:
                why, advice = "accepted, but Redis does not know it", self._swept("sends it again within two minutes")
            elif not entry:
                why = "its entry was removed from Redis by another tool"
                advice = f"if that stays so, geniequeue cancel {run.spec.job_id}, and send it as a new job"
            else:
                continue
            yield Stuck(run.bull_job_id, run.spec.job_id, why, advice)

    def _swept(self, does: str) -> str:
        """Return what mends it, or what to do where nobody is there to mend anything."""
        with reachable():
            sweeps = self._redis.exists(keys.sweeper())
        return f"the sweeper {does}, look again then" if sweeps else "no worker lives that would mend it, start one"

    def _now_s(self) -> float:
        seconds, microseconds = self._redis.time()
        return float(seconds + microseconds / 1e6)


def _duration(seconds: float) -> str:
    """Return a duration as a person says it."""
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"
