"""Many who ask at once share a read, and nobody gets one that began before he asked."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from geniequeue.shared_read import SharedRead

WAIT_S = 10.0


class Source:
    """Something whose reads take as long as the test wants.

    Attributes:
        reads: how many began.
        began: one more for each read that begins.
    """

    def __init__(self) -> None:
        self.reads = 0
        self.began = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.error: Exception | None = None

    def read(self) -> int:
        self.reads += 1
        mine, error = self.reads, self.error
        self.began.release()
        assert self.may_end.acquire(timeout=WAIT_S)
        if error is not None:
            raise error
        return mine


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def shared(source: Source) -> SharedRead[int]:
    return SharedRead(source.read)


def ask(pool: ThreadPoolExecutor, shared: SharedRead[int], number: int) -> list[Future[int]]:
    """Have so many ask, and return when all of them wait for an answer."""
    asking = threading.Barrier(number + 1)

    def get() -> int:
        asking.wait(WAIT_S)
        return shared.get()

    asked = [pool.submit(get) for _ in range(number)]
    asking.wait(WAIT_S)
    return asked


def test_who_asks_while_a_read_is_under_way_gets_the_next_one(source: Source, shared: SharedRead[int]) -> None:
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(shared.get)
        assert source.began.acquire(timeout=WAIT_S)
        second = pool.submit(shared.get)
        source.may_end.release(2)
        assert (first.result(WAIT_S), second.result(WAIT_S)) == (1, 2)


def test_all_who_ask_meanwhile_share_the_next_one(source: Source, shared: SharedRead[int]) -> None:
    with ThreadPoolExecutor(21) as pool:
        first = pool.submit(shared.get)
        assert source.began.acquire(timeout=WAIT_S)
        others = ask(pool, shared, 20)
        source.may_end.release(100)
        assert first.result(WAIT_S) == 1
        assert min(other.result(WAIT_S) for other in others) == 2
    assert source.reads <= 21


def test_what_a_read_raises_reaches_its_askers_and_nobody_later(source: Source, shared: SharedRead[int]) -> None:
    source.may_end.release(2)
    source.error = ValueError("broken")
    with pytest.raises(ValueError, match="broken"):
        shared.get()
    source.error = None
    assert shared.get() == 2
