"""Chores are done by one worker at a time, and trouble with one is told once and harms no other."""

from __future__ import annotations

import pytest
import redis
from structlog.testing import capture_logs

from geniequeue.errors import RecordsUnavailable
from geniequeue.jobs.chores import Chore, do_if_due


class Work:
    """A chore's work, which may go wrong."""

    def __init__(self) -> None:
        self.done = 0
        self.error: Exception | None = None

    def __call__(self) -> int:
        if self.error:
            raise self.error
        self.done += 1
        return 1


@pytest.fixture
def work() -> Work:
    return Work()


def turn_over(client: redis.Redis) -> None:
    client.delete("gq:turn:sweeping")


def test_a_chore_is_done_once_in_its_time_whoever_looks(redis_client: redis.Redis, work: Work) -> None:
    chore = Chore("sweeping", 60, work)
    for _ in range(3):
        do_if_due(redis_client, chore, set())
    assert work.done == 1
    assert 0 < redis_client.pttl("gq:turn:sweeping") <= 60_000
    turn_over(redis_client)
    do_if_due(redis_client, chore, set())
    assert work.done == 2


def test_trouble_is_told_once_until_it_is_over(redis_client: redis.Redis, work: Work) -> None:
    chore, in_trouble = Chore("sweeping", 60, work), set[str]()
    work.error = RecordsUnavailable("no answer")
    with capture_logs() as lines:
        for error in (work.error, work.error, None, work.error):
            work.error = error
            do_if_due(redis_client, chore, in_trouble)
            turn_over(redis_client)
    assert [line["event"] for line in lines] == ["chore not done", "chore done", "chore not done"]


def test_a_chore_that_breaks_does_not_end_the_thread(redis_client: redis.Redis, work: Work) -> None:
    work.error = ZeroDivisionError()
    with capture_logs() as lines:
        do_if_due(redis_client, Chore("sweeping", 60, work), set())
    assert [(line["event"], line["log_level"]) for line in lines] == [("chore broke", "error")]
