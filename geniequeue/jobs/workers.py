"""Which workers live, by the heartbeats that their main processes write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import redis

from geniequeue.jobs import keys
from geniequeue.jobs.ledger import reachable
from geniequeue.operations import QUEUES

BEAT_S = 2.0
GONE_AFTER_S = 7.0
HANGS = "if its process still runs, it hangs: restart it"
FORGOTTEN_AFTER_S = 3600


class Workers:
    """Heartbeats in one sorted set, in Redis' own time.

    Args:
        client: connection with decoded responses.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def beat(self, node: str, queues: Sequence[str]) -> None:
        """Say that a worker lives and which queues it serves."""
        with reachable():
            now_s = self._now_s()
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.zadd(keys.workers(), dict.fromkeys((f"{queue}|{node}" for queue in queues), now_s))
            pipeline.zremrangebyscore(keys.workers(), 0, now_s - FORGOTTEN_AFTER_S)
            pipeline.expire(keys.workers(), FORGOTTEN_AFTER_S)
            pipeline.execute()

    def leave(self, node: str, queues: Sequence[str]) -> None:
        """Say that a worker stops."""
        with reachable():
            self._redis.zrem(keys.workers(), *(f"{queue}|{node}" for queue in queues))

    def live(self) -> dict[str, list[str]]:
        """Return the names of the live workers of each queue."""
        with reachable():
            members = cast("list[str]", self._redis.zrangebyscore(keys.workers(), self._now_s() - GONE_AFTER_S, "+inf"))
        nodes: dict[str, list[str]] = {queue: [] for queue in QUEUES}
        for member in members:
            queue, node = member.split("|", 1)
            nodes.setdefault(queue, []).append(node)
        return nodes

    def silent(self) -> dict[str, list[str]]:
        """Return, by queue, the workers that went silent within the hour without a goodbye, as a person is told."""
        with reachable():
            now_s = self._now_s()
            members = cast(
                "list[tuple[str, float]]",
                self._redis.zrangebyscore(keys.workers(), 0, now_s - GONE_AFTER_S, withscores=True),
            )
        said: dict[str, list[str]] = {queue: [] for queue in QUEUES}
        for member, last_s in members:
            queue, node = member.split("|", 1)
            said.setdefault(queue, []).append(f"{node} silent for {now_s - last_s:.0f} s")
        return said

    def _now_s(self) -> float:
        seconds, microseconds = self._redis.time()
        return seconds + microseconds / 1e6
