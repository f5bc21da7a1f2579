"""Other programs on our queues: BullMQ's Workers take no job, and what others have added fails."""

from __future__ import annotations

from typing import Any

from geniequeue.jobs import keys
from geniequeue.jobs.ledger import Ledger, reachable
from geniequeue.log import get_logger
from geniequeue.operations import QUEUES
from geniequeue.scripts import Scripts

AT_ONCE = 100
REASON = "This queue takes jobs from geniequeue's API alone; another program added this one, and nothing runs it."

log = get_logger(__name__)


class Strangers:
    """Keeps other programs out; every method raises `LedgerUnavailable` when Redis cannot be reached.

    Args:
        ledger: of the queues.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._redis: Any = ledger.client
        self._scripts = Scripts(ledger.client, "geniequeue.jobs", ("refuse",))

    def keep_out(self) -> None:
        """Let BullMQ's Workers run no job of any queue, also where an operator has allowed it."""
        with reachable():
            pipeline = self._redis.pipeline(transaction=False)
            for queue in QUEUES:
                pipeline.hget(self._ledger.queue_keys(queue).meta(), "concurrency")
            for queue, allowed in zip(QUEUES, pipeline.execute(), strict=True):
                if allowed != "0":
                    self._redis.hset(self._ledger.queue_keys(queue).meta(), "concurrency", 0)
                    log.info("BullMQ's workers are kept from a queue", queue=queue, allowed=allowed)

    def refuse(self, queue: str, token: str) -> int:
        """Fail what others have added to a queue and what is next in it; return how many jobs that were.

        Args:
            token: of the sweeper.
        """
        return sum(self._refuse(queue, number, token) for number in self._strange(queue))

    def _strange(self, queue: str) -> list[str]:
        k = self._ledger.queue_keys(queue)
        with reachable():
            numbers = [
                *self._redis.lrange(k.wait(), -AT_ONCE, -1),
                *self._redis.lrange(k.paused(), -AT_ONCE, -1),
                *self._redis.zrange(k.prioritized(), 0, AT_ONCE - 1),
                *self._redis.zrange(k.delayed(), 0, AT_ONCE - 1),
                *self._redis.lrange(k.active(), 0, AT_ONCE - 1),
            ]
            pipeline = self._redis.pipeline(transaction=False)
            for number in numbers:
                pipeline.hexists(k.job(number), "index")
            return [number for number, ours in zip(numbers, pipeline.execute(), strict=True) if not ours]

    def _refuse(self, queue: str, number: str, token: str) -> bool:
        k = self._ledger.queue_keys(queue)
        names = [
            *(k.job(number), k.lock(number), k.prioritized(), k.wait(), k.paused(), k.delayed(), k.active()),
            *(k.failed(), k.events(), keys.sweeper()),
        ]
        with reachable():
            refused = self._scripts.call("refuse", names, [number, REASON, token]) == "refused"
        if refused:
            log.warning("a job that another program added is refused", queue=queue, number=number)
        return bool(refused)
