"""Leases when Redis was away, is full, or has another time than before."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis

from geniequeue.errors import LedgerUnavailable
from geniequeue.jobs import keys
from geniequeue.jobs.chores import Chore, do_if_due
from geniequeue.jobs.holder import Holder
from geniequeue.jobs.job import Lease
from geniequeue.jobs.leases import LEASE_S, Leases, Queued
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.jobs.sweeper import GAP_S, LEAD_S, Sweeper
from tests.core.test_leases import HOLDER, queued, take
from tests.redis_proxy import redis_proxy
from tests.service import await_true


@pytest.fixture
def leases(ledger: Ledger) -> Leases:
    return Leases(ledger)


@pytest.fixture
def full_redis(redis_client: redis.Redis) -> Iterator[redis.Redis]:
    """Redis, which takes no write that needs memory once it was told so."""
    yield redis_client
    redis_client.config_set("maxmemory", "0")


def lock_of(job: Queued) -> str:
    return f"{job.run.bull_job_id}:lock"


def test_a_lease_lost_before_its_first_renewal_is_taken_again_by_its_holder(
    ledger: Ledger, leases: Leases, redis_client: redis.Redis
) -> None:
    run, job = queued(ledger, leases)
    take(ledger, run)
    redis_client.delete(lock_of(job))
    assert leases.renew(job, "", "media@there|boot|pid:[1]|8|99").answer == "none"
    renewal = leases.renew(job, "", HOLDER)
    assert (renewal.answer, renewal.attempt) == ("ok", "1")
    assert redis_client.get(lock_of(job)) == f"1:{HOLDER}"


def test_no_lease_is_taken_again_of_an_attempt_that_was_put_off(ledger: Ledger, leases: Leases) -> None:
    run, job = queued(ledger, leases)
    ledger.delay(run, take(ledger, run).attempt, after_s=60, reason="")
    assert leases.renew(job, "", HOLDER).answer == "none"
    assert leases.lock(job) is None


def test_f18_a_lease_is_renewed_and_taken_again_while_the_memory_of_redis_is_full(
    ledger: Ledger, leases: Leases, full_redis: redis.Redis
) -> None:
    run, job = queued(ledger, leases)
    take(ledger, run)
    full_redis.pexpire(lock_of(job), 500)
    full_redis.config_set("maxmemory", "1")
    assert leases.renew(job, "1", HOLDER).answer == "ok"
    assert full_redis.pttl(lock_of(job)) > 7000
    full_redis.delete(lock_of(job))
    assert leases.renew(job, "1", HOLDER).answer == "ok"


def test_f17_a_lease_whose_answer_was_lost_is_given_all_the_same_and_once(
    ledger: Ledger, leases: Leases, redis_url: str
) -> None:
    run, _ = queued(ledger, leases)
    with redis_proxy(redis_url) as proxy:
        lossy = Ledger(connect(proxy.url), "bull")
        proxy.loses = lambda chunk: "answer" if b"EVALSHA" in chunk and not proxy.lost else ""
        assert take(lossy, run) == Lease(attempt=1, tries=1)
        assert proxy.lost == 1
    assert ledger.lease(run, worker="other", lease_s=8) == "leased"


def steady_sweeper(ledger: Ledger, leases: Leases, now: list[float]) -> Sweeper:
    """Return a sweeper that has swept for as long as it takes to judge a lease, and so has Redis."""
    await_true(lambda: ledger.client.info("server")["uptime_in_seconds"] > LEASE_S, 15, lambda: "Redis is young")
    sweeper = Sweeper(ledger, leases, Holder.of_process("sweeper", os.getpid()), clock=lambda: now[0])
    for _ in range(4):
        sweeper.sweep()
        now[0] += LEASE_S / 3
    return sweeper


def test_f15_a_sweeper_that_waited_long_for_redis_gives_holders_a_lease_time_first(
    ledger: Ledger, leases: Leases, redis_client: redis.Redis
) -> None:
    now = [0.0]
    sweeper = steady_sweeper(ledger, leases, now)
    run, job = queued(ledger, leases)
    take(ledger, run)
    redis_client.delete(lock_of(job))
    now[0] += GAP_S + 1
    assert sweeper.sweep() == 0
    now[0] += LEASE_S / 2
    assert sweeper.sweep() == 0
    now[0] += LEASE_S / 2 + 0.1
    assert sweeper.sweep() == 1


def test_f20_a_sweeper_that_does_not_lead_notices_when_redis_refuses_to_write(
    ledger: Ledger, leases: Leases, redis_client: redis.Redis
) -> None:
    now = [0.0]
    sweeper = steady_sweeper(ledger, leases, now)
    elsewhere = Holder("media@there", "another boot", "pid:[1]", 7, "99")
    redis_client.set(keys.sweeper(), f"9:{elsewhere}", px=60_000)
    assert sweeper.sweep() == 0
    redis_client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(LedgerUnavailable):
            sweeper.sweep()
    finally:
        redis_client.execute_command("REPLICAOF", "NO", "ONE")
    run, job = queued(ledger, leases)
    take(ledger, run)
    redis_client.delete(lock_of(job), keys.sweeper())
    assert sweeper.sweep() == 0
    assert leases.renew(job, "1", HOLDER).answer == "ok"


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_f41_after_redis_own_clock_has_jumped_holders_get_a_lease_time_first(
    ledger: Ledger, leases: Leases, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, jump_s: int
) -> None:
    now = [0.0]
    sweeper = steady_sweeper(ledger, leases, now)
    run, job = queued(ledger, leases)
    take(ledger, run)
    redis_client.delete(lock_of(job))
    real = redis_client.time
    monkeypatch.setattr(redis_client, "time", lambda: (real()[0] + jump_s, real()[1]))
    now[0] += 1
    assert sweeper.sweep() == 0
    now[0] += LEASE_S / 2
    assert sweeper.sweep() == 0
    now[0] += LEASE_S / 2 + 0.1
    assert sweeper.sweep() == 1


def test_f41_what_lasts_too_long_after_redis_clock_was_set_back_is_shortened(
    ledger: Ledger, leases: Leases, redis_client: redis.Redis
) -> None:
    run, job = queued(ledger, leases)
    take(ledger, run)
    elsewhere = Holder("media@there", "another boot", "pid:[1]", 7, "99")
    redis_client.set(keys.sweeper(), f"1:{elsewhere}", px=3_600_000)
    redis_client.set(keys.turn("sweep-the-floor"), "1", px=3_600_000)
    redis_client.pexpire(lock_of(job), 3_600_000)
    Sweeper(ledger, leases, Holder.of_process("sweeper", os.getpid())).sweep()
    leases.active(job.run.queue)
    do_if_due(redis_client, Chore("sweep-the-floor", 2.0, lambda: 1), set())
    assert redis_client.pttl(keys.sweeper()) <= LEAD_S * 1000
    assert redis_client.pttl(lock_of(job)) <= LEASE_S * 1000
    assert redis_client.pttl(keys.turn("sweep-the-floor")) <= 2000
