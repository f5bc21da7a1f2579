"""Two sweepers on one Redis: one works, the other idles, and one that slept changes nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from geniequeue.jobs.holder import Holder
from geniequeue.jobs.job import Lease, Run, Spec, run_id_of
from geniequeue.jobs.leases import Leases, Queued, Resent
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.jobs.sweeper import Sweeper
from geniequeue.operations import MEDIA_QUEUE
from tests.service import await_true

MESSAGES = f"{MEDIA_QUEUE}:10"


def sweep_again_and_again(redis_url: str, name: str) -> None:
    """Sweep until the process is killed; note in Redis how often, and how many jobs were moved."""
    client = connect(redis_url)
    ledger = Ledger(client, "bull")
    sweeper = Sweeper(ledger, Leases(ledger), Holder.of_process(name, os.getpid()))
    while True:
        client.incrby(f"moved:{name}", sweeper.sweep())
        client.incr(f"looks:{name}")
        time.sleep(0.02)


@contextmanager
def sweeping(redis_url: str, name: str) -> Iterator[int]:
    """Run a sweeper in a process of its own; yield its pid."""
    process = multiprocessing.get_context("spawn").Process(
        target=sweep_again_and_again, args=(redis_url, name), daemon=True
    )
    process.start()
    assert process.pid is not None
    try:
        yield process.pid
    finally:
        process.kill()
        process.join()


def due_job(ledger: Ledger) -> Run:
    """Return a job that was put off until now."""
    job_id = str(uuid.uuid4())
    ledger.number_from(MEDIA_QUEUE, 0)
    bull = f"bull:{MEDIA_QUEUE}:{ledger.next_number(MEDIA_QUEUE)}"
    run = Run(run_id_of(job_id, 1), 1, MEDIA_QUEUE, bull, Spec("convert_image", job_id, "owner", {}), accepted_at="")
    ledger.accept(run, broker_list="elsewhere", message="first")
    lease = ledger.lease(run, worker="w", lease_s=8)
    assert isinstance(lease, Lease)
    assert ledger.delay(run, lease.attempt, after_s=0, reason="")
    return run


@pytest.fixture
def leases(ledger: Ledger) -> Leases:
    return Leases(ledger)


def test_f46_one_sweeper_works_and_when_it_sleeps_the_other_until_that_sleeps(
    ledger: Ledger, redis_client: redis.Redis, redis_url: str
) -> None:
    def leads(name: str) -> bool:
        return f":{name}|" in (redis_client.get("gq:sweeper") or "")

    def await_messages(count: int) -> None:
        await_true(lambda: redis_client.llen(MESSAGES) >= count, 30, lambda: "a due job is not sent")

    def await_looks(name: str) -> None:
        key = f"looks:{name}"
        since = int(redis_client.get(key) or 0)
        await_true(lambda: int(redis_client.get(key) or 0) >= since + 3, 30, lambda: f"{name} does not sweep")

    with sweeping(redis_url, "first") as pid:
        await_true(lambda: leads("first"), 30, lambda: "nobody leads")
        with sweeping(redis_url, "second"):
            await_looks("second")
            for _ in range(10):
                due_job(ledger)
            await_messages(10)
            os.kill(pid, signal.SIGSTOP)
            await_true(lambda: leads("second"), 30, lambda: "nobody takes the lead over")
            for _ in range(10):
                due_job(ledger)
            await_messages(20)
            os.kill(pid, signal.SIGCONT)
            await_looks("first")
            assert leads("second")
            await_looks("second")
            assert redis_client.mget("moved:first", "moved:second") == ["10", "10"]
            assert redis_client.llen(MESSAGES) == 20


def test_f46_a_sweeper_that_sleeps_in_the_middle_of_a_sweep_changes_nothing_when_it_wakes_up(
    ledger: Ledger, leases: Leases, redis_client: redis.Redis
) -> None:
    other = Sweeper(ledger, leases, Holder.of_process("other", os.getpid()))
    answers: list[str] = []

    class Sleeping(Leases):
        """Leases of a sweeper that falls asleep before it moves a job; meanwhile the other one takes over."""

        def resend(self, job: Queued, *, token: str = "") -> Resent:
            if not answers:
                redis_client.delete("gq:sweeper")
                assert other.sweep() == 3
            answers.append(super().resend(job, token=token))
            return answers[-1]  # type: ignore[return-value]

    for _ in range(3):
        due_job(ledger)
    asleep = Sweeper(ledger, Sleeping(ledger), Holder.of_process("asleep", os.getpid()))
    assert asleep.sweep() == 0
    assert answers == ["not leader"] * 3
    assert redis_client.llen(MESSAGES) == 3
    assert asleep.sweep() == 0


def test_f2_a_sweeper_that_may_not_judge_yet_leaves_the_lead_to_one_who_may(ledger: Ledger, leases: Leases) -> None:
    now = [0.0]

    def sweeper(name: str) -> Sweeper:
        holder = Holder("w", "another boot", name, 1, "1")
        return Sweeper(ledger, leases, holder, clock=lambda: now[0], modest=True)

    def leads(name: str) -> bool:
        return f"|{name}|" in (ledger.client.get("gq:sweeper") or "")

    old, new = sweeper("old"), sweeper("new")
    old.sweep()
    assert not leads("old")
    old.sweep()
    assert leads("old")
    now[0] = 9.0
    ledger.client.delete("gq:sweeper")
    new.sweep()
    assert not leads("new")
    old.sweep()
    assert leads("old")
    ledger.client.delete("gq:sweeper")
    new.sweep()
    new.sweep()
    assert leads("new")
