"""The cache forgets by age and by number."""

from __future__ import annotations

import pytest

from geniequeue.cache import ExpiringCache


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_an_entry_is_loaded_once_until_its_time_is_over() -> None:
    clock, loads = Clock(), iter(range(10))
    cache: ExpiringCache[str, int] = ExpiringCache(10, 30, clock)
    assert [cache.get("a", lambda: next(loads)) for _ in range(3)] == [0, 0, 0]
    clock.now_s = 30
    assert cache.get("a", lambda: next(loads)) == 1


def test_a_full_cache_forgets_what_was_used_least_lately() -> None:
    cache: ExpiringCache[int, int] = ExpiringCache(2, 30, Clock())
    cache.get(1, lambda: 1)
    cache.get(2, lambda: 2)
    cache.get(1, lambda: 0)
    cache.get(3, lambda: 3)
    assert len(cache) == 2
    assert cache.get(1, lambda: 0) == 1
    assert cache.get(2, lambda: 0) == 0


def test_a_failure_to_load_is_not_kept() -> None:
    cache: ExpiringCache[str, int] = ExpiringCache(2, 30, Clock())
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: 1 // 0)
    assert cache.get("a", lambda: 1) == 1
