"""What `geniequeue jobs --stuck` finds, each cause made in a real Redis and a real store."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from geniequeue.errors import RecordsUnavailable
from geniequeue.jobs import fitness
from geniequeue.jobs.holder import Holder
from geniequeue.jobs.job import Lease
from geniequeue.jobs.outcome import Completed, Failed
from geniequeue.jobs.stuck import Stuck, StuckJobs
from geniequeue.jobs.workers import Workers
from geniequeue.operations import MEDIA_QUEUE, QUEUES
from tests.core.test_producer import World
from tests.redis_server import free_port
from tests.service import BIN, clean_environ

HOUR_MS = 3_600_000
BROKER_LIST = f"{MEDIA_QUEUE}:10"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the records of a service in `tmp_path` are."""
    folder = tmp_path / "records"
    folder.mkdir()
    return folder


@pytest.fixture
def world(root: Path, redis_url: str) -> Iterator[World]:
    world = World(root, redis_url)
    yield world
    world.store.close()


@pytest.fixture
def served(world: World) -> None:
    """A worker of each queue lives, and one of them sweeps."""
    Workers(world.ledger.client).beat("all@here", QUEUES)
    world.ledger.client.set("gq:sweeper", "1:all@here")


def accept(world: World, age_ms: int = HOUR_MS) -> tuple[str, str]:
    """Send a job some time ago; return its id and its `bullJobId`."""
    job_id = world.item()
    bull = world.accept(job_id)
    redis = world.ledger.client
    redis.hset(bull, "timestamp", redis.time()[0] * 1000 - age_ms)
    return job_id, bull


def lease(world: World, job_id: str, holder: str = "media@here|boot|pid:[1]|7|99") -> int:
    given = world.ledger.lease(world.run_of(job_id), worker="media@here", lease_s=8, holder=holder)
    assert isinstance(given, Lease)
    return given.attempt


def stuck(world: World, longer_than_s: float = 0) -> list[Stuck]:
    return list(StuckJobs(world.ledger, world.records, longer_than_s=longer_than_s).find())


def test_jobs_that_run_wait_their_turn_or_have_ended_are_not_stuck(world: World, served: None) -> None:
    ended, _ = accept(world)
    world.work(ended, Completed())
    failed, _ = accept(world)
    world.work(failed, Failed("input", "It is empty."))
    running, _ = accept(world)
    lease(world, running)
    accept(world)
    put_off, _ = accept(world)
    world.ledger.delay(world.run_of(put_off), lease(world, put_off), after_s=60, reason="")
    assert stuck(world) == []


def test_an_active_job_without_a_lease_is_named(world: World, served: None) -> None:
    job_id, bull = accept(world)
    lease(world, job_id)
    world.ledger.client.delete(f"{bull}:lock")
    [found] = stuck(world)
    assert (found.what, found.job_id, found.why) == (bull, job_id, "active, but its lease ran out")
    assert "sweeper" in found.advice
    world.ledger.client.delete("gq:sweeper")
    assert "start one" in stuck(world)[0].advice


def test_an_active_job_whose_worker_is_seen_to_be_gone_is_named(world: World, served: None) -> None:
    process = subprocess.Popen(["sleep", "60"])
    job_id, bull = accept(world)
    lease(world, job_id, str(Holder.of_process("media@here", process.pid)))
    assert stuck(world) == []
    process.kill()
    process.wait()
    assert [(found.what, found.why) for found in stuck(world)] == [(bull, "active, but its worker media@here is gone")]


def test_a_queue_without_a_worker_is_told_once_however_many_wait(world: World) -> None:
    for _ in range(3):
        accept(world)
    [found] = stuck(world, 60)
    assert (found.what, found.why) == (MEDIA_QUEUE, "3 waiting, one for 60 min, and no worker serves the queue")
    assert f"-Q {MEDIA_QUEUE}" in found.advice
    assert stuck(world, 2 * HOUR_MS / 1000) == []


def test_a_worker_that_hangs_is_named_and_no_second_one_is_asked_for(world: World) -> None:
    accept(world)
    Workers(world.ledger.client).beat("media@here", [MEDIA_QUEUE])
    world.ledger.client.zincrby("gq:workers", -20, f"{MEDIA_QUEUE}|media@here")
    [found] = stuck(world, 60)
    assert "no worker of the queue answers, media@here silent for 2" in found.why
    assert "it hangs: restart it" in found.advice
    assert "celery" not in found.advice


def test_a_paused_queue_is_told(world: World, served: None) -> None:
    accept(world)
    world.ledger.client.hset(f"bull:{MEDIA_QUEUE}:meta", "paused", 1)
    [found] = stuck(world, 60)
    assert "the queue is paused" in found.why


def test_a_job_that_waits_without_a_message_is_named(world: World, served: None) -> None:
    running, _ = accept(world)
    lease(world, running)
    world.ledger.client.delete(BROKER_LIST)
    job_id, bull = accept(world)
    world.ledger.client.rpop(BROKER_LIST)
    accept(world)
    assert [(found.what, found.job_id, found.why) for found in stuck(world, 60)] == [
        (bull, job_id, "waits, but its message is lost")
    ]


def test_a_worker_that_takes_nothing_is_named(world: World, served: None) -> None:
    accept(world)
    [found] = stuck(world, 60)
    assert found.why.endswith("and all@here takes none")


def test_a_moment_between_two_jobs_is_no_worker_that_takes_nothing(world: World, served: None) -> None:
    job_id, _ = accept(world)
    accept(world)
    late = threading.Timer(0.5, lease, (world, job_id))
    late.start()
    began = time.monotonic()
    assert stuck(world, 60) == []
    assert time.monotonic() - began >= 0.5
    late.join()


def test_a_delayed_job_that_is_overdue_is_named(world: World, served: None) -> None:
    job_id, bull = accept(world)
    world.ledger.delay(world.run_of(job_id), lease(world, job_id), after_s=0, reason="")
    assert stuck(world) == []
    now_ms = world.ledger.client.time()[0] * 1000
    world.ledger.client.zadd(f"bull:{MEDIA_QUEUE}:delayed", {bull.split(":")[-1]: (now_ms - HOUR_MS) * 4096})
    [found] = stuck(world)
    assert (found.what, found.job_id, found.why) == (bull, job_id, "delayed, and due for 60 min")


def put_off(world: World, job_id: str, times: int) -> None:
    for _ in range(times):
        said = {"reason": "The disk is full.", "why": "no_space", "counted": False}
        world.ledger.delay(world.run_of(job_id), lease(world, job_id), after_s=0, **said)


def test_a_job_that_is_put_off_again_and_again_is_named_with_the_reason(world: World, served: None) -> None:
    job_id, bull = accept(world)
    put_off(world, job_id, 1)
    assert stuck(world) == []
    put_off(world, job_id, 1)
    [found] = stuck(world)
    assert (found.what, found.job_id) == (bull, job_id)
    assert re.fullmatch(r"put off 2 times in \d+ s, the last time for no_space: The disk is full", found.why)
    assert stuck(world, 60) == []
    world.ledger.client.hincrby(bull, "offSince", -HOUR_MS)
    assert "2 times in 60 min" in stuck(world, 60)[0].why


def test_a_job_that_was_put_off_and_runs_or_has_ended_is_not_named(world: World, served: None) -> None:
    running, ended = accept(world)[0], accept(world)[0]
    for job_id in (running, ended):
        put_off(world, job_id, 2)
    lease(world, running)
    world.work(ended, Completed())
    assert stuck(world) == []


def test_an_accepted_run_that_redis_does_not_know_is_named(world: World) -> None:
    job_id, bull = accept(world)
    assert world.run_of(job_id).open
    world.ledger.client.flushdb()
    [found] = stuck(world)
    assert (found.what, found.job_id, found.why) == (bull, job_id, "accepted, but Redis does not know it")
    assert stuck(world, 60) == []


def test_a_job_that_another_tool_removed_is_named_with_the_way_out(world: World, served: None) -> None:
    job_id, bull = accept(world)
    world.ledger.client.delete(bull)
    world.ledger.client.zrem(f"bull:{MEDIA_QUEUE}:prioritized", bull.split(":")[-1])
    [found] = stuck(world)
    assert (found.what, found.why) == (bull, "its entry was removed from Redis by another tool")
    assert f"geniequeue cancel {job_id}" in found.advice


def test_a_row_that_nobody_can_read_is_named_and_keeps_no_other_from_it(world: World) -> None:
    [broken, _], [_, bull] = accept(world), accept(world)
    world.records.update_item("media_job_runs", world.run_of(broken).id, {"spec": {}})
    world.ledger.client.flushdb()
    found = stuck(world)
    assert [(each.job_id, each.why) for each in found if "cannot be read" in each.why] == [
        (broken, "its row in media_job_runs cannot be read")
    ]
    assert [each.what for each in found if "does not know" in each.why] == [bull]


def test_what_redis_tells_is_told_before_records_that_do_not_answer(world: World, root: Path) -> None:
    accept(world)
    found = StuckJobs(world.ledger, world.records, longer_than_s=60).find()
    world.store.close()
    root.rename(root.with_name("gone"))
    assert next(found).what == MEDIA_QUEUE
    with pytest.raises(RecordsUnavailable):
        next(found)


def command(tmp_path: Path, redis_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = clean_environ(VAR_DIR=str(tmp_path), REDIS_URL=redis_url, DIRECTUS_SECRET="s" * 40)
    return subprocess.run(
        [str(BIN / "geniequeue"), "jobs", *arguments],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_prints_a_line_each_and_exits_with_1_where_something_is_stuck(
    world: World, tmp_path: Path, redis_url: str
) -> None:
    done = command(tmp_path, redis_url, "--stuck")
    assert (done.returncode, done.stdout) == (0, "nothing is stuck\n")
    job_id, bull = accept(world)
    world.ledger.client.delete(f"gq:job:{job_id}")
    done = command(tmp_path, redis_url, "--stuck", "--longer-than", "0")
    queue, run, last = done.stdout.splitlines()
    assert (done.returncode, last) == (1, "2 stuck")
    assert queue.startswith(f"{MEDIA_QUEUE}: 1 waiting, one for 60 min, and no worker serves the queue; start one")
    assert run.startswith(f"{bull} ({job_id}): accepted, but Redis does not know it; ")
    as_json = command(tmp_path, redis_url, "--stuck", "--longer-than", "0", "--json")
    assert [json.loads(line)["what"] for line in as_json.stdout.splitlines()] == [MEDIA_QUEUE, bull]


def test_the_command_says_what_it_cannot_reach_and_what_it_does_not_take(tmp_path: Path, redis_url: str) -> None:
    away = command(tmp_path, f"redis://127.0.0.1:{free_port()}/0", "--stuck")
    assert (away.returncode, away.stdout) == (3, "")
    assert "Traceback" not in away.stderr
    assert fitness.AWAY in away.stderr
    assert command(tmp_path, redis_url, "--stuck", "--state", "failed").returncode == 2
