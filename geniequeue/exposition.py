"""What `/metrics` answers: what was counted, and what stands in Redis at the moment.

No label tells whose a job is, so it may be read without a token. Whoever asks gets an answer within 3 s: where Redis
gives none, it is `geniequeue_redis_up 0` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from geniequeue.errors import LedgerUnavailable
from geniequeue.jobs import keys
from geniequeue.jobs.ledger import Ledger, reachable
from geniequeue.jobs.messages import UNACKED
from geniequeue.jobs.priorities import STEPS
from geniequeue.jobs.workers import Workers
from geniequeue.log import get_logger
from geniequeue.metrics import Numbers, families
from geniequeue.operations import QUEUES

WITHIN_S = 2.5

log = get_logger(__name__)


class Exposition(Collector):
    """The numbers of all processes, for Prometheus.

    Args:
        ledger: of the queues.
        workers: their heartbeats.
    """

    def __init__(self, ledger: Ledger, workers: Workers) -> None:
        self._ledger = ledger
        self._workers = workers
        self._numbers = Numbers(ledger.client)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return the numbers in the form that a header `Accept` asks for, and its content type."""
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type

    def describe(self) -> Iterable[Metric]:
        """Tell nothing before it is asked, or registering would ask Redis."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return every number, or after `WITHIN_S` that Redis does not answer; its thread ends by itself."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        asked = pool.submit(lambda: list(self._asked()))
        pool.shutdown(wait=False)
        try:
            return [_up(1), *asked.result(WITHIN_S)]
        except (LedgerUnavailable, TimeoutError) as error:
            log.warning("no numbers for Prometheus", error=str(error))
            return [_up(0)]

    def _asked(self) -> Iterator[Metric]:
        yield from families(self._numbers.read())
        yield self._jobs()
        yield _by_queue("geniequeue_workers", "Workers that live.", _sizes(self._workers.live()))
        yield from self._messages()
        yield from self._memory()

    def _jobs(self) -> Metric:
        text = "Jobs in the ledger that have not ended, by state; `active` are those that hold a lease."
        family = GaugeMetricFamily("geniequeue_queue_jobs", text, labels=("queue", "state"))
        for queue, counts in self._ledger.counts().items():
            for state in ("waiting", "active", "delayed"):
                family.add_metric((queue, state), getattr(counts, state))
        return family

    def _messages(self) -> Iterator[Metric]:
        """Compare with what waits: each job that waits has a message in its list, or one that a worker has fetched."""
        with reachable():
            pipeline = self._ledger.client.pipeline(transaction=False)
            for queue in QUEUES:
                for step in range(STEPS):
                    pipeline.llen(keys.broker_list(queue, step))
            pipeline.hlen(UNACKED)
            *lengths, fetched = pipeline.execute()
        listed = {queue: sum(lengths[i * STEPS : (i + 1) * STEPS]) for i, queue in enumerate(QUEUES)}
        yield _by_queue("geniequeue_messages", "Messages that no worker has fetched.", listed)
        yield GaugeMetricFamily("geniequeue_messages_fetched", "Messages that workers hold, of all queues.", fetched)

    def _memory(self) -> Iterator[Metric]:
        with reachable():
            memory: Any = self._ledger.client.info("memory")
        yield GaugeMetricFamily("geniequeue_redis_memory_bytes", "Memory that Redis uses.", memory["used_memory"])
        limit = memory.get("maxmemory", 0)
        yield GaugeMetricFamily("geniequeue_redis_memory_limit_bytes", "Where Redis is full; 0 for no limit.", limit)


def _up(value: int) -> Metric:
    return GaugeMetricFamily("geniequeue_redis_up", "Whether Redis told these numbers.", value)


def _by_queue(name: str, text: str, values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=("queue",))
    for queue, value in values.items():
        family.add_metric((queue,), value)
    return family


def _sizes(nodes: dict[str, list[str]]) -> dict[str, int]:
    """Return how many workers live, of our queues alone: other names in Redis are no labels."""
    return {queue: len(nodes.get(queue, ())) for queue in QUEUES}
