"""Leases against a real Redis: renewed, taken again, taken away, and what an attempt may write then."""

from __future__ import annotations

import subprocess
import uuid

import pytest
import redis

from geniequeue.jobs.holder import Holder
from geniequeue.jobs.job import Lease, Run, Spec, run_id_of
from geniequeue.jobs.leases import LEASE_S, Leases, Loss, Queued
from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.outcome import Completed
from geniequeue.jobs.sweeper import Sweeper
from geniequeue.operations import MEDIA_QUEUE
from tests.service import await_true

BROKER_LIST = f"{MEDIA_QUEUE}:10"
HOLDER = "media@here|boot|pid:[1]|7|99"


@pytest.fixture
def leases(ledger: Ledger) -> Leases:
    return Leases(ledger)


def queued(ledger: Ledger, leases: Leases) -> tuple[Run, Queued]:
    job_id = str(uuid.uuid4())
    ledger.number_from(MEDIA_QUEUE, 0)
    bull = f"bull:{MEDIA_QUEUE}:{ledger.next_number(MEDIA_QUEUE)}"
    run = Run(run_id_of(job_id, 1), 1, MEDIA_QUEUE, bull, Spec("convert_image", job_id, "owner", {}), accepted_at="")
    ledger.accept(run, broker_list=BROKER_LIST, message="first")
    job = leases.find(bull)
    assert job is not None
    return run, job


def take(ledger: Ledger, run: Run, holder: str = HOLDER) -> Lease:
    lease = ledger.lease(run, worker="media@here", lease_s=8, holder=holder)
    assert isinstance(lease, Lease)
    return lease


def test_a_renewal_learns_the_attempt_from_the_lock_and_lengthens_the_lease(
    ledger: Ledger, leases: Leases, redis_client: redis.Redis
) -> None:
    run, job = queued(ledger, leases)
    assert leases.renew(job, "", HOLDER).answer == "none"
    take(ledger, run)
    redis_client.pexpire(f"{run.bull_job_id}:lock", 500)
    renewal = leases.renew(job, "", HOLDER)
    assert (renewal.answer, renewal.attempt) == ("ok", "1")
    assert redis_client.pttl(f"{run.bull_job_id}:lock") > 7000
    assert leases.renew(job, "1", "somebody else").answer == "lost"


def test_a_lease_that_redis_lost_is_taken_again_by_its_holder(
    ledger: Ledger, leases: Leases, redis_client: redis.Redis
) -> None:
    run, job = queued(ledger, leases)
    take(ledger, run)
    redis_client.flushdb()
    assert leases.renew(job, "1", HOLDER).answer == "ok"
    assert redis_client.get(f"{run.bull_job_id}:lock") == f"1:{HOLDER}"
    ledger.accept(run, broker_list=BROKER_LIST, message="again", least_attempt=1)
    assert leases.renew(job, "1", HOLDER).answer == "ok"
    assert redis_client.lrange(f"bull:{MEDIA_QUEUE}:active", 0, -1) == [run.number]
    assert redis_client.zcard(f"bull:{MEDIA_QUEUE}:prioritized") == 0
    assert ledger.lease(run, worker="other", lease_s=8) == "leased"
    assert ledger.progress(run, 1, 50) == "ok"


def test_an_attempt_whose_lease_was_taken_away_may_write_no_more(
    ledger: Ledger, leases: Leases, redis_client: redis.Redis
) -> None:
    run, job = queued(ledger, leases)
    attempt = take(ledger, run).attempt
    assert leases.put_back(job, None, Loss(True)) == "leased"
    assert leases.put_back(job, leases.lock(job), Loss(True, "killed")) == "back"
    assert ledger.progress(run, attempt, 50) == "stale"
    assert not ledger.delay(run, attempt, after_s=1, reason="")
    assert leases.renew(job, str(attempt), HOLDER).answer == "lost"
    assert take(ledger, run) == Lease(attempt=2, tries=2, losses=1)
    assert redis_client.hget(run.bull_job_id, "stacktrace") == '["killed"]'


def test_a_job_that_is_put_back_is_the_next_of_its_priority(
    ledger: Ledger, leases: Leases, redis_client: redis.Redis
) -> None:
    run, job = queued(ledger, leases)
    queued(ledger, leases)
    redis_client.rpop(BROKER_LIST)
    take(ledger, run)
    leases.put_back(job, leases.lock(job), Loss(counted=False))
    assert run.id in redis_client.rpop(BROKER_LIST)
    assert redis_client.zrange(f"bull:{MEDIA_QUEUE}:prioritized", 0, 0) == [run.number]
    assert take(ledger, run) == Lease(attempt=2, tries=1)
    ledger.finish(run, 2, Completed())
    assert leases.put_back(job, None, Loss(True)) == "elsewhere"


def test_a_delayed_job_is_sent_when_it_is_due_and_not_before(
    ledger: Ledger, leases: Leases, redis_client: redis.Redis
) -> None:
    run, job = queued(ledger, leases)
    ledger.delay(run, take(ledger, run).attempt, after_s=60, reason="")
    assert list(leases.due(MEDIA_QUEUE, 10)) == []
    assert leases.resend(job) == "not due"
    redis_client.zadd(f"bull:{MEDIA_QUEUE}:delayed", {run.number: 1})
    assert [due.run.id for due in leases.due(MEDIA_QUEUE, 10)] == [run.id]
    assert leases.resend(job) == "sent"
    assert take(ledger, run).tries == 2


def test_a_holder_that_ended_is_seen_to_be_gone_and_one_of_another_host_is_not() -> None:
    process = subprocess.Popen(["sleep", "60"])
    holder = Holder.of_process("media@here", process.pid)
    assert Holder.parse(str(holder)) == holder
    assert (holder.is_seen(), holder.is_gone()) == (True, False)
    process.kill()
    process.wait()
    assert (holder.is_seen(), holder.is_gone()) == (False, True)
    elsewhere = Holder("media@there", "another boot", holder.namespace, holder.pid, holder.started)
    assert (elsewhere.is_seen(), elsewhere.is_gone()) == (False, False)


def test_f46_of_two_sweepers_one_leads_and_a_dead_one_is_followed_at_once(
    ledger: Ledger, leases: Leases, redis_client: redis.Redis
) -> None:
    process = subprocess.Popen(["sleep", "60"])
    run, _ = queued(ledger, leases)
    first = Sweeper(ledger, leases, Holder.of_process("first", process.pid))
    second = Sweeper(ledger, leases, Holder.of_process("second", 1))
    first.sweep()
    take(ledger, run, str(Holder.of_process("first", process.pid)))
    assert second.sweep() == 0
    assert redis_client.get("gq:sweeper").startswith("1:first")
    process.kill()
    process.wait()
    assert second.sweep() == 1
    assert redis_client.get("gq:sweeper").startswith("2:second")


def test_a_sweeper_whose_lead_is_over_moves_nothing(ledger: Ledger, leases: Leases) -> None:
    run, job = queued(ledger, leases)
    take(ledger, run)
    assert leases.put_back(job, leases.lock(job), Loss(True), token="1:somebody before") == "not leader"


def test_f41_a_lease_that_ran_out_is_judged_only_after_everybody_could_renew_it(
    ledger: Ledger, leases: Leases, redis_client: redis.Redis
) -> None:
    now = [0.0]
    sweeper = Sweeper(ledger, leases, Holder.of_process("sweeper", 1), clock=lambda: now[0])
    run, _ = queued(ledger, leases)
    take(ledger, run)
    redis_client.delete(f"{run.bull_job_id}:lock")
    assert sweeper.sweep() == 0
    now[0] = 4.5
    assert sweeper.sweep() == 0
    now[0] = 8.5
    uptime_s = redis_client.info("server")["uptime_in_seconds"]
    assert sweeper.sweep() == (1 if uptime_s > 8 else 0)


@pytest.mark.parametrize(("lives", "losses"), [("it lives", 0), ("it is gone", 1), ("on another host", 1)], ids=str)
def test_a_lease_that_ran_out_is_a_loss_unless_its_worker_is_seen_to_live(
    ledger: Ledger, leases: Leases, redis_client: redis.Redis, lives: str, losses: int
) -> None:
    process = subprocess.Popen(["sleep", "60"])
    now = [0.0]
    sweeper = Sweeper(ledger, leases, Holder.of_process("sweeper", 1), clock=lambda: now[0])
    run, _ = queued(ledger, leases)
    take(ledger, run, HOLDER if lives == "on another host" else str(Holder.of_process("media@here", process.pid)))
    redis_client.delete(f"{run.bull_job_id}:lock")
    if lives == "it is gone":
        process.kill()
        process.wait()
    uptime_s = lambda: redis_client.info("server")["uptime_in_seconds"]  # noqa: E731
    await_true(lambda: uptime_s() > LEASE_S, 30, lambda: "Redis is too young")
    for now[0] in (0.0, 4.5, 8.5):
        moved = sweeper.sweep()
    assert moved == 1
    assert take(ledger, run) == Lease(attempt=2, tries=1 + losses, losses=losses)
    process.kill()
    process.wait()


@pytest.mark.parametrize("changed", [{"data": "{}"}, {"data": "no json"}, {"priority": "1.5"}, {"priority": "-3"}])
def test_an_entry_that_another_tool_changed_is_found_all_the_same(
    ledger: Ledger, leases: Leases, redis_client: redis.Redis, changed: dict[str, str]
) -> None:
    run, _ = queued(ledger, leases)
    take(ledger, run)
    redis_client.hset(run.bull_job_id, mapping=changed)
    [(job, lock)] = leases.active(MEDIA_QUEUE)
    assert (job.run.id, job.run.spec.job_id) == (run.id, run.spec.job_id)
    assert leases.put_back(job, lock, Loss(counted=True)) == "back"
