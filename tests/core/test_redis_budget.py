"""The time that a request may wait for Redis, against a real Redis behind a slow line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
import redis

from geniequeue import redis_budget
from geniequeue.errors import LedgerUnavailable
from geniequeue.jobs.ledger import REDIS_TIMEOUT_S, Ledger, connect
from geniequeue.operations import MEDIA_QUEUE
from tests.redis_proxy import RedisProxy, redis_proxy


@pytest.fixture
def proxy(redis_url: str) -> Iterator[RedisProxy]:
    with redis_proxy(redis_url) as running:
        yield running
    redis_budget.unlimited()


@pytest.fixture
def slow(proxy: RedisProxy) -> Ledger:
    """A ledger whose connections stand, and wait 0.2 s for every answer."""
    ledger = Ledger(connect(proxy.url), "bull")
    ledger.ping()
    ledger.next_number(MEDIA_QUEUE)
    proxy.delay_s = 0.2
    return ledger


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time stand still but for what the test lets pass; a machine that is busy takes none of the budget."""
    now = [0.0]

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now[0]

    monkeypatch.setattr(redis_budget, "time", Clock)

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def test_calls_share_what_a_request_may_wait(
    proxy: RedisProxy, waited: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(connect(proxy.url), "bull")
    ledger.ping()
    allowed: list[float] = []
    read = redis.Connection.read_response

    def slowly(connection: redis.Connection, *args: Any, **kwargs: Any) -> Any:
        allowed.append(round(kwargs["timeout"], 3))
        waited(0.2)
        return read(connection, *args, **kwargs)

    monkeypatch.setattr(redis.Connection, "read_response", slowly)
    redis_budget.allow(0.5)
    for _ in range(3):
        ledger.ping()
    assert allowed == [0.5, 0.3, 0.1]
    with pytest.raises(LedgerUnavailable, match="no time left"):
        ledger.ping()
    assert len(allowed) == 3


def test_a_call_waits_no_longer_than_is_left(slow: Ledger, proxy: RedisProxy) -> None:
    proxy.delay_s = 60.0
    redis_budget.allow(0.5)
    began = time.monotonic()
    with pytest.raises(LedgerUnavailable):
        slow.ping()
    # the connection itself would wait for 2.5 s, and the answer takes a minute
    assert 0.4 < time.monotonic() - began < REDIS_TIMEOUT_S
    with pytest.raises(LedgerUnavailable, match="no time left"):
        slow.ping()


def test_a_number_that_came_too_late_is_not_read_as_the_answer_to_another_call(slow: Ledger, proxy: RedisProxy) -> None:
    redis_budget.allow(0.1)
    with pytest.raises(LedgerUnavailable):
        slow.next_number(MEDIA_QUEUE)
    redis_budget.unlimited()
    proxy.delay_s = 0.0
    assert slow.counts()[MEDIA_QUEUE].waiting == 0


def test_time_that_is_spent_elsewhere_costs_nothing(proxy: RedisProxy, waited: Callable[[float], None]) -> None:
    ledger = Ledger(connect(proxy.url), "bull")
    redis_budget.allow(0.3)
    waited(0.4)
    ledger.ping()


def test_a_thread_of_the_request_shares_its_time_and_another_one_does_not(slow: Ledger) -> None:
    redis_budget.allow(0.1)
    raised: dict[str, bool] = {}

    def ask(name: str) -> None:
        try:
            slow.ping()
            raised[name] = False
        except LedgerUnavailable:
            raised[name] = True

    threads = [
        threading.Thread(target=copy_context().run, args=(ask, "same")),
        threading.Thread(target=ask, args=("other",)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == {"same": True, "other": False}
