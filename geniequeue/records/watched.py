"""A store that tells before each write of the service where a fault may strike; for tests alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from geniequeue.faults import reach
from geniequeue.records.protocol import Records, RecordStore

_NAMED_BY_COLLECTION = frozenset({"create_item", "create_items", "update_item", "update_items", "delete_item"})
_WRITES = _NAMED_BY_COLLECTION | {"upload", "delete_file"}


def watched(store: RecordStore) -> RecordStore:
    """Return a store of the same records; its points are named as in `records.create_item.media_job_runs`."""
    return cast("RecordStore", _Store(store))


class _Store:
    def __init__(self, store: RecordStore) -> None:
        self._store = store

    def as_service(self) -> Records:
        """Return the service's records, watched."""
        return cast("Records", _Records(self._store.as_service()))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _Records:
    def __init__(self, records: Records) -> None:
        self._records = records

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._records, name)
        return _telling(name, member) if name in _WRITES else member


def _telling(name: str, write: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(write)
    def told(*args: Any, **kwargs: Any) -> Any:
        reach(f"records.{name}.{args[0]}" if name in _NAMED_BY_COLLECTION else f"records.{name}")
        return write(*args, **kwargs)

    return told
