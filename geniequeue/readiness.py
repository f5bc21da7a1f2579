"""Whether this service can do its work now: what `/readyz` answers and `doctor` prints."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geniequeue.config import Settings
from geniequeue.errors import LedgerUnavailable, RecordsError
from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.workers import Workers
from geniequeue.operations import QUEUES
from geniequeue.records.protocol import RecordStore


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
    """Checks Redis, records, disk space and workers.

    Args:
        settings: of the service.
        store: records and files.
        ledger: of the queues.
        workers: their heartbeats.
    """

    def __init__(self, settings: Settings, store: RecordStore, ledger: Ledger, workers: Workers) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger
        self._workers = workers

    def check(self) -> Report:
        """Check everything; nothing raises."""
        checks = {
            "redis": _holds(self._ledger.ping, "Redis does not answer or refuses to write; start it, check REDIS_URL."),
            "records": _holds(self._store.ping, "The record store does not answer; check DIRECTUS_URL or VAR_DIR."),
            "disk": self._disk(),
            **self._queues(),
        }
        sandbox_off = "SANDBOX=off: outside files are decoded without a jail; never run this in production."
        return Report(checks, [] if self._settings.sandbox else [sandbox_off])

    def _disk(self) -> Check:
        needed = self._settings.min_free_bytes
        free = min(_free_bytes(path) for path in (self._settings.var_dir, self._settings.media_tmp_dir))
        facts = {"free_bytes": free, "needed_bytes": needed}
        if free >= needed:
            return Check(True, facts=facts)
        message = f"Expected {needed} free bytes on disk, got {free}; delete something or lower MIN_FREE_MB."
        return Check(False, message, facts)

    def _queues(self) -> dict[str, Check]:
        try:
            live = self._workers.live()
        except LedgerUnavailable:
            live = {}
        return {f"worker:{queue}": _worker(queue, len(live.get(queue, []))) for queue in QUEUES}


def _worker(queue: str, alive: int) -> Check:
    message = None if alive else f"No live worker serves {queue}; start one."
    return Check(alive > 0, message, {"alive": alive})


def _holds(probe: Callable[[], None], message: str) -> Check:
    try:
        probe()
    except (LedgerUnavailable, RecordsError):
        return Check(False, message)
    return Check(True)


def _free_bytes(path: Path) -> int:
    """Return the free space where `path` is or would be made; none where it cannot be told."""
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return 0
