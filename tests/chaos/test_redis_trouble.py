"""Redis is away, silent, slow, full or refusing; each test is named after its row of the fault table."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from geniequeue.jobs.leases import LEASE_S
from tests.chaos.trouble import QUEUES, Trouble, always, timed
from tests.redis_proxy import Loss
from tests.service import Answer, await_true

ANSWER_WITHIN_S = 3.0
FOLLOWS_WITHIN_S = 8.0
"""Of Redis' return: until a worker has its next job, on a machine that has more to do."""
BOSS = "boss-of-the-test"


def refused(trouble: Trouble, job_id: str) -> None:
    """Check that a job is refused in time, with the advice to come back, and that nothing was accepted."""
    for call in (
        lambda: trouble.send(job_id),
        lambda: trouble.service.request("POST", "/api/queue/taxonomy/invalidate", trouble.token),
    ):
        answer, took_s = timed(call)
        assert (answer.status, answer.body["error"]) == (503, "ledger_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert took_s < ANSWER_WITHIN_S
    ready, _ = timed(lambda: trouble.service.request("GET", "/readyz"))
    assert ready.status == 503


def refused_for(trouble: Trouble, job_id: str, lasts_s: float) -> None:
    """Ask again and again while the trouble lasts."""
    until = time.monotonic() + lasts_s
    while time.monotonic() < until:
        refused(trouble, job_id)
        time.sleep(1)


def follows(trouble: Trouble, job_id: str, back: float) -> None:
    """Check that a job is accepted and begun soon after Redis is back."""
    await_true(lambda: trouble.send(job_id).status == 200, FOLLOWS_WITHIN_S, lambda: "not accepted")
    await_true(lambda: trouble.attempts(job_id) == 1, FOLLOWS_WITHIN_S, lambda: trouble.service.log()[-3000:])
    assert time.monotonic() - back < FOLLOWS_WITHIN_S


def test_f15_a_restart_of_redis_costs_a_running_job_nothing(trouble: Trouble) -> None:
    mains = trouble.mains()
    with trouble.held_job() as running:
        trouble.server.stop()
        next_one = trouble.create()
        refused(trouble, next_one)
        assert trouble.runs(next_one) == 0
        trouble.server.start()
        back = time.monotonic()
        await_true(lambda: trouble.send(next_one).status == 200, FOLLOWS_WITHIN_S, lambda: "not accepted")
    trouble.ran_once(running)
    trouble.ran_once(next_one)
    assert time.monotonic() - back < 30
    assert trouble.mains() == mains


@pytest.mark.long
def test_f15_redis_away_for_45_s_costs_a_running_job_nothing(trouble: Trouble) -> None:
    mains, since = trouble.mains(), trouble.log_size()
    with trouble.held_job() as running:
        trouble.server.stop()
        next_one = trouble.create()
        refused_for(trouble, next_one, 45)
        trouble.server.start()
        await_true(lambda: trouble.lock(running), LEASE_S, lambda: "the holder has not taken its lease again")
        always(lambda: trouble.attempts(running) == 1, 2 * LEASE_S)
    trouble.ran_once(running)
    follows(trouble, next_one, time.monotonic())
    trouble.ran_once(next_one)
    assert trouble.mains() == mains
    told_once(trouble, since)


@pytest.mark.long
def test_f15_the_next_jobs_follow_soon_after_45_s_without_redis(trouble: Trouble) -> None:
    trouble.server.stop()
    next_one = trouble.create()
    refused_for(trouble, next_one, 45)
    trouble.server.start()
    follows(trouble, next_one, time.monotonic())
    trouble.ran_once(next_one)


@pytest.mark.long
@pytest.mark.parametrize("silent_s", [LEASE_S + 2, 20])
def test_f15_a_redis_that_is_silent_longer_than_a_lease_costs_a_running_job_nothing(
    trouble: Trouble, silent_s: float
) -> None:
    with trouble.held_job() as running:
        trouble.proxy.passing.clear()
        next_one = trouble.create()
        refused_for(trouble, next_one, silent_s)
        assert trouble.lock(running) is None
        trouble.proxy.passing.set()
        await_true(lambda: trouble.lock(running), LEASE_S, lambda: "the holder has not taken its lease again")
        always(lambda: trouble.attempts(running) == 1, 2 * LEASE_S)
    trouble.ran_once(running)
    trouble.ran_once(accepted(trouble, next_one))


@pytest.mark.long
def test_f15_what_was_half_accepted_when_redis_went_is_found_and_run(trouble: Trouble) -> None:
    job_id = trouble.create()
    trouble.proxy.loses = loses("request", lambda chunk: b"runId" in chunk)
    assert trouble.send(job_id).status == 503
    assert trouble.service.store.as_service().get_item("media_jobs", job_id)["status"] == "queued"
    assert trouble.attempts(job_id) == 0
    trouble.proxy.loses = lambda _: ""
    job = trouble.await_completed(job_id, within_s=90)
    assert (job["attempts"], trouble.runs(job_id)) == (1, 1)


def test_f17_a_call_to_a_redis_that_takes_2_s_is_answered_within_3_s(trouble: Trouble) -> None:
    job_id = trouble.create()
    trouble.proxy.delay_s = 2.0
    with ThreadPoolExecutor() as pool:
        calls = [
            pool.submit(timed, lambda: trouble.send(job_id)),
            pool.submit(timed, lambda: trouble.service.request("GET", "/api/queue/stats", trouble.token)),
            pool.submit(timed, lambda: trouble.service.request("GET", f"/api/queue/jobs/{job_id}", trouble.token)),
        ]
        answers = [call.result() for call in calls]
    assert all(took_s < ANSWER_WITHIN_S for _, took_s in answers), [took_s for _, took_s in answers]
    assert answers[0][0].status == 503
    trouble.proxy.delay_s = 0.0
    trouble.ran_once(accepted(trouble, job_id))


def test_f17_a_request_that_is_sent_again_for_its_answer_was_lost_enqueues_once(trouble: Trouble) -> None:
    job_id = trouble.create()
    # so that it waits while it is sent again
    with trouble.held_job():
        trouble.proxy.loses = loses("answer", lambda chunk: b"runId" in chunk)
        assert trouble.send(job_id).status == 503
        trouble.proxy.loses = lambda _: ""
        bull = trouble.bull(job_id)
        answers = [trouble.send(job_id) for _ in range(3)]
        assert [(answer.status, answer.body["bullJobId"]) for answer in answers] == [(200, bull)] * 3
    trouble.ran_once(job_id)


def test_f17_of_requests_at_once_over_a_slow_and_lossy_line_one_is_accepted(trouble: Trouble) -> None:
    job_id = trouble.create()
    number = iter(range(1_000_000))

    def ask_until_accepted(_: int) -> str:
        answer = Answer(503, {}, {})
        deadline = time.monotonic() + 60
        while answer.status != 200:
            assert time.monotonic() < deadline, answer
            answer = trouble.send(job_id)
            assert answer.status in (200, 503), answer
        return str(answer.body["bullJobId"])

    with trouble.held_job():
        trouble.proxy.delay_s = 0.1
        trouble.proxy.loses = loses("answer", lambda chunk: b"EVALSHA" in chunk and next(number) % 5 == 4)
        with ThreadPoolExecutor(5) as pool:
            names = set(pool.map(ask_until_accepted, range(5)))
        trouble.proxy.delay_s, trouble.proxy.loses = 0.0, lambda _: ""
    assert len(names) == 1
    trouble.ran_once(job_id)


def accepted(trouble: Trouble, job_id: str) -> str:
    """Send a job until it is accepted."""
    await_true(lambda: trouble.send(job_id).status == 200, FOLLOWS_WITHIN_S, lambda: "not accepted")
    return job_id


def loses(what: Loss, matches: Callable[[bytes], bool]) -> Callable[[bytes], Loss]:
    """Return what a proxy loses, as seen by one thread at a time."""
    lock = threading.Lock()

    def judge(chunk: bytes) -> Loss:
        with lock:
            return what if matches(chunk) else ""

    return judge


def full(trouble: Trouble) -> Callable[[], object]:
    client = trouble.direct
    client.config_set("maxmemory", "1mb")
    return lambda: client.config_set("maxmemory", "0")


def read_only(trouble: Trouble) -> Callable[[], object]:
    client = trouble.direct
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    return lambda: client.execute_command("REPLICAOF", "NO", "ONE")


def boss(trouble: Trouble) -> redis.Redis:
    """Return a connection of a user of its own."""
    everything = {"keys": ["*"], "channels": ["*"], "commands": ["+@all"]}
    trouble.direct.acl_setuser(BOSS, enabled=True, passwords=[f"+{BOSS}"], **everything)
    return redis.Redis(port=trouble.server.port, username=BOSS, password=BOSS)


def denied(trouble: Trouble) -> Callable[[], object]:
    client = boss(trouble)
    client.execute_command("ACL", "SETUSER", "default", "-@all")
    return lambda: client.execute_command("ACL", "SETUSER", "default", "+@all")


def locked_out(trouble: Trouble) -> Callable[[], object]:
    client = boss(trouble)
    client.config_set("requirepass", "another password")
    client.client_kill_filter(_type="normal", skipme=True)
    return lambda: client.config_set("requirepass", trouble.server.password)


@pytest.mark.long
@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(full, id="f18_full"),
        pytest.param(read_only, id="f20_read_only"),
        pytest.param(denied, id="f20_commands_denied"),
        pytest.param(locked_out, id="f20_password_changed"),
    ],
)
def test_a_redis_that_refuses_is_waited_for_without_haste_and_costs_a_running_job_nothing(
    trouble: Trouble, begin: Callable[[Trouble], Callable[[], object]]
) -> None:
    mains = trouble.mains()
    with trouble.held_job() as running:
        since = trouble.log_size()
        end = begin(trouble)
        try:
            next_one = trouble.create()
            refused_for(trouble, next_one, LEASE_S + 4)
            assert trouble.runs(next_one) == 0
        finally:
            end()
        back = time.monotonic()
        await_true(lambda: trouble.lock(running), LEASE_S, lambda: "the holder has not taken its lease again")
        accepted(trouble, next_one)
    trouble.ran_once(running)
    trouble.ran_once(next_one)
    assert time.monotonic() - back < 60
    assert trouble.mains() == mains
    told_once(trouble, since)


def test_f18_an_enqueue_into_a_full_redis_fails_fast_and_succeeds_afterwards(trouble: Trouble) -> None:
    job_id = trouble.create()
    end = full(trouble)
    answer, took_s = timed(lambda: trouble.send(job_id))
    end()
    assert (answer.status, answer.body["error"]) == (503, "ledger_unavailable")
    assert took_s < 1.0
    trouble.ran_once(accepted(trouble, job_id))


def told_once(trouble: Trouble, since: int) -> None:
    """Check that every worker told the trouble once, and that nobody was talkative."""
    trouble.service.wait_ready()
    lines = [line for line in trouble.log_lines(since) if line.get("level") in ("warning", "error", "critical")]
    for queue in QUEUES:
        mine = [line for line in lines if line.get("process") == queue.removesuffix("-jobs")]
        assert sum("no message is taken" in line["event"] for line in mine) <= 1, mine
        assert 1 <= len(mine) <= 30, mine
