"""An emptied Redis is filled again from the records, on the real embedded store and a real Redis."""

from __future__ import annotations

from pathlib import Path

import pytest

from geniequeue.jobs.job import Lease, number_of
from geniequeue.jobs.leases import LEASE_S, Leases
from geniequeue.jobs.outcome import Completed
from geniequeue.jobs.restoring import Restoring
from geniequeue.operations import MEDIA_QUEUE
from tests.core.test_producer import World

HOLDER = "media@here|boot|pid:[1]|7|99"


@pytest.fixture
def world(tmp_path: Path, redis_url: str) -> World:
    return World(tmp_path, redis_url)


def restored(world: World) -> int:
    """Restore as soon as that may be."""
    restoring = Restoring(world.records, world.ledger, world.producer.runs)
    assert restoring.restore() == 0
    world.ledger.client.decrby("gq:epoch", int(LEASE_S))
    return restoring.restore()


def test_f16_all_jobs_wait_again_in_their_order_under_their_numbers(world: World) -> None:
    priorities = [10, 5, 10, 0]
    bulls = {world.accept(world.item(), priority=priority): priority for priority in priorities}
    world.ledger.client.flushdb()
    assert restored(world) == 4
    assert world.ledger.counts()[MEDIA_QUEUE].waiting == 4
    tens = [bull for bull, priority in bulls.items() if priority == 10]
    waiting = world.ledger.client.zrange(f"bull:{MEDIA_QUEUE}:prioritized", 0, -1)
    assert waiting[1:] == [number_of(bull) for bull in tens]
    assert int(world.ledger.next_number(MEDIA_QUEUE)) == 5
    assert restored_again(world) == 0


def restored_again(world: World) -> int:
    return Restoring(world.records, world.ledger, world.producer.runs).restore()


def test_f16_a_job_that_runs_meanwhile_is_not_sent_to_another_worker(world: World) -> None:
    job_id = world.item()
    bull = world.accept(job_id)
    run, leases = world.producer.runs.latest(job_id), Leases(world.ledger)
    assert run is not None
    job = leases.find(bull)
    assert job is not None
    world.ledger.lease(run, worker="media@here", lease_s=8, holder=HOLDER)
    world.ledger.client.flushdb()
    leases.renew(job, "1", HOLDER)
    restored(world)
    assert world.ledger.lease(run, worker="other", lease_s=8) == "leased"
    assert leases.renew(job, "1", HOLDER).answer == "ok"
    assert world.ledger.finish(run, 1, Completed()) == "ok"


def test_f16_attempt_numbers_go_on_above_those_on_record(world: World) -> None:
    job_id = world.item()
    world.accept(job_id)
    run = world.producer.runs.latest(job_id)
    assert run is not None
    world.records.update_item("media_job_runs", run.id, {"attempt": 4})
    world.ledger.client.flushdb()
    restored(world)
    assert world.ledger.lease(run, worker="w", lease_s=8) == Lease(attempt=5, tries=1)


def test_f16_a_job_sent_before_anything_is_restored_gets_a_number_above_all_on_record(world: World) -> None:
    for _ in range(11):
        newest = world.item()
        world.accept(newest)
    # as by a clock that is behind: the largest number is not the newest run's
    world.records.update_item("media_job_runs", world.run_of(newest).id, {"accepted_at": "2020-01-01T00:00:00.000Z"})
    world.ledger.client.flushdb()
    assert world.accept(world.item()) == f"bull:{MEDIA_QUEUE}:12"
    assert restored(world) == 11


def test_f16_a_number_that_another_program_took_is_not_taken_from_it(world: World) -> None:
    first = world.item()
    old = world.accept(first)
    world.ledger.client.flushdb()
    world.ledger.client.hset(old, "index", "another job's")
    assert restored(world) == 1
    run = world.producer.runs.latest(first)
    assert run is not None
    assert run.bull_job_id != old
    assert isinstance(world.ledger.lease(run, worker="w", lease_s=8), Lease)
