"""What an operator can do to our ledger with BullMQ's tools: nothing is lost, nothing is doubled, all is put right.

The records are the truth. Where a tool takes a waiting job out of the ledger, everything that is needed to put it back
is in the records: the run is open, has no result, and its item says `queued`; `owed` says so. `Jobs.put_right` is what
the workers do about it within a minute.
"""

from __future__ import annotations

import time

import pytest
import redis

from geniequeue.errors import RequestRefused
from geniequeue.jobs.broker import broker_list
from geniequeue.jobs.job import Lease, Run
from geniequeue.jobs.outcome import Cancelled, Completed, Failed, Final
from geniequeue.operations import MEDIA_QUEUE
from tests.interop.conftest import Jobs
from tests.interop.node import BullMQ, BullMQError, eventually

DONE = Completed({"outputs": []})
BROKEN = Failed("tool", "The encoder gave up.")
A_LOOK_S = 1.5
"""Longer than a Worker that was woken, or its stalled check, takes to do something."""


def owed(jobs: Jobs, run: Run) -> bool:
    """Tell whether the records show a job that was accepted and still has to run."""
    return jobs.open(run) and jobs.results(run) == [] and jobs.item(run)["status"] == "queued"


def outcomes(jobs: Jobs, run: Run) -> tuple[str, list[str]]:
    """Return the item's status and every end that the records have of the run."""
    return jobs.item(run)["status"], [row["outcome"] for row in jobs.results(run)]


def runs_once(jobs: Jobs, bullmq: BullMQ, run: Run) -> None:
    """Let a worker run a job that waits, and see that however many messages there are, that was all."""
    assert jobs.ledger.client.llen(broker_list(run)) > 0
    assert bullmq.state(run.number) in ("waiting", "prioritized")
    jobs.end(run, jobs.lease(run), DONE)
    assert jobs.ask_lease(run) == "final"
    assert outcomes(jobs, run) == ("completed", ["completed"])
    assert bullmq.state(run.number) == "completed"
    assert not jobs.open(run)


# A Worker of BullMQ on our queue


def test_a_bullmq_worker_takes_no_job_of_ours(jobs: Jobs, bullmq: BullMQ) -> None:
    bullmq.start_worker()
    runs = [jobs.accept(0), jobs.accept(1), jobs.accept()]
    jobs.ledger.delay(runs[2], jobs.lease(runs[2]), after_s=0.1, reason="")
    time.sleep(A_LOOK_S)
    assert bullmq.worker_seen() == []
    for run in runs:
        jobs.end(run, jobs.lease(run), DONE)
        assert outcomes(jobs, run) == ("completed", ["completed"])


def test_a_bullmq_worker_takes_not_even_what_bullmq_adds(jobs: Jobs, bullmq: BullMQ) -> None:
    jobs.accept()
    bullmq.start_worker()
    bullmq.queue("add", "theirs", {})
    time.sleep(A_LOOK_S)
    assert bullmq.worker_seen() == []


def test_a_bullmq_worker_takes_jobs_where_somebody_removed_the_guard_until_the_next_job_is_accepted(
    jobs: Jobs, bullmq: BullMQ
) -> None:
    taken = jobs.accept(0)
    bullmq.queue("removeGlobalConcurrency")
    bullmq.start_worker()
    eventually(lambda: bullmq.state(taken.number) == "completed")
    safe = jobs.accept(0)
    time.sleep(A_LOOK_S)
    assert bullmq.worker_seen() == [("took", taken.number)]
    assert jobs.ask_lease(taken) == "final"
    assert owed(jobs, taken)
    assert isinstance(jobs.ask_lease(safe), Lease)
    jobs.put_right()
    runs_once(jobs, bullmq, taken)


def test_the_guard_is_back_before_the_next_job_where_somebody_removed_it(jobs: Jobs, bullmq: BullMQ) -> None:
    bullmq.queue("setGlobalConcurrency", 5)
    jobs.put_right()
    assert bullmq.queue("getMeta")["concurrency"] == 0
    bullmq.queue("removeGlobalConcurrency")
    jobs.put_right()
    assert bullmq.queue("getMeta")["concurrency"] == 0
    bullmq.start_worker()
    bullmq.queue("add", "theirs", {})
    time.sleep(A_LOOK_S)
    assert bullmq.worker_seen() == []


def test_the_stalled_check_leaves_a_running_job_alone(jobs: Jobs, bullmq: BullMQ) -> None:
    run = jobs.accept()
    attempt = jobs.lease(run)
    bullmq.start_worker(stalledInterval=300, maxStalledCount=0)
    time.sleep(A_LOOK_S)
    assert bullmq.worker_seen() == []
    assert bullmq.state(run.number) == "active"
    jobs.end(run, attempt, DONE)
    assert outcomes(jobs, run) == ("completed", ["completed"])


def test_the_stalled_check_moves_a_job_whose_lease_ran_out_and_it_can_be_leased_again(
    jobs: Jobs, bullmq: BullMQ, redis_client: redis.Redis
) -> None:
    run = jobs.accept()
    late = jobs.lease(run)
    redis_client.delete(jobs.ledger.queue_keys(MEDIA_QUEUE).lock(run.number))
    bullmq.start_worker(stalledInterval=300)
    eventually(lambda: ("stalled", run.number) in bullmq.worker_seen())
    assert bullmq.state(run.number) == "waiting"
    attempt = jobs.lease(run)
    assert jobs.ledger.progress(run, late, 99) == "stale"
    jobs.end(run, attempt, DONE)
    assert outcomes(jobs, run) == ("completed", ["completed"])
    assert bullmq.state(run.number) == "completed"


def test_a_job_that_the_stalled_check_moved_gets_a_message(
    jobs: Jobs, bullmq: BullMQ, redis_client: redis.Redis
) -> None:
    run = jobs.accept()
    jobs.lease(run)
    redis_client.delete(jobs.ledger.queue_keys(MEDIA_QUEUE).lock(run.number), broker_list(run))
    bullmq.start_worker(stalledInterval=300)
    eventually(lambda: ("stalled", run.number) in bullmq.worker_seen())
    for _ in range(2):
        jobs.put_right()
        assert redis_client.llen(broker_list(run)) == 1
    runs_once(jobs, bullmq, run)


# What is refused while a job runs


@pytest.mark.parametrize(
    ("call", "arguments"), [("remove", ()), ("moveToCompleted", ("theirs", "token")), ("moveToDelayed", (0, "token"))]
)
def test_a_running_job_is_not_touched_without_its_lock(
    jobs: Jobs, bullmq: BullMQ, call: str, arguments: tuple[object, ...]
) -> None:
    run = jobs.accept()
    attempt = jobs.lease(run)
    with pytest.raises(BullMQError, match=r"[Ll]ock"):
        bullmq.job(run.number, call, *arguments)
    assert bullmq.state(run.number) == "active"
    jobs.end(run, attempt, DONE)
    assert outcomes(jobs, run) == ("completed", ["completed"])


def test_cleaning_active_jobs_removes_no_running_one(jobs: Jobs, bullmq: BullMQ) -> None:
    run = jobs.accept()
    attempt = jobs.lease(run)
    assert bullmq.queue("clean", 0, 0, "active") == []
    jobs.end(run, attempt, DONE)
    assert bullmq.state(run.number) == "completed"


def test_obliterating_a_queue_with_a_running_job_is_refused_but_leaves_it_paused(jobs: Jobs, bullmq: BullMQ) -> None:
    run, waiting = jobs.accept(), jobs.accept()
    attempt = jobs.lease(run)
    with pytest.raises(BullMQError, match="active"):
        bullmq.queue("obliterate")
    jobs.end(run, attempt, DONE)
    assert jobs.ask_lease(waiting) == "paused"
    bullmq.queue("resume")
    assert isinstance(jobs.ask_lease(waiting), Lease)


# Pause


@pytest.mark.parametrize("priority", [0, 10])
def test_a_paused_queue_starts_nothing_loses_nothing_and_goes_on(jobs: Jobs, bullmq: BullMQ, priority: int) -> None:
    running, before = jobs.accept(priority), jobs.accept(priority)
    attempt = jobs.lease(running)
    bullmq.queue("pause")
    during = jobs.accept(priority)
    assert jobs.ask_lease(before) == jobs.ask_lease(during) == "paused"
    assert jobs.ledger.counts()[MEDIA_QUEUE].waiting == 2
    jobs.end(running, attempt, DONE)
    bullmq.queue("resume")
    for run in (before, during):
        jobs.end(run, jobs.lease(run), DONE)
        assert outcomes(jobs, run) == ("completed", ["completed"])
    counts = jobs.ledger.counts()[MEDIA_QUEUE]
    assert (counts.waiting, counts.active, counts.completed) == (0, 0, 3)


# Waiting jobs taken away: the records still owe them


@pytest.mark.parametrize("priority", [0, 10])
@pytest.mark.parametrize("way", ["remove", "drain", "clean"])
def test_a_waiting_job_that_is_removed_is_owed_by_the_records_and_comes_back(
    jobs: Jobs, bullmq: BullMQ, way: str, priority: int
) -> None:
    run = jobs.accept(priority)
    if way == "remove":
        bullmq.job(run.number, "remove")
    elif way == "drain":
        bullmq.queue("drain")
    else:
        bullmq.queue("clean", -1000, 0, "prioritized" if priority else "wait")
    assert bullmq.job(run.number) is None
    assert jobs.ask_lease(run) == "unknown"
    assert owed(jobs, run)
    jobs.put_right()
    runs_once(jobs, bullmq, run)


def test_a_drained_queue_comes_back_in_its_order(jobs: Jobs, bullmq: BullMQ, redis_client: redis.Redis) -> None:
    runs = [jobs.accept(priority) for priority in (10, 5, 10, 5)]
    bullmq.queue("drain")
    jobs.put_right()
    waiting = redis_client.zrange(jobs.ledger.queue_keys(MEDIA_QUEUE).prioritized(), 0, -1)
    assert waiting == [runs[place].number for place in (1, 3, 0, 2)]
    assert jobs.ledger.counts()[MEDIA_QUEUE].waiting == 4


def test_a_delayed_job_that_is_drained_comes_back(jobs: Jobs, bullmq: BullMQ) -> None:
    run = jobs.accept()
    jobs.ledger.delay(run, jobs.lease(run), after_s=60, reason="")
    bullmq.queue("drain", True)
    assert jobs.ask_lease(run) == "unknown"
    assert (jobs.open(run), jobs.results(run)) == (True, [])
    jobs.put_right()
    runs_once(jobs, bullmq, run)


def test_a_removed_job_can_still_be_cancelled_by_its_owner(jobs: Jobs, bullmq: BullMQ) -> None:
    run = jobs.accept()
    bullmq.job(run.number, "remove")
    assert jobs.cancel(run) == "cancelled"
    assert outcomes(jobs, run) == ("cancelled", ["cancelled"])
    assert not jobs.open(run)


# Finished jobs


@pytest.mark.parametrize("way", ["remove", "clean"])
def test_a_failed_job_that_is_removed_can_still_be_retried_by_its_owner(jobs: Jobs, bullmq: BullMQ, way: str) -> None:
    run = jobs.ended(BROKEN)
    if way == "remove":
        bullmq.job(run.number, "remove")
    else:
        assert bullmq.queue("clean", 0, 0, "failed") == [run.number]
    assert outcomes(jobs, run) == ("failed", ["failed"])
    assert jobs.ledger.counts()[MEDIA_QUEUE].failed == 1
    again = jobs.retry(run)
    jobs.end(again, jobs.lease(again), DONE)
    assert outcomes(jobs, again) == ("completed", ["completed"])


def test_a_completed_job_that_is_removed_does_not_run_again_when_it_is_sent_again(jobs: Jobs, bullmq: BullMQ) -> None:
    run = jobs.ended(DONE)
    bullmq.job(run.number, "remove")
    with pytest.raises(RequestRefused) as refused:
        jobs.post(run.spec.job_id)
    assert refused.value.code == "already_completed"


@pytest.mark.parametrize("outcome", [DONE, Cancelled()])
@pytest.mark.parametrize("options", [{}, {"resetAttemptsMade": True, "resetAttemptsStarted": True}])
def test_a_job_that_ended_otherwise_goes_back_where_it_was_too(
    jobs: Jobs, bullmq: BullMQ, redis_client: redis.Redis, outcome: Final, options: dict[str, bool]
) -> None:
    run = jobs.ended(outcome)
    redis_client.delete(broker_list(run))
    before, state = jobs.ledger.entry(MEDIA_QUEUE, run.number), bullmq.state(run.number)
    bullmq.job(run.number, "retry", state, options)
    assert bullmq.state(run.number) in ("waiting", "prioritized")
    jobs.put_right()
    after = jobs.ledger.entry(MEDIA_QUEUE, run.number)
    assert before is not None and after is not None
    assert (after.state, after.result, after.failed_reason) == (before.state, before.result, before.failed_reason)
    assert jobs.ask_lease(run) == "final"


@pytest.mark.parametrize("way", ["retry", "retryJobs"])
def test_a_failed_job_that_bullmq_retries_goes_back_and_its_owner_can_retry_it(
    jobs: Jobs, bullmq: BullMQ, redis_client: redis.Redis, way: str
) -> None:
    run = jobs.ended(BROKEN)
    redis_client.delete(broker_list(run))
    if way == "retry":
        bullmq.job(run.number, "retry")
    else:
        bullmq.queue("retryJobs")
    assert bullmq.state(run.number) in ("prioritized", "waiting")
    assert redis_client.llen(broker_list(run)) == 0
    assert outcomes(jobs, run) == ("failed", ["failed"])
    jobs.put_right()
    assert bullmq.state(run.number) == "failed"
    assert bullmq.job(run.number)["failedReason"] == BROKEN.message
    assert redis_client.llen(broker_list(run)) == 0
    counts = jobs.ledger.counts()[MEDIA_QUEUE]
    assert (counts.waiting, counts.failed) == (0, 1)
    again = jobs.retry(run)
    assert redis_client.llen(broker_list(again)) == 1
    jobs.end(again, jobs.lease(again), DONE)
    assert outcomes(jobs, again) == ("completed", ["completed"])


@pytest.mark.parametrize("first", [DONE, BROKEN])
def test_a_message_that_comes_twice_after_bullmqs_retry_changes_no_end_that_stands(
    jobs: Jobs, bullmq: BullMQ, first: Completed | Failed
) -> None:
    run = jobs.ended(first)
    state = bullmq.state(run.number)
    bullmq.job(run.number, "retry", state)
    jobs.end(run, jobs.lease(run), BROKEN if first is DONE else DONE)
    assert outcomes(jobs, run) == (state, [state])
    assert bullmq.state(run.number) == state


# Delayed jobs


@pytest.mark.parametrize("priority", [0, 10])
def test_a_promoted_job_gets_a_message_and_runs_once(
    jobs: Jobs, bullmq: BullMQ, redis_client: redis.Redis, priority: int
) -> None:
    run = jobs.accept(priority)
    jobs.ledger.delay(run, jobs.lease(run), after_s=60, reason="")
    redis_client.delete(broker_list(run))
    bullmq.job(run.number, "promote")
    assert bullmq.state(run.number) == ("prioritized" if priority else "waiting")
    for _ in range(2):
        jobs.put_right()
        assert redis_client.llen(broker_list(run)) == 1
    runs_once(jobs, bullmq, run)
    assert jobs.ledger.counts()[MEDIA_QUEUE].waiting == 0


# What tools can write


def test_values_that_bullmq_writes_break_no_reader_of_ours(jobs: Jobs, bullmq: BullMQ) -> None:
    run = jobs.accept()
    bullmq.job(run.number, "updateProgress", {"step": 2})
    bullmq.job(run.number, "updateData", [1, 2])
    bullmq.job(run.number, "log", "a line")
    bullmq.job(run.number, "changePriority", {"priority": 3})
    entry = jobs.ledger.entry(MEDIA_QUEUE, run.number)
    assert entry is not None
    assert (entry.state, entry.progress, entry.job_id) == ("waiting", 0, "")
    jobs.end(run, jobs.lease(run), DONE)
    assert outcomes(jobs, run) == ("completed", ["completed"])
    assert bullmq.state(run.number) == "completed"


@pytest.mark.parametrize("options", [{}, {"priority": 10}, {"delay": 60_000}])
def test_a_job_that_bullmq_adds_fails_with_a_reason(jobs: Jobs, bullmq: BullMQ, options: dict[str, int]) -> None:
    bullmq.listen()
    ours = jobs.accept()
    theirs = bullmq.queue("add", "theirs", {"any": "thing"}, options)
    waits = bullmq.begin_waiting(theirs["id"])
    jobs.put_right()
    assert bullmq.state(theirs["id"]) == "failed"
    with pytest.raises(BullMQError, match="geniequeue's API"):
        bullmq.answer(waits)
    counts = jobs.ledger.counts()[MEDIA_QUEUE]
    assert (counts.waiting, counts.delayed, counts.failed) == (1, 0, 0)
    runs_once(jobs, bullmq, ours)


def test_a_job_that_bullmq_adds_is_counted_and_nothing_else(
    jobs: Jobs, bullmq: BullMQ, redis_client: redis.Redis
) -> None:
    before = jobs.accept()
    theirs = bullmq.queue("add", "theirs", {"any": "thing"}, {"priority": 10})
    after = jobs.accept()
    assert len({before.number, theirs["id"], after.number}) == 3
    assert jobs.ledger.counts()[MEDIA_QUEUE].waiting == 3
    assert redis_client.llen(broker_list(before)) == 2


# Obliterate


def test_obliterating_by_force_takes_nothing_from_the_records(jobs: Jobs, bullmq: BullMQ) -> None:
    done, running, waiting = jobs.ended(DONE), jobs.accept(), jobs.accept()
    attempt = jobs.lease(running)
    bullmq.queue("obliterate", {"force": True})
    assert jobs.ledger.progress(running, attempt, 50) == "ok"
    jobs.end(running, attempt, DONE)
    assert outcomes(jobs, done) == outcomes(jobs, running) == ("completed", ["completed"])
    assert bullmq.job(running.number) is None
    assert jobs.ask_lease(waiting) == "unknown"
    assert owed(jobs, waiting)


def test_an_obliterated_queue_comes_back_and_its_numbers_go_on(jobs: Jobs, bullmq: BullMQ) -> None:
    done, running = jobs.ended(DONE), jobs.accept()
    waiting = [jobs.accept() for _ in range(3)]
    attempt = jobs.lease(running)
    bullmq.queue("obliterate", {"force": True})
    new = jobs.accept()
    jobs.put_right()
    assert int(new.number) == int(waiting[-1].number) + 1
    assert bullmq.queue("getMeta")["concurrency"] == 0
    jobs.end(running, attempt, DONE)
    for run in (*waiting, new):
        runs_once(jobs, bullmq, run)
    assert outcomes(jobs, done) == outcomes(jobs, running) == ("completed", ["completed"])
    counts = jobs.ledger.counts()[MEDIA_QUEUE]
    assert (counts.waiting, counts.active, counts.completed) == (0, 0, 6)


def test_a_number_that_bullmq_gives_after_obliterate_is_not_taken_from_its_job(jobs: Jobs, bullmq: BullMQ) -> None:
    ours = jobs.accept()
    bullmq.queue("obliterate", {"force": True})
    theirs = bullmq.queue("add", "theirs", {})
    assert theirs["id"] == ours.number
    jobs.put_right()
    again = jobs.producer.runs.latest(ours.spec.job_id)
    assert again is not None
    assert again.number != ours.number
    assert jobs.item(ours)["bull_job_id"] == again.bull_job_id
    assert bullmq.state(theirs["id"]) == "failed"
    assert bullmq.job(theirs["id"])["name"] == "theirs"
    runs_once(jobs, bullmq, again)


def test_a_number_given_anew_after_obliterate_is_not_mistaken_for_the_old_job(
    jobs: Jobs, bullmq: BullMQ, redis_client: redis.Redis
) -> None:
    waiting, running, delayed = jobs.accept(), jobs.accept(), jobs.accept()
    attempts = {run.id: jobs.lease(run) for run in (running, delayed)}
    bullmq.queue("obliterate", {"force": True})
    redis_client.set(jobs.ledger.queue_keys(MEDIA_QUEUE).largest(), 0)  # as if it had been lost as well
    anew = [jobs.accept() for _ in range(3)]
    assert [run.number for run in anew] == [waiting.number, running.number, delayed.number]
    assert jobs.ask_lease(waiting) == "unknown"
    jobs.lease(anew[2])
    assert jobs.ledger.progress(running, attempts[running.id], 50) == "ok"
    assert not jobs.ledger.delay(delayed, attempts[delayed.id], after_s=5, reason="")
    jobs.end(running, attempts[running.id], DONE)
    assert [bullmq.state(run.number) for run in anew] == ["prioritized", "prioritized", "active"]
    assert bullmq.job(anew[1].number)["progress"] == 0
    assert bullmq.queue("getMeta")["concurrency"] == 0
