"""Whether this service can do its work now: what `/readyz` answers.

The checks run at the same time, and none is waited for longer than `WITHIN_S`: whoever watches the service gets an
answer in time, whatever hangs.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import redis

from geniequeue.config import Settings
from geniequeue.errors import LedgerUnavailable, RecordForbidden, RecordsError, ServiceTokenRefused
from geniequeue.jobs import fitness
from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.workers import Workers
from geniequeue.operations import QUEUES
from geniequeue.records.protocol import RecordStore

T = TypeVar("T")

WITHIN_S = 4.0

RECORDS_AWAY = "The record store does not answer; check DIRECTUS_URL or VAR_DIR."
TOKEN_REFUSED = "Directus answers, but refuses DIRECTUS_TOKEN; set it to the token of the service account."  # noqa: S105
WORKERS_UNKNOWN = "Not known while Redis does not answer."
QUOTA_REJECTED = "Directus refuses the service what the quota needs, so jobs go uncounted; run `geniequeue doctor`."


@dataclass(frozen=True)
class Check:
    """One thing that must hold; `message` says what to do when it does not."""

    ok: bool
    message: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """Every check by name, and what is allowed but should be known."""

    checks: dict[str, Check]
    warnings: list[str]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks.values())


class Readiness:
    """Checks Redis, records, quota, disk space and workers.

    Args:
        settings: of the service.
        store: records and files.
        ledger: of the queues.
        workers: their heartbeats.
        quota_rejected: whether the records refuse the service what the quota needs; None where it counts nothing.
    """

    def __init__(
        self,
        settings: Settings,
        store: RecordStore,
        ledger: Ledger,
        workers: Workers,
        quota_rejected: Callable[[], bool] | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger
        self._workers = workers
        self._quota_rejected = quota_rejected

    def check(self) -> Report:
        """Check everything; nothing raises."""
        until_s = time.monotonic() + WITHIN_S
        pool = ThreadPoolExecutor(thread_name_prefix="readiness")
        broker, records = pool.submit(self._redis), pool.submit(self._records)
        quota, live = pool.submit(self._quota), pool.submit(self._live)
        pool.shutdown(wait=False)
        checks = {
            "redis": _awaited(broker, until_s, Check(False, fitness.AWAY)),
            "records": _awaited(records, until_s, Check(False, RECORDS_AWAY)),
            "disk": self._disk(),
            **_awaited(quota, until_s, {}),
            **_workers(_awaited(live, until_s, None)),
        }
        return Report(checks, list(_warnings(self._settings)))

    def _redis(self) -> Check:
        why_not = fitness.unfit(self._ledger)
        if why_not is None and not self._settings.may_evict:
            try:
                policy = fitness.evicting(self._ledger.client)
            except redis.RedisError as error:
                return Check(False, fitness.sentence(error))
            why_not = fitness.evicts(policy) if policy else None
        return Check(why_not is None, why_not)

    def _records(self) -> Check:
        try:
            self._store.ping()
        except (ServiceTokenRefused, RecordForbidden):
            return Check(False, TOKEN_REFUSED)
        except RecordsError:
            return Check(False, RECORDS_AWAY)
        return Check(True)

    def _quota(self) -> dict[str, Check]:
        if self._quota_rejected is None:
            return {}
        try:
            rejected = self._quota_rejected()
        except LedgerUnavailable:
            return {}
        return {"quota": Check(not rejected, QUOTA_REJECTED if rejected else None)}

    def _live(self) -> Mapping[str, Sequence[str]] | None:
        try:
            return self._workers.live()
        except LedgerUnavailable:
            return None

    def _disk(self) -> Check:
        needed = self._settings.min_free_bytes
        free = min(_free_bytes(path) for path in (self._settings.var_dir, self._settings.media_tmp_dir))
        facts = {"free_bytes": free, "needed_bytes": needed}
        if free >= needed:
            return Check(True, facts=facts)
        message = f"Expected {needed} free bytes on disk, got {free}; delete something or lower MIN_FREE_MB."
        return Check(False, message, facts)


def _warnings(settings: Settings) -> Iterator[str]:
    """Yield what somebody allowed and had better not."""
    if not settings.sandbox:
        yield "SANDBOX=off: outside files are decoded without a jail; never run this in production."
    if settings.may_evict:
        yield "REDIS_EVICTION=allow: a full Redis may throw jobs and leases away; set its policy to noeviction instead."


def _workers(live: Mapping[str, Sequence[str]] | None) -> dict[str, Check]:
    if live is None:
        return {f"worker:{queue}": Check(False, WORKERS_UNKNOWN, {"alive": None}) for queue in QUEUES}
    return {f"worker:{queue}": _worker(queue, len(live.get(queue, []))) for queue in QUEUES}


def _worker(queue: str, alive: int) -> Check:
    message = None if alive else f"No live worker serves {queue}; start one."
    return Check(alive > 0, message, {"alive": alive})


def _awaited(answer: Future[T], until_s: float, otherwise: T) -> T:
    """Return an answer, or `otherwise` where it has not come by `until_s`; its thread ends by itself."""
    try:
        return answer.result(max(0.0, until_s - time.monotonic()))
    except TimeoutError:
        return otherwise


def _free_bytes(path: Path) -> int:
    """Return the free space where `path` is or would be made; none where it cannot be told."""
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return 0
