"""A small cache whose entries expire, for what may be a little old but not very."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ExpiringCache(Generic[K, V]):
    """A thread-safe map that forgets: each entry after its time, the least used one when it is full.

    However many threads ask for one missing entry at a time, it is loaded once.

    Args:
        max_entries: most entries kept.
        ttl_s: how long an entry stands, in seconds from when its loading began.
        clock: time in seconds.
    """

    def __init__(self, max_entries: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_entries = max_entries
        self._ttl_s = ttl_s
        self._clock = clock
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._loads: dict[K, Future[V]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def known(self, key: K) -> V | None:
        """Return the entry, None where it is missing or too old."""
        with self._lock:
            found = self._entries.get(key)
            return found[1] if found is not None and found[0] > self._clock() else None

    def get(self, key: K, load: Callable[[], V]) -> V:
        """Return the entry, loaded where it is missing or too old.

        What `load` raises is raised to everyone who waits for it, and not kept. `load` must come to an end by itself
        and must not ask for the same key.
        """
        with self._lock:
            found = self._entries.get(key)
            if found is not None and found[0] > self._clock():
                self._entries.move_to_end(key)
                return found[1]
            begun = self._loads.get(key)
            if begun is None:
                load_now: Future[V] = Future()
                self._loads[key] = load_now
        return begun.result() if begun is not None else self._load(key, load, load_now)

    def put(self, key: K, value: V) -> None:
        """Keep what was learnt another way, just now."""
        with self._lock:
            self._keep(key, value, self._clock())

    def _load(self, key: K, load: Callable[[], V], promise: Future[V]) -> V:
        began_s = self._clock()
        try:
            value = load()
        except BaseException as error:
            with self._lock:
                del self._loads[key]
            promise.set_exception(error)
            raise
        with self._lock:
            self._keep(key, value, began_s)
            del self._loads[key]
        promise.set_result(value)
        return value

    def _keep(self, key: K, value: V, since_s: float) -> None:
        self._entries[key] = (since_s + self._ttl_s, value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
