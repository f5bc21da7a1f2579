"""The ledger's scripts against a real Redis: a job lies in exactly one set, and only the newest attempt may write."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import redis

from geniequeue.errors import LedgerUnavailable
from geniequeue.jobs import keys
from geniequeue.jobs.job import Lease, Run, Spec, run_id_of
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.jobs.notes import Notes
from geniequeue.jobs.outcome import Cancelled, Completed, Failed
from geniequeue.jobs.stats import TaxonomyFigures
from geniequeue.operations import MEDIA_QUEUE, QUEUES, SCRAPE_QUEUE

SETS = ("prioritized", "wait", "active", "delayed", "completed", "failed")


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return connect(redis_url)


@pytest.fixture
def ledger(client: redis.Redis) -> Ledger:
    client.flushdb()
    ledger = Ledger(client, "bull")
    for queue in QUEUES:
        ledger.number_from(queue, 0)
    return ledger


def make_run(ledger: Ledger, *, job_id: str | None = None, round_: int = 1, priority: int = 10) -> Run:
    job_id = job_id or str(uuid.uuid4())
    number = ledger.next_number(MEDIA_QUEUE)
    spec = Spec("convert_image", job_id, "owner", {"format": "webp"}, priority=priority)
    return Run(run_id_of(job_id, round_), round_, MEDIA_QUEUE, f"bull:{MEDIA_QUEUE}:{number}", spec, accepted_at="")


def accept(ledger: Ledger, run: Run, least: int = 0) -> str:
    return ledger.accept(run, broker_list="media-jobs:10", message="{}", least_attempt=least)[1]


def lease(ledger: Ledger, run: Run) -> Lease:
    got = ledger.lease(run, worker="media@here", lease_s=30)
    assert isinstance(got, Lease), got
    return got


def sets_with(client: redis.Redis, run: Run) -> list[str]:
    prefix = f"bull:{MEDIA_QUEUE}:"
    found = []
    for name in SETS:
        key = prefix + name
        kind = client.type(key)
        inside = client.zscore(key, run.number) if kind == "zset" else client.lpos(key, run.number)
        found += [name] if kind != "none" and inside is not None else []
    return found


def test_accepting_a_run_twice_writes_one_entry_and_one_message(ledger: Ledger, client: redis.Redis) -> None:
    run = make_run(ledger)
    assert accept(ledger, run) == run.bull_job_id == accept(ledger, run)
    assert client.llen("media-jobs:10") == 1
    assert sets_with(client, run) == ["prioritized"]


def test_a_second_run_of_an_older_round_is_not_accepted(ledger: Ledger, client: redis.Redis) -> None:
    first = make_run(ledger)
    second = make_run(ledger, job_id=first.spec.job_id, round_=2)
    accept(ledger, second)
    assert accept(ledger, first) == second.bull_job_id
    assert client.llen("media-jobs:10") == 1


def test_priority_0_waits_in_the_list_that_bullmq_reads(ledger: Ledger, client: redis.Redis) -> None:
    run = make_run(ledger, priority=0)
    accept(ledger, run)
    assert sets_with(client, run) == ["wait"]


def test_a_job_moves_through_exactly_one_set_at_a_time(ledger: Ledger, client: redis.Redis) -> None:
    run = make_run(ledger)
    accept(ledger, run)
    attempt = lease(ledger, run).attempt
    assert sets_with(client, run) == ["active"]
    assert ledger.delay(run, attempt, after_s=0, reason="later")
    assert sets_with(client, run) == ["delayed"]
    attempt = lease(ledger, run).attempt
    assert ledger.finish(run, attempt, Completed({"outputs": []})) == "ok"
    assert sets_with(client, run) == ["completed"]


def test_a_job_of_a_clock_that_is_ahead_counts_as_accepted_now(ledger: Ledger, client: redis.Redis) -> None:
    run = make_run(ledger)
    ledger.accept(run, broker_list="media-jobs:10", message="{}", accepted_ms=32_503_680_000_000)
    now_s = client.time()[0]
    assert now_s - 60 < int(client.hget(run.bull_job_id, "timestamp") or 0) / 1000 <= now_s + 1


def test_a_job_that_is_put_off_is_not_given_before_it_is_due(ledger: Ledger, client: redis.Redis) -> None:
    run = make_run(ledger)
    accept(ledger, run)
    assert ledger.delay(run, lease(ledger, run).attempt, after_s=60, reason="later")
    assert ledger.lease(run, worker="media@here", lease_s=30) == "delayed"
    assert sets_with(client, run) == ["delayed"]


def test_a_number_that_is_another_jobs_by_now_is_not_taken_from_it(ledger: Ledger, client: redis.Redis) -> None:
    run, late = make_run(ledger), make_run(ledger)
    accept(ledger, run)
    assert accept(ledger, replace(late, bull_job_id=run.bull_job_id)) == ""
    assert client.hget(run.bull_job_id, "index") == f"gq:job:{run.spec.job_id}"


def test_every_move_is_announced_in_the_event_stream(ledger: Ledger, client: redis.Redis) -> None:
    run = make_run(ledger)
    accept(ledger, run)
    attempt = lease(ledger, run).attempt
    ledger.progress(run, attempt, 40)
    ledger.finish(run, attempt, Failed("input", "The file is empty."))
    events = [fields for _, fields in client.xrange(f"bull:{MEDIA_QUEUE}:events")]
    assert [event["event"] for event in events] == ["added", "waiting", "active", "progress", "failed"]
    assert json.loads(events[3]["data"]) == 40
    assert events[4]["failedReason"] == "The file is empty."


def test_a_number_that_a_job_has_is_not_given_again(ledger: Ledger, client: redis.Redis) -> None:
    runs = [make_run(ledger) for _ in range(3)]
    accept(ledger, runs[0])
    client.delete(f"bull:{MEDIA_QUEUE}:id")  # as `obliterate` does, which may leave jobs behind
    client.hset(f"bull:{MEDIA_QUEUE}:5", "name", "somebody else's")
    assert [ledger.next_number(MEDIA_QUEUE) for _ in range(3)] == ["4", "6", "7"]


def test_no_number_is_given_until_the_records_were_asked(ledger: Ledger, client: redis.Redis) -> None:
    client.flushdb()
    assert ledger.next_number(MEDIA_QUEUE) == ""
    assert ledger.current_or_number("job", MEDIA_QUEUE) == (None, "")
    assert ledger.number_from(MEDIA_QUEUE, 41)
    assert not ledger.number_from(MEDIA_QUEUE, 7)
    assert ledger.current_or_number("job", MEDIA_QUEUE) == (None, "42")


def test_a_job_that_has_a_run_takes_no_further_number(ledger: Ledger) -> None:
    run = make_run(ledger)
    assert ledger.current_or_number(run.key, MEDIA_QUEUE) == (None, "2")
    accept(ledger, run)
    known = {"run": run.id, "round": "1", "bull": run.bull_job_id}
    assert ledger.current_or_number(run.key, MEDIA_QUEUE) == (known, "")
    assert ledger.next_number(MEDIA_QUEUE) == "3"


def test_of_many_workers_exactly_one_gets_the_lease(ledger: Ledger) -> None:
    run = make_run(ledger)
    accept(ledger, run)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: ledger.lease(run, worker=f"w{n}", lease_s=30), range(50)))
    assert sum(isinstance(answer, Lease) for answer in answers) == 1
    assert {answer for answer in answers if not isinstance(answer, Lease)} == {"leased"}


def test_an_unknown_or_forged_run_gets_no_lease(ledger: Ledger) -> None:
    run = make_run(ledger)
    assert ledger.lease(run, worker="w", lease_s=30) == "unknown"
    accept(ledger, run)
    forged = Run("another", 1, run.queue, run.bull_job_id, run.spec, "")
    assert ledger.lease(forged, worker="w", lease_s=30) == "stale"


def test_a_paused_queue_gives_no_lease(ledger: Ledger, client: redis.Redis) -> None:
    run = make_run(ledger)
    accept(ledger, run)
    client.hset(f"bull:{MEDIA_QUEUE}:meta", "paused", 1)
    assert ledger.lease(run, worker="w", lease_s=30) == "paused"


def test_a_finished_job_stays_as_it_ended(ledger: Ledger) -> None:
    run = make_run(ledger)
    accept(ledger, run)
    attempt = lease(ledger, run).attempt
    ledger.finish(run, attempt, Completed())
    assert ledger.finish(run, attempt, Failed("tool", "late")) == "final"
    assert ledger.lease(run, worker="w", lease_s=30) == "final"
    assert ledger.progress(run, attempt, 50) == "stale"
    assert ledger.entry(MEDIA_QUEUE, run.number).state == "completed"  # type: ignore[union-attr]


def test_an_older_attempt_can_write_nothing(ledger: Ledger, client: redis.Redis) -> None:
    run = make_run(ledger)
    accept(ledger, run)
    old = lease(ledger, run).attempt
    client.delete(f"bull:{MEDIA_QUEUE}:{run.number}:lock")
    new = lease(ledger, run).attempt
    assert new == old + 1
    assert ledger.progress(run, old, 90) == "stale"
    assert not ledger.delay(run, old, after_s=1, reason="")
    assert ledger.finish(run, old, Completed()) == "stale"
    assert sets_with(client, run) == ["active"]


def test_attempt_numbers_start_above_what_the_records_know(ledger: Ledger) -> None:
    run = make_run(ledger)
    accept(ledger, run, least=7)
    got = lease(ledger, run)
    assert (got.attempt, got.tries) == (8, 1)


def test_attempts_go_on_growing_over_rounds_while_tries_start_again(ledger: Ledger) -> None:
    first = make_run(ledger)
    accept(ledger, first)
    ledger.finish(first, lease(ledger, first).attempt, Failed("tool", "no"))
    second = make_run(ledger, job_id=first.spec.job_id, round_=2)
    accept(ledger, second)
    assert lease(ledger, second) == Lease(attempt=2, tries=1)


def test_a_waiting_job_is_cancelled_without_an_attempt_but_an_active_one_is_not(ledger: Ledger) -> None:
    waiting, active = make_run(ledger), make_run(ledger)
    accept(ledger, waiting)
    accept(ledger, active)
    lease(ledger, active)
    assert ledger.finish(waiting, None, Cancelled()) == "ok"
    assert ledger.finish(active, None, Cancelled()) == "active"
    assert ledger.entry(MEDIA_QUEUE, waiting.number).state == "cancelled"  # type: ignore[union-attr]


def test_putting_a_job_off_twice_is_putting_it_off_once(ledger: Ledger, client: redis.Redis) -> None:
    run = make_run(ledger)
    accept(ledger, run)
    attempt = lease(ledger, run).attempt
    assert ledger.delay(run, attempt, after_s=60, reason="")
    assert ledger.delay(run, attempt, after_s=60, reason="")
    assert sets_with(client, run) == ["delayed"]


def test_a_try_that_does_not_count_leaves_the_tries_as_they_were_and_the_attempt_numbers_growing(
    ledger: Ledger, client: redis.Redis
) -> None:
    run = make_run(ledger)
    accept(ledger, run)
    for attempt in (1, 2):
        assert lease(ledger, run) == Lease(attempt=attempt, tries=1)
        assert ledger.delay(run, attempt, after_s=0, reason="", counted=False)
        assert ledger.delay(run, attempt, after_s=0, reason="", counted=False)
    assert client.hmget(run.bull_job_id, "ats", "atm", "attemptsMade") == ["0", "0", "0"]
    assert lease(ledger, run) == Lease(attempt=3, tries=1)
    assert ledger.delay(run, 3, after_s=0, reason="")
    assert lease(ledger, run) == Lease(attempt=4, tries=2)


@pytest.mark.parametrize("outcome", [Completed(), Failed("tool", "no"), Cancelled()])
def test_an_ended_run_is_noted_for_closing_in_the_same_step(
    ledger: Ledger, outcome: Completed | Failed | Cancelled
) -> None:
    run, notes = make_run(ledger), Notes(ledger)
    accept(ledger, run)
    attempt = lease(ledger, run).attempt
    assert not notes.has_ended(run)
    assert ledger.finish(run, attempt + 1, outcome) == "stale"
    assert not notes.has_ended(run)
    ledger.finish(run, attempt, outcome)
    assert notes.has_ended(run)
    assert notes.ended_runs(50) == {run.id: run.spec.job_id}
    notes.forget_ended({run.id: run.spec.job_id})
    assert notes.ended_runs(50) == {}


def test_a_cancel_flag_is_told_with_the_next_progress(ledger: Ledger) -> None:
    run = make_run(ledger)
    accept(ledger, run)
    attempt = lease(ledger, run).attempt
    assert ledger.progress(run, attempt, 10) == "ok"
    ledger.ask_to_cancel(run)
    assert ledger.progress(run, attempt, 20) == "cancel"
    assert ledger.cancel_asked(run)


def test_the_counts_are_those_of_one_instant_and_cancelled_is_apart_from_failed(ledger: Ledger) -> None:
    runs = [make_run(ledger, priority=priority) for priority in (0, 10, 10, 10, 10, 10)]
    for run in runs:
        accept(ledger, run)
    ledger.finish(runs[1], lease(ledger, runs[1]).attempt, Completed())
    ledger.finish(runs[2], lease(ledger, runs[2]).attempt, Failed("input", "no"))
    ledger.finish(runs[3], None, Cancelled())
    ledger.delay(runs[4], lease(ledger, runs[4]).attempt, after_s=60, reason="")
    lease(ledger, runs[5])
    counts = ledger.counts()[MEDIA_QUEUE]
    assert (counts.waiting, counts.active, counts.completed, counts.failed, counts.delayed, counts.cancelled) == (
        *(1, 1, 1, 1, 1, 1),
    )


def test_one_look_tells_counts_what_the_workers_said_and_the_taxonomy_cache(
    ledger: Ledger, client: redis.Redis
) -> None:
    empty = ledger.overview()
    assert (empty.active, empty.taxonomy) == ({}, TaxonomyFigures(hits=0, misses=0, size=0))
    accept(ledger, make_run(ledger))
    client.set(keys.snapshot(), json.dumps({MEDIA_QUEUE: 3}))
    client.hset(keys.taxonomy(), mapping={"hits": 5, "size": 7})
    seen = ledger.overview()
    assert seen.taxonomy == TaxonomyFigures(hits=5, misses=0, size=7)
    stats = seen.stats()
    assert (stats[MEDIA_QUEUE].waiting, stats[MEDIA_QUEUE].active, stats[SCRAPE_QUEUE].active) == (1, 3, 0)


def test_trimming_forgets_the_oldest_and_keeps_the_counters(ledger: Ledger, client: redis.Redis) -> None:
    runs = [make_run(ledger) for _ in range(5)]
    for run in runs:
        accept(ledger, run)
        ledger.finish(run, lease(ledger, run).attempt, Completed())
    assert ledger.trim(keep=2, keep_s=3600) == 3
    assert ledger.counts()[MEDIA_QUEUE].completed == 5
    assert client.zcard(f"bull:{MEDIA_QUEUE}:completed") == 2
    assert ledger.current(runs[0].key) is None
    assert ledger.current(runs[4].key) is not None


def test_no_param_of_a_job_is_kept_in_redis(ledger: Ledger, client: redis.Redis) -> None:
    run = make_run(ledger)
    accept(ledger, run)
    assert "webp" not in json.dumps(client.hgetall(run.bull_job_id))


def test_a_redis_that_is_not_there_is_one_clear_error() -> None:
    ledger = Ledger(connect("redis://127.0.0.1:1/0"), "bull")
    with pytest.raises(LedgerUnavailable):
        ledger.counts()
