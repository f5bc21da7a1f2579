"""The time that a request may wait for Redis, against a real Redis behind a slow line."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextvars import copy_context

import pytest

from geniequeue import redis_budget
from geniequeue.errors import LedgerUnavailable
from geniequeue.jobs.ledger import Ledger, connect
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


def test_calls_share_what_a_request_may_wait(slow: Ledger) -> None:
    redis_budget.allow(0.5)
    began = time.monotonic()
    slow.next_number(MEDIA_QUEUE)
    slow.ping()
    with pytest.raises(LedgerUnavailable):
        slow.next_number(MEDIA_QUEUE)
    assert time.monotonic() - began < 0.6
    with pytest.raises(LedgerUnavailable, match="no time left"):
        slow.ping()
    assert time.monotonic() - began < 0.7


def test_a_number_that_came_too_late_is_not_read_as_the_answer_to_another_call(slow: Ledger, proxy: RedisProxy) -> None:
    redis_budget.allow(0.1)
    with pytest.raises(LedgerUnavailable):
        slow.next_number(MEDIA_QUEUE)
    redis_budget.unlimited()
    proxy.delay_s = 0.0
    assert slow.counts()[MEDIA_QUEUE].waiting == 0


def test_time_that_is_spent_elsewhere_costs_nothing(proxy: RedisProxy) -> None:
    ledger = Ledger(connect(proxy.url), "bull")
    redis_budget.allow(0.3)
    time.sleep(0.4)
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
