"""An emptied Redis is filled again from the records, on the real embedded store and a real Redis."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from geniequeue.jobs import tallies
from geniequeue.jobs.job import Lease, Run, number_of
from geniequeue.jobs.leases import LEASE_S, Leases
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.jobs.open_runs import Mark, OpenRuns
from geniequeue.jobs.outcome import Cancelled, Completed, Failed
from geniequeue.jobs.restoring import Restoring
from geniequeue.jobs.runs import Runs
from geniequeue.jobs.view import timings_of
from geniequeue.operations import MEDIA_QUEUE
from tests.core.test_producer import World

LONG_AGO = "2020-01-01T00:00:00.000Z"
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


def test_f16_a_restored_job_keeps_the_time_at_which_it_was_accepted(world: World) -> None:
    job_id = world.item()
    bull = world.accept(job_id)
    world.records.update_item("media_job_runs", world.run_of(job_id).id, {"accepted_at": LONG_AGO})
    world.ledger.client.flushdb()
    assert restored(world) == 1
    entry = world.ledger.entry(MEDIA_QUEUE, number_of(bull))
    assert entry is not None
    assert timings_of(world.records.get_item("media_jobs", job_id), entry)["accepted_at"] == LONG_AGO
    assert world.ledger.client.hget(bull, "timestamp") == "1577836800000"


def restored_again(world: World) -> int:
    return Restoring(world.records, world.ledger, world.producer.runs, at_once=2).restore()


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


@pytest.mark.parametrize("dies", [False, True], ids=["both go on", "the slower one dies"])
def test_f16_two_who_give_a_run_another_number_give_it_the_same(world: World, *, dies: bool) -> None:
    job_id = world.item()
    old = world.accept(job_id)
    run = world.run_of(job_id)
    world.ledger.client.flushdb()
    world.ledger.client.hset(old, "index", "another job's")

    class Overtaken(Runs):
        """Runs that another worker pushes, too, after the number was given and before the records hear of it."""

        def _renumbered(self, run: Run) -> Run:
            renumbered = super()._renumbered(run)
            world.producer.runs.push(run)
            fields = {"bull_job_id": renumbered.bull_job_id, "number": int(renumbered.number)}
            world.records.update_item("media_job_runs", run.id, fields)
            if dies:
                raise KeyboardInterrupt
            return renumbered

    with pytest.raises(KeyboardInterrupt) if dies else nullcontext():
        Overtaken(world.records, world.ledger, "bull").push(run)
    told = world.run_of(job_id)
    assert world.ledger.client.hget(f"gq:job:{job_id}", "bull") == told.bull_job_id != old
    assert world.records.get_item("media_jobs", job_id)["bull_job_id"] == told.bull_job_id
    assert isinstance(world.ledger.lease(told, worker="w", lease_s=8), Lease)


def test_f16_an_ended_runs_end_is_told_again_and_it_does_not_run_again(world: World) -> None:
    job_id = world.item()
    world.accept(job_id)
    world.work(job_id, Completed())
    world.ledger.client.flushdb()
    assert restored(world) == 0
    assert world.ledger.counts()[MEDIA_QUEUE].waiting == 0
    assert world.closed(job_id)


def test_f16_a_run_whose_item_was_deleted_ends_and_keeps_no_other_from_being_restored(world: World) -> None:
    gone, job_id = world.item(), world.item()
    for each in (gone, job_id):
        world.accept(each)
    world.records.delete_item("media_jobs", gone)
    world.ledger.client.flushdb()
    assert restored(world) == 1
    run = world.run_of(gone)
    result = world.producer.runs.result_of(run)
    assert result is not None
    assert (result["outcome"], result["error_code"]) == ("failed", "lost")
    assert isinstance(world.ledger.lease(world.run_of(job_id), worker="w", lease_s=8), Lease)


def test_f16_the_counters_go_on_from_what_is_on_record(world: World) -> None:
    outcomes = [Completed(), Completed(), Failed("tool", "It broke."), Cancelled()]
    jobs = [world.item() for _ in outcomes]
    for job_id, outcome in zip(jobs, outcomes, strict=True):
        world.accept(job_id)
        world.work(job_id, outcome)
    world.producer.retry(jobs[2], world.creator, "r")
    world.work(jobs[2], Failed("tool", "It broke again."))
    before = world.ledger.counts()
    assert (before[MEDIA_QUEUE].completed, before[MEDIA_QUEUE].failed, before[MEDIA_QUEUE].cancelled) == (2, 2, 1)
    world.ledger.client.flushdb()
    restored(world)
    assert world.ledger.counts() == before
    job_id = world.item()
    world.accept(job_id)
    world.work(job_id, Completed())
    restored_again(world)
    assert world.ledger.counts()[MEDIA_QUEUE].completed == 3


def test_a_job_whose_end_is_on_record_before_it_is_counted_is_counted_once(world: World) -> None:
    restored(world)
    job_id, missing = world.item(), world.item()
    for each in (job_id, missing):
        bull = world.accept(each)
    # its child dies right before the ledger hears of the end
    world.records.update_item("media_jobs", job_id, {"status": "completed"})
    world.records.update_item("media_job_runs", world.run_of(missing).id, {"accepted_at": LONG_AGO})
    world.ledger.client.delete(bull)
    assert restored_again(world) == 1
    world.work(job_id, Completed())
    assert world.ledger.counts()[MEDIA_QUEUE].completed == 1


def test_counters_that_two_workers_raise_at_once_are_raised_once(world: World, redis_url: str) -> None:
    job_id = world.item()
    world.accept(job_id)
    world.work(job_id, Completed())
    world.ledger.client.flushdb()
    both = threading.Barrier(2)

    class Together(Ledger):
        """A ledger that two workers ask at once."""

        def counted_at_least(self, queue: str, counts: Mapping[str, int]) -> None:
            both.wait(30)
            super().counted_at_least(queue, counts)

    with ThreadPoolExecutor(2) as pool:
        ledgers = [Together(connect(redis_url), "bull") for _ in range(2)]
        list(pool.map(lambda ledger: tallies.go_on(world.records, ledger, MEDIA_QUEUE), ledgers))
    assert world.ledger.counts()[MEDIA_QUEUE].completed == 1


def test_pages_of_open_runs_hold_each_once_in_order_while_runs_close(world: World) -> None:
    priorities = [10, 0, 10, 5, 10, 5, 10]
    jobs = [world.item() for _ in priorities]
    for job_id, priority in zip(jobs, priorities, strict=True):
        world.accept(job_id, priority=priority)
    runs, seen, mark = OpenRuns(world.records, at_once=2), [], Mark()
    while mark is not None:
        rows, mark = runs.page(Mark.parse(str(mark)), 0)
        seen += [row["job_id"] for row in rows]
        # what was looked at closes, as it does all the time
        for row in rows:
            world.records.update_item("media_job_runs", row["id"], {"open": False})
    assert seen == [jobs[place] for place in (1, 3, 5, 0, 2, 4, 6)]


def test_one_run_that_is_missing_lets_all_be_compared_at_once(world: World) -> None:
    jobs = [world.item() for _ in range(5)]
    bulls = [world.accept(job_id) for job_id in jobs]
    restored(world)
    for job_id in jobs:
        world.records.update_item("media_job_runs", world.run_of(job_id).id, {"accepted_at": LONG_AGO})
    for bull in bulls[1:]:
        world.ledger.client.delete(bull)
        world.ledger.client.zrem(f"bull:{MEDIA_QUEUE}:prioritized", number_of(bull))
    assert restored_again(world) == 4
    assert world.ledger.client.zrange(f"bull:{MEDIA_QUEUE}:prioritized", 0, -1) == list(map(number_of, bulls))
    assert restored_again(world) == 0


def test_two_workers_restore_each_run_once(world: World) -> None:
    for _ in range(20):
        world.accept(world.item())
    world.ledger.client.flushdb()
    workers = [Restoring(world.records, world.ledger, world.producer.runs) for _ in range(4)]
    workers[0].restore()
    world.ledger.client.decrby("gq:epoch", int(LEASE_S))
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda worker: worker.restore(), workers)) == 20
    assert world.ledger.client.llen("media-jobs:10") == world.ledger.counts()[MEDIA_QUEUE].waiting == 20
    # the lead was given back
    assert not world.ledger.client.exists("gq:restoring")


def test_who_slept_while_another_worker_took_over_restores_nothing_more(world: World) -> None:
    for _ in range(2):
        world.accept(world.item())
    world.ledger.client.flushdb()
    taken_over = threading.Event()

    class Sleeping(Runs):
        """Runs whose first restoring sleeps until its lead is somebody else's."""

        def restore(self, run: Run, forget: Callable[[], bool]) -> bool:
            if not taken_over.is_set():
                world.ledger.client.set("gq:restoring", "99:another")
                taken_over.set()
            return super().restore(run, forget)

    slow = Restoring(world.records, world.ledger, Sleeping(world.records, world.ledger, "bull"))
    assert slow.restore() == 0
    world.ledger.client.decrby("gq:epoch", int(LEASE_S))
    assert slow.restore() == 0
    assert taken_over.is_set()
    assert world.ledger.counts()[MEDIA_QUEUE].waiting == 0
    assert world.ledger.client.get("gq:restoring") == "99:another"
    world.ledger.client.delete("gq:restoring")
    assert restored_again(world) == 2


def test_f41_a_clock_of_redis_that_was_set_back_keeps_no_job_from_being_restored(world: World) -> None:
    world.accept(world.item())
    world.ledger.client.flushdb()
    restoring = Restoring(world.records, world.ledger, world.producer.runs)
    assert restoring.restore() == 0
    world.ledger.client.incrby("gq:epoch", 3600)
    assert restoring.restore() == 1
