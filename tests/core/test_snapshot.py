"""The snapshot of the workers outlives trouble with Redis."""

from __future__ import annotations

import threading

import redis

from geniequeue.jobs.broker import make_app
from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.snapshot import Snapshot
from geniequeue.jobs.workers import Workers


def test_a_broker_that_is_not_there_does_not_end_the_refreshing(redis_client: redis.Redis, redis_url: str) -> None:
    workers = Workers(redis_client)
    workers.beat("media@here", ["media-jobs"])
    snapshot = Snapshot(redis_client, make_app("redis://127.0.0.1:1/0"), workers)
    stopped = threading.Event()
    thread = threading.Thread(target=snapshot.refresh_until, args=(stopped,))
    thread.start()
    thread.join(3)
    assert thread.is_alive()
    stopped.set()
    thread.join(10)
    assert not thread.is_alive()


def test_workers_that_do_not_answer_are_left_out(redis_client: redis.Redis, redis_url: str) -> None:
    workers = Workers(redis_client)
    workers.beat("media@nowhere", ["media-jobs"])
    snapshot = Snapshot(redis_client, make_app(redis_url), workers)
    snapshot.refresh()
    assert Ledger(redis_client, "bull").overview().active == {}
