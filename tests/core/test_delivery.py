"""What is relied on of kombu's inside, so that a new one that changes it is noticed at once."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import redis
from kombu.transport import redis as kombu_redis

from geniequeue.jobs import delivery
from geniequeue.jobs.broker import make_app
from geniequeue.jobs.priorities import STEPS
from geniequeue.operations import MEDIA_QUEUE


def test_kombu_is_as_it_was_read() -> None:
    assert delivery.check() == [], "read kombu's Redis transport again, then change geniequeue/jobs/delivery.py"


def taken(redis_url: str, client: redis.Redis) -> tuple[Any, Any]:
    """Let a consumer take one of two messages; return its channel and the message."""
    app = make_app(redis_url)
    for number in (1, 2):
        app.send_task("t", args=[number], queue=MEDIA_QUEUE, priority=40)
    channel = app.connection_for_read().default_channel
    got: list[Any] = []
    channel.basic_consume(MEDIA_QUEUE, no_ack=False, callback=got.append, consumer_tag="1")
    channel.basic_qos(0, 1, False)
    channel.connection.drain_events(channel.connection, timeout=5)
    assert len(got) == 1
    return channel, got[0]


def test_a_closed_connection_gives_nothing_back(redis_url: str, redis_client: redis.Redis) -> None:
    channel, message = taken(redis_url, redis_client)
    channel.close()
    assert redis_client.llen(f"{MEDIA_QUEUE}:40") == 1
    assert redis_client.hkeys("unacked") == [message.delivery_tag]


def test_the_scan_for_old_messages_finds_none(redis_url: str, redis_client: redis.Redis) -> None:
    channel, message = taken(redis_url, redis_client)
    redis_client.zadd("unacked_index", {message.delivery_tag: time.time() - 365 * 86_400})
    channel.qos.restore_visible(num=10, interval=1)
    assert redis_client.llen(f"{MEDIA_QUEUE}:40") == 1


def test_a_rejected_message_is_the_next_one(redis_url: str, redis_client: redis.Redis) -> None:
    channel, message = taken(redis_url, redis_client)
    message.reject(requeue=True)
    assert redis_client.llen(f"{MEDIA_QUEUE}:40") == 2
    last = json.loads(redis_client.lindex(f"{MEDIA_QUEUE}:40", -1))
    assert last["properties"]["delivery_tag"] == message.delivery_tag
    assert redis_client.hlen("unacked") == 0
    assert channel.qos.can_consume()


def test_a_new_channel_can_acknowledge_what_an_old_one_took(redis_url: str, redis_client: redis.Redis) -> None:
    class Request:
        def __init__(self, message: Any) -> None:
            self.message = message

    old, message = taken(redis_url, redis_client)
    old.close()
    new = make_app(redis_url).connection_for_read().default_channel
    new.basic_qos(0, 1, False)
    assert delivery.adopt(new, [Request(message)]) == 1
    assert not new.qos.can_consume()
    message.ack()
    assert new.qos.can_consume()
    assert redis_client.hlen("unacked") == 0


def test_all_priority_steps_are_told_apart() -> None:
    make_app("redis://127.0.0.1:1/0")
    assert kombu_redis.Channel.max_priority == STEPS - 1


@pytest.mark.parametrize("mangled", ["this is not json {", "42", "[1, 2]", "null", "{}", '{"properties": null}'])
def test_what_is_no_message_is_dropped_and_the_next_one_comes(
    redis_url: str, redis_client: redis.Redis, mangled: str
) -> None:
    app = make_app(redis_url)
    app.send_task("t", args=[1], queue=MEDIA_QUEUE, priority=40)
    redis_client.rpush(f"{MEDIA_QUEUE}:40", mangled)
    channel = app.connection_for_read().default_channel
    got: list[Any] = []
    channel.basic_consume(MEDIA_QUEUE, no_ack=False, callback=got.append, consumer_tag="1")
    channel.basic_qos(0, 1, False)
    for _ in range(2):
        channel.connection.drain_events(channel.connection, timeout=5)
        if got:
            break
    assert [message.headers["task"] for message in got] == ["t"]
    assert redis_client.llen(f"{MEDIA_QUEUE}:40") == 0


def test_a_message_whose_acknowledgement_does_not_reach_redis_keeps_no_other_from_coming(
    redis_url: str, redis_client: redis.Redis
) -> None:
    channel, message = taken(redis_url, redis_client)
    assert not channel.qos.can_consume()
    redis_client.set("unacked", "no hash, so that Redis refuses")
    with pytest.raises(redis.ResponseError):
        message.ack()
    assert channel.qos.can_consume()
