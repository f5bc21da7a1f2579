"""A waiting job whose message was lost is found, and only that one."""

from __future__ import annotations

from pathlib import Path

import pytest

from geniequeue.jobs.broker import make_app
from geniequeue.jobs.job import Lease, number_of
from geniequeue.jobs.leases import Leases, Loss
from geniequeue.jobs.messages import Messages
from geniequeue.jobs.outcome import Failed
from geniequeue.operations import MEDIA_QUEUE
from tests.core.test_producer import World


@pytest.fixture
def world(tmp_path: Path, redis_url: str) -> World:
    return World(tmp_path, redis_url)


def grow_old(world: World, *bulls: str) -> None:
    for bull in bulls:
        world.ledger.client.hset(bull, "timestamp", 0)


def lost(world: World, messages: Messages | None = None) -> list[str]:
    messages = messages or Messages(world.ledger, Leases(world.ledger))
    return [job.run.bull_job_id for job in messages.lost(MEDIA_QUEUE)]


def take_message(redis_url: str) -> None:
    """Take the next message as a worker does, and keep it."""
    channel = make_app(redis_url).connection_for_read().default_channel
    channel.basic_consume(MEDIA_QUEUE, no_ack=False, callback=[].append, consumer_tag="1")
    channel.connection.drain_events(channel.connection, timeout=5)


def test_f3_a_message_lost_between_pop_and_note_is_missed(world: World) -> None:
    bulls = [world.accept(world.item(), priority=priority) for priority in (10, 10, 0, 40)]
    grow_old(world, *bulls)
    assert lost(world) == []
    for name in ("media-jobs:10", "media-jobs"):
        world.ledger.client.rpop(name)
    assert sorted(lost(world)) == sorted([bulls[0], bulls[2]])


@pytest.mark.parametrize("clock_off_s", [0, -3600, 3600])
def test_a_message_that_a_worker_has_taken_is_not_missed_until_that_is_long_ago(
    world: World, redis_url: str, clock_off_s: int
) -> None:
    bull = world.accept(world.item())
    grow_old(world, bull)
    take_message(redis_url)
    # kombu notes the time of the worker's host
    [tag] = world.ledger.client.hkeys("unacked")
    world.ledger.client.zincrby("unacked_index", clock_off_s, tag)
    now = [0.0]
    messages = Messages(world.ledger, Leases(world.ledger), lambda: now[0])
    for now[0] in (0.0, 15.0, 45.0):
        assert lost(world, messages) == []
        assert messages.forget_dead() == 0
    now[0] = 61.0
    assert lost(world, messages) == [bull]
    assert messages.forget_dead() == 1
    assert world.ledger.client.hlen("unacked") == world.ledger.client.zcard("unacked_index") == 0


@pytest.mark.parametrize("moment", ["before the lists are read", "after it"])
def test_a_message_that_a_worker_takes_while_we_look_is_not_missed(world: World, redis_url: str, moment: str) -> None:
    grow_old(world, world.accept(world.item()))

    class Interrupted(Messages):
        """Messages of which one goes to a worker while its list is looked at."""

        def _listed(self, name: str) -> tuple[set[str], bool]:
            if moment.startswith("before"):
                take_message(redis_url)
                return super()._listed(name)
            listed = super()._listed(name)
            take_message(redis_url)
            return listed

    assert lost(world, Interrupted(world.ledger, Leases(world.ledger))) == []
    assert world.ledger.client.hlen("unacked") == 1


def test_a_message_that_a_worker_gives_back_while_we_look_is_not_missed(world: World, redis_url: str) -> None:
    grow_old(world, world.accept(world.item()))
    message = world.ledger.client.lindex("media-jobs:10", 0)
    take_message(redis_url)

    class Interrupted(Messages):
        """Messages of which one comes back from a worker after its list was looked at."""

        def _listed(self, name: str) -> tuple[set[str], bool]:
            listed = super()._listed(name)
            world.ledger.client.rpush("media-jobs:10", message)
            world.ledger.client.delete("unacked", "unacked_index")
            return listed

    assert lost(world, Interrupted(world.ledger, Leases(world.ledger))) == []


def test_what_another_program_puts_into_a_list_is_no_message(world: World) -> None:
    bull = world.accept(world.item())
    grow_old(world, bull)
    world.ledger.client.delete("media-jobs:10")
    world.ledger.client.rpush("media-jobs:10", "garbage", "[]", '"text"', '{"body": 1}')
    world.ledger.client.hset("unacked", "tag", "garbage")
    world.ledger.client.zadd("unacked_index", {"tag": 1})
    assert lost(world) == [bull]


def test_a_young_job_is_not_missed(world: World) -> None:
    world.accept(world.item())
    world.ledger.client.rpop("media-jobs:10")
    assert lost(world) == []


def test_a_job_that_had_ended_and_waits_again_is_told_apart(world: World) -> None:
    job_id = world.item()
    bull = world.accept(job_id)
    world.work(job_id, Failed("tool", "It broke."))
    k = world.ledger.queue_keys(MEDIA_QUEUE)
    world.ledger.client.zrem(k.failed(), number_of(bull))
    world.ledger.client.zadd(k.prioritized(), {number_of(bull): 1})
    world.ledger.client.hdel(bull, "finishedOn", "processedOn", "failedReason")
    world.ledger.client.delete("media-jobs:10")
    grow_old(world, bull)
    assert lost(world) == []
    messages = Messages(world.ledger, Leases(world.ledger))
    assert [job.run.bull_job_id for job in messages.retried(MEDIA_QUEUE)] == [bull]


def test_a_job_that_was_put_back_has_not_ended(world: World) -> None:
    job_id = world.item()
    bull = world.accept(job_id)
    leases = Leases(world.ledger)
    assert isinstance(world.ledger.lease(world.run_of(job_id), worker="w", lease_s=8), Lease)
    job = leases.find(bull)
    assert job is not None
    leases.put_back(job, leases.lock(job), Loss(True, "It was killed."))
    world.ledger.client.delete("media-jobs:10")
    grow_old(world, bull)
    assert lost(world) == [bull]
