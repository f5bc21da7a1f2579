"""What is counted while jobs move, and what Prometheus is told of it."""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from geniequeue.exposition import Exposition
from geniequeue.jobs.holder import Holder
from geniequeue.jobs.job import Lease, Run, Spec, run_id_of
from geniequeue.jobs.leases import Leases, Loss, Queued
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.jobs.outcome import Cancelled, Completed, Failed
from geniequeue.jobs.sweeper import Sweeper
from geniequeue.jobs.workers import Workers
from geniequeue.metrics import QUOTA_UNVERIFIED, Numbers
from geniequeue.operations import MEDIA_QUEUE
from tests.redis_server import free_port, running_redis

BROKER_LIST = f"{MEDIA_QUEUE}:10"
NUMBERS = itertools.count(1)
CONVERT = {"operation": "convert_image"}


class Told:
    """The samples of one scrape."""

    def __init__(self, exposition: Exposition) -> None:
        text = exposition.text("text/plain")[0].decode()
        self.samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Return one sample, 0 where there is none."""
        return next((s.value for s in self.samples if s.name == f"geniequeue_{name}" and s.labels == labels), 0.0)

    def total(self, name: str) -> float:
        """Return the sum over all labels."""
        return sum(sample.value for sample in self.samples if sample.name == f"geniequeue_{name}")


@pytest.fixture
def leases(ledger: Ledger) -> Leases:
    return Leases(ledger)


@pytest.fixture
def exposition(ledger: Ledger) -> Exposition:
    return Exposition(ledger, Workers(ledger.client))


def queued(ledger: Ledger, leases: Leases, operation: str = "convert_image") -> tuple[Run, Queued]:
    job_id = str(uuid.uuid4())
    bull = f"bull:{MEDIA_QUEUE}:{next(NUMBERS)}"
    run = Run(run_id_of(job_id, 1), 1, MEDIA_QUEUE, bull, Spec(operation, job_id, "owner", {}), accepted_at="")
    ledger.accept(run, broker_list=BROKER_LIST, message="message")
    job = leases.find(bull)
    assert job is not None
    return run, job


def take(ledger: Ledger, run: Run, holder: str = "media@here|boot|pid:[1]|7|99") -> int:
    lease = ledger.lease(run, worker="media@here", lease_s=8, holder=holder)
    assert isinstance(lease, Lease)
    return lease.attempt


def test_ended_jobs_are_counted_by_operation_outcome_and_code(
    ledger: Ledger, leases: Leases, exposition: Exposition
) -> None:
    for outcome in (Completed(), Completed(), Failed("input", "It is empty.", "empty_file"), Cancelled()):
        run, _ = queued(ledger, leases)
        attempt = take(ledger, run)
        assert ledger.finish(run, attempt, outcome) == "ok"
        # an end is told again when its answer was lost
        assert ledger.finish(run, attempt, outcome) == "final"
    waiting, _ = queued(ledger, leases, "resize_image")
    ledger.finish(waiting, None, Cancelled())
    told = Told(exposition)
    assert told.value("jobs_total", **CONVERT, outcome="completed", code="") == 2
    assert told.value("jobs_total", **CONVERT, outcome="failed", code="input") == 1
    assert told.value("jobs_total", **CONVERT, outcome="cancelled", code="") == 1
    assert told.value("jobs_total", operation="resize_image", outcome="cancelled", code="") == 1
    assert told.total("jobs_total") == 5
    assert told.value("attempts_total", **CONVERT) == 4
    assert told.value("job_run_seconds_count", operation="resize_image") == 0


def test_waiting_running_and_memory_fall_into_buckets(
    ledger: Ledger, leases: Leases, exposition: Exposition, redis_client: redis.Redis
) -> None:
    now_ms = redis_client.time()[0] * 1000
    for seconds, peak_bytes in ((0, 1), (4, 1 << 26), (10, (1 << 26) + 1), (100_000, 1 << 40)):
        run, _ = queued(ledger, leases)
        attempt = take(ledger, run)
        redis_client.hset(run.bull_job_id, "processedOn", now_ms - seconds * 1000)
        ledger.finish(run, attempt, Completed({"peak_memory_bytes": peak_bytes}))
    told = Told(exposition)
    ran = {le: told.value("job_run_seconds_bucket", **CONVERT, le=le) for le in ("2.0", "8.0", "16.0", "+Inf")}
    # up to 1 s passes between reading the time and the last end
    assert ran == {"2.0": 1, "8.0": 2, "16.0": 3, "+Inf": 4}
    assert 100_014 <= told.value("job_run_seconds_sum", **CONVERT) < 100_034
    peaks = [
        told.value("job_peak_memory_bytes_bucket", **CONVERT, le=str(float(1 << power))) for power in (24, 25, 26, 27)
    ]
    assert peaks == [1, 1, 2, 3]
    assert told.value("job_peak_memory_bytes_count", **CONVERT) == 4
    assert told.value("job_wait_seconds_count", **CONVERT) == 4
    assert told.value("job_wait_seconds_bucket", **CONVERT, le="8192.0") == 4


def test_only_the_first_attempt_of_a_job_has_waited(ledger: Ledger, leases: Leases, exposition: Exposition) -> None:
    run, job = queued(ledger, leases)
    ledger.delay(run, take(ledger, run), after_s=0, reason="")
    ledger.delay(run, take(ledger, run), after_s=0, reason="", counted=False)
    leases.resend(job)
    told = Told(exposition)
    assert told.value("job_wait_seconds_count", **CONVERT) == 1
    assert told.value("attempts_total", **CONVERT) == 2
    assert told.value("attempts_put_off_total", **CONVERT, counted="yes") == 1
    assert told.value("attempts_put_off_total", **CONVERT, counted="no") == 1
    assert told.value("messages_resent_total", **CONVERT, why="due") == 1


def test_a_job_whose_first_attempt_did_not_count_has_waited_once(
    ledger: Ledger, leases: Leases, exposition: Exposition
) -> None:
    run, _ = queued(ledger, leases)
    for _ in range(2):
        ledger.delay(run, take(ledger, run), after_s=0, reason="", counted=False)
    told = Told(exposition)
    assert told.value("attempts_total", **CONVERT) == 2
    assert told.value("job_wait_seconds_count", **CONVERT) == 1


def test_f6_messages_that_are_dropped_are_counted_by_why(
    ledger: Ledger, leases: Leases, exposition: Exposition
) -> None:
    run, _ = queued(ledger, leases)
    attempt = take(ledger, run)
    assert [ledger.lease(run, worker="other", lease_s=8) for _ in range(3)] == ["leased"] * 3
    ledger.finish(run, attempt, Completed())
    assert ledger.lease(run, worker="other", lease_s=8) == "final"
    told = Told(exposition)
    assert told.value("messages_dropped_total", **CONVERT, why="leased") == 3
    assert told.value("messages_dropped_total", **CONVERT, why="final") == 1
    assert told.value("attempts_total", **CONVERT) == 1


def test_lost_leases_are_counted_by_who_mended_them_and_why(
    ledger: Ledger, leases: Leases, exposition: Exposition
) -> None:
    run, job = queued(ledger, leases)
    for loss in (Loss(True, "SIGKILL"), Loss(False), Loss(None), Loss(None, "too long", "timeout")):
        take(ledger, run)
        assert leases.put_back(job, leases.lock(job), loss) == "back"
        assert leases.put_back(job, None, loss) == "elsewhere"
    process = subprocess.Popen(["sleep", "60"])
    take(ledger, run, str(Holder.of_process("media@here", process.pid)))
    process.kill()
    process.wait()
    assert Sweeper(ledger, leases, Holder.of_process("sweeper", 1)).sweep() == 1
    leases.resend(job)
    told = Told(exposition)
    for why in ("lost", "handed_back", "killed", "timeout"):
        assert told.value("attempts_put_back_total", **CONVERT, by="worker", why=why) == 1
    assert told.value("attempts_put_back_total", **CONVERT, by="sweeper", why="lost") == 1
    assert told.value("messages_resent_total", **CONVERT, why="message_lost") == 1


def test_what_stands_in_redis_is_told_by_queue(ledger: Ledger, leases: Leases, exposition: Exposition) -> None:
    Workers(ledger.client).beat("media@here", [MEDIA_QUEUE])
    for _ in range(3):
        run, _ = queued(ledger, leases)
    ledger.client.rpop(BROKER_LIST)
    take(ledger, run)
    told = Told(exposition)
    depth = {state: told.value("queue_jobs", queue=MEDIA_QUEUE, state=state) for state in ("waiting", "active")}
    assert depth == {"waiting": 2, "active": 1}
    assert told.value("messages", queue=MEDIA_QUEUE) == 2
    assert told.value("workers", queue=MEDIA_QUEUE) == 1
    assert told.value("redis_up") == 1
    assert told.value("redis_memory_bytes") > 100_000


def test_what_another_version_counted_is_left_out(exposition: Exposition, redis_client: redis.Redis) -> None:
    odd = {"from_tomorrow|x": 1, "attempts|a|b|c": 1, "wait_s|7": 1, "jobs": 1}
    redis_client.hset("gq:metrics", mapping=odd)
    Numbers(redis_client).count(QUOTA_UNVERIFIED, "slow")
    told = Told(exposition)
    assert told.value("quota_unverified_total", cause="slow") == 1
    assert told.total("attempts_total") + told.total("jobs_total") + told.total("job_wait_seconds_count") == 0


def test_what_is_no_number_of_ours_is_left_out(exposition: Exposition, redis_client: redis.Redis) -> None:
    redis_client.hset(
        "gq:metrics",
        mapping={
            "jobs|convert_image|completed|": 1,
            "jobs|a|b|c": "1.5",
            "attempts|a": "9" * 5000,
            "wait_s": 1,
            "wait_s|a|0": "1.5",
            "wait_s|a|1": 2,
            "wait_s|a|sum": "1.5",
            "wait_s|b|sum": "nan",
            "wait_s|c|1": "\u0661",
        },
    )
    told = Told(exposition)
    assert told.total("jobs_total") == told.value("jobs_total", **CONVERT, outcome="completed", code="") == 1
    assert told.total("attempts_total") == 0
    assert (told.value("job_wait_seconds_count", operation="a"), told.total("job_wait_seconds_count")) == (2, 2)
    assert told.value("job_wait_seconds_sum", operation="a") == told.total("job_wait_seconds_sum") == 1.5


def test_a_number_that_cannot_be_counted_stops_no_job(
    ledger: Ledger, leases: Leases, exposition: Exposition, redis_client: redis.Redis
) -> None:
    fields = ["attempts|convert_image", "wait_s|convert_image|sum", "jobs|convert_image|completed|"]
    redis_client.hset("gq:metrics", mapping=dict.fromkeys(fields, "spoilt"))
    run, _ = queued(ledger, leases)
    assert ledger.finish(run, take(ledger, run), Completed()) == "ok"
    told = Told(exposition)
    assert told.total("attempts_total") + told.total("jobs_total") + told.value("job_wait_seconds_sum", **CONVERT) == 0
    assert told.value("job_run_seconds_count", **CONVERT) == 1


@pytest.fixture
def deep() -> Iterator[list[Any]]:
    """A list in a list in a list, deeper than Redis reads JSON."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    yield json.loads("[" * 2000 + "]" * 2000)
    sys.setrecursionlimit(before)


def test_a_result_that_redis_cannot_read_is_counted_all_the_same(
    ledger: Ledger, leases: Leases, exposition: Exposition, deep: list[Any], redis_client: redis.Redis
) -> None:
    run, _ = queued(ledger, leases)
    assert ledger.finish(run, take(ledger, run), Completed({"facts": deep})) == "ok"
    assert redis_client.smembers("gq:ended-runs") == {f"{run.id}/{run.spec.job_id}"}
    assert Told(exposition).value("jobs_total", **CONVERT, outcome="completed", code="") == 1


@pytest.mark.parametrize("spoil", ["full", "replica"])
def test_f18_f20_a_redis_that_takes_no_writes_still_tells_its_numbers(tmp_path: Path, spoil: str) -> None:
    with running_redis(tmp_path) as url:
        client = connect(url)
        ledger = Ledger(client, "bull")
        queued(ledger, Leases(ledger))
        if spoil == "full":
            client.config_set("maxmemory", 1)
        else:
            client.replicaof("127.0.0.1", free_port())
        told = Told(Exposition(ledger, Workers(client)))
        assert told.value("queue_jobs", queue=MEDIA_QUEUE, state="waiting") == 1
        assert told.value("redis_memory_limit_bytes") == (1 if spoil == "full" else 0)


def test_redis_that_is_away_or_silent_is_told_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (free_port(), silent.getsockname()[1]):
            ledger = Ledger(connect(f"redis://127.0.0.1:{port}/0"), "bull")
            began = time.monotonic()
            told = Told(Exposition(ledger, Workers(ledger.client)))
            assert time.monotonic() - began < 3.5
            assert [(sample.name, sample.value) for sample in told.samples] == [("geniequeue_redis_up", 0.0)]
