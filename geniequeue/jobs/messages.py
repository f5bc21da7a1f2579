"""Waiting jobs whose message is lost, and messages that dead workers left behind.

kombu pops a message and notes it in `unacked` in two steps; what is killed in between loses it. So a job at the front
of the ledger has no message when none is in its list and no worker has taken one. A job that BullMQ's tools made wait
has none either; whether it had ended before is seen from what they leave of its hash.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

from geniequeue.jobs import broker
from geniequeue.jobs.leases import Leases, Queued
from geniequeue.jobs.ledger import Ledger, reachable

UNACKED, UNACKED_INDEX = "unacked", "unacked_index"
WAITING_AT_ONCE = 100
MOST_LISTED = 5000
"""Messages of one list that are looked at; of a longer one none counts as lost until it has become shorter."""
YOUNG_S = 10.0
TAKEN_FOR_S = 60.0
"""How long a worker may keep a message that it does not work on: longer than any message is put back for."""


class Messages:
    """Compares waiting jobs with messages; every method raises `LedgerUnavailable` when Redis cannot be reached.

    How long a worker has had a message is measured here, from when it was first seen: kombu notes the time of the
    worker's host, whose clock may be another one.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, ledger: Ledger, leases: Leases, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._leases = leases
        self._redis: Any = ledger.client
        self._clock = clock
        self._first_seen: dict[str, float] = {}

    def lost(self, queue: str) -> Iterator[Queued]:
        """Yield jobs at the front of a queue that wait without a message, and still have to run."""
        return (job for job, retried in self._without_message(queue) if not retried)

    def retried(self, queue: str) -> Iterator[Queued]:
        """Yield jobs at the front of a queue that wait without a message, and had ended before."""
        return (job for job, retried in self._without_message(queue) if retried)

    def _without_message(self, queue: str) -> Iterator[tuple[Queued, bool]]:
        k = self._ledger.queue_keys(queue)
        with reachable():
            taken = self._taken()
            numbers = self._redis.lrange(k.wait(), -WAITING_AT_ONCE, -1)
            numbers += self._redis.zrange(k.prioritized(), 0, WAITING_AT_ONCE - 1)
            now_s = self._redis.time()[0]
        jobs = (self._leases.find(k.job(number)) for number in numbers)
        found = [(job, *self._past(job, now_s)) for job in jobs if job is not None]
        old = [(job, retried) for job, age_s, retried in found if age_s >= YOUNG_S and job.run.bull_job_id not in taken]
        listed = {name: self._listed(name) for name in {broker.broker_list(job.run) for job, _ in old}}
        with reachable():
            # before the lists and after them: meanwhile a message may go from a list to a worker, or back
            taken |= self._taken()
        for job, retried in old:
            messages, whole = listed[broker.broker_list(job.run)]
            if whole and job.run.bull_job_id not in messages | taken:
                yield job, retried

    def forget_dead(self) -> int:
        """Delete what workers took long ago and do not work on; return how many messages that were."""
        with reachable():
            old = [tag for tag in self._redis.zrange(UNACKED_INDEX, 0, -1) if self._is_old(tag)][:WAITING_AT_ONCE]
            stored = self._redis.hmget(UNACKED, old) if old else []
        dead = [tag for tag, message in zip(old, stored, strict=True) if not self._is_worked_on(message)]
        if dead:
            with reachable():
                self._redis.zrem(UNACKED_INDEX, *dead)
                self._redis.hdel(UNACKED, *dead)
        return len(dead)

    def _is_worked_on(self, stored: str | None) -> bool:
        bull = _bull_of(stored) if stored else None
        job = self._leases.find(bull) if bull else None
        return job is not None and self._leases.lock(job) is not None

    def _taken(self) -> set[str]:
        """Return the jobs whose messages workers have taken lately."""
        tags = self._redis.zrange(UNACKED_INDEX, 0, -1)
        now = self._clock()
        self._first_seen = {tag: self._first_seen.get(tag, now) for tag in tags}
        tags = [tag for tag in tags if not self._is_old(tag)]
        stored = self._redis.hmget(UNACKED, tags) if tags else []
        return {bull for message in stored if message and (bull := _bull_of(message))}

    def _is_old(self, tag: str) -> bool:
        """Tell whether a worker has had a message for so long that it must be working on it, or dead."""
        return self._clock() - self._first_seen.get(tag, self._clock()) > TAKEN_FOR_S

    def _listed(self, name: str) -> tuple[set[str], bool]:
        """Return the jobs of a broker list, and whether these are all."""
        with reachable():
            messages = cast("list[str]", self._redis.lrange(name, -MOST_LISTED, -1))
        return {bull for message in messages if (bull := _bull_of(message))}, len(messages) < MOST_LISTED

    def _past(self, job: Queued, now_s: int) -> tuple[float, bool]:
        """Return how long ago a waiting job was accepted in s, and whether it had ended before.

        BullMQ's retry deletes when the last try began, which we never do, and the half of the end that it knows: of a
        failed job the reason, of a completed one the value.
        """
        k = self._ledger.queue_keys(job.run.queue)
        names = ["timestamp", "returnvalue", "processedOn", "ats", "progress"]
        with reachable():
            accepted_ms, returned, began, tries, progress = self._redis.hmget(k.job(job.run.number), names)
        ended = returned is not None or (began is None and (int(tries or 0) > 0 or progress == "100"))
        return now_s - int(accepted_ms or 0) / 1000, ended


def _bull_of(stored: str) -> str | None:
    """Return the job that a message is for, None for a message of another task, or of another program.

    Args:
        stored: as it lies in a list, or, with where it came from, in `unacked`.
    """
    try:
        message = json.loads(stored)
        body = (message[0] if isinstance(message, list) else message)["body"]
        _, kwargs, _ = json.loads(base64.b64decode(body))
        bull = kwargs.get("bull_job_id")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
    return str(bull) if bull else None
