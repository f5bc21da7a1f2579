"""The cache forgets by age and by number."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from geniequeue.cache import ExpiringCache

CALLERS = 20
WITHIN_S = 20


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


def test_what_is_known_is_told_without_loading() -> None:
    clock = Clock()
    cache: ExpiringCache[str, int] = ExpiringCache(10, 30, clock)
    assert cache.known("a") is None
    cache.get("a", lambda: 7)
    assert cache.known("a") == 7
    clock.now_s = 30
    assert cache.known("a") is None


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


def test_the_age_of_an_entry_counts_from_when_its_loading_began() -> None:
    clock = Clock()
    cache: ExpiringCache[str, int] = ExpiringCache(2, 30, clock)

    def slow() -> int:
        clock.now_s += 10
        return 1

    assert cache.get("a", slow) == 1
    clock.now_s = 29.9
    assert cache.get("a", lambda: 2) == 1
    clock.now_s = 30
    assert cache.get("a", lambda: 2) == 2


def test_what_is_put_stands_as_long_as_what_is_loaded() -> None:
    clock = Clock()
    cache: ExpiringCache[str, int] = ExpiringCache(2, 30, clock)
    cache.put("a", 1)
    assert cache.get("a", lambda: 2) == 1
    cache.put("a", 3)
    assert cache.get("a", lambda: 2) == 3
    clock.now_s = 30
    assert cache.get("a", lambda: 2) == 2


class HeldLoad:
    """A load that goes on when it is let go; counts how often it was begun."""

    def __init__(self, end: Callable[[], int]) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.times = 0
        self._end = end

    def __call__(self) -> int:
        self.times += 1
        self.begun.set()
        assert self.go_on.wait(WITHIN_S)
        return self._end()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(CALLERS) as threads:
        yield threads


class WatchedKey(str):
    """A key that tells when a further thread looks it up."""

    def __init__(self, _: str) -> None:
        self.looked_up = threading.Semaphore(0)
        self._threads: set[int] = set()

    def __hash__(self) -> int:
        if threading.get_ident() not in self._threads:
            self._threads.add(threading.get_ident())
            self.looked_up.release()
        return super().__hash__()


def ask_at_once(pool: ThreadPoolExecutor, cache: ExpiringCache[str, int], load: HeldLoad) -> list[Future[int]]:
    """Have everybody ask for one entry, and let the load end when all of them wait for it."""
    key = WatchedKey("a")
    answers = [pool.submit(cache.get, key, load) for _ in range(CALLERS)]
    assert all(key.looked_up.acquire(timeout=WITHIN_S) for _ in answers)
    assert load.begun.wait(WITHIN_S)
    load.go_on.set()
    return answers


def test_an_entry_that_many_ask_for_at_once_is_loaded_once(pool: ThreadPoolExecutor) -> None:
    cache: ExpiringCache[str, int] = ExpiringCache(2, 30, Clock())
    load = HeldLoad(lambda: 7)
    assert [answer.result(WITHIN_S) for answer in ask_at_once(pool, cache, load)] == [7] * CALLERS
    assert load.times == 1


def test_a_failure_to_load_reaches_everyone_who_waits_and_the_next_one_loads_again(pool: ThreadPoolExecutor) -> None:
    cache: ExpiringCache[str, int] = ExpiringCache(2, 30, Clock())
    load = HeldLoad(lambda: 1 // 0)
    answers = ask_at_once(pool, cache, load)
    assert {type(answer.exception(WITHIN_S)) for answer in answers} == {ZeroDivisionError}
    assert load.times == 1
    assert cache.get("a", lambda: 1) == 1


def test_a_slow_load_holds_up_nobody_who_asks_for_something_else(pool: ThreadPoolExecutor) -> None:
    cache: ExpiringCache[str, int] = ExpiringCache(2, 30, Clock())
    load = HeldLoad(lambda: 1)
    answer = pool.submit(cache.get, "a", load)
    assert load.begun.wait(WITHIN_S)
    assert cache.get("b", lambda: 2) == 2
    load.go_on.set()
    assert answer.result(WITHIN_S) == 1
