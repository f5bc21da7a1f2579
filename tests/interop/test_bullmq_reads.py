"""What BullMQ's own client reads from our ledger while jobs go through it."""

from __future__ import annotations

import time

import pytest
import redis

from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.jobs.outcome import Cancelled, Completed, Failed
from geniequeue.jobs.stored import CANCELLED_REASON
from geniequeue.operations import MEDIA_QUEUE, OPERATIONS
from tests.interop.conftest import OPERATION, WORKER, Jobs
from tests.interop.node import BullMQ, BullMQError, eventually

RESULT = {"outputs": [{"file_id": "0f8fad5b-d9cb-469f-a165-70867728950e", "mime": "image/webp"}]}
REASON = "The file is empty."
STATES = ("active", "completed", "delayed", "failed", "prioritized", "waiting", "waiting-children")
NO_JOBS = dict.fromkeys(STATES, 0)


def counts(bullmq: BullMQ) -> dict[str, int]:
    """Return what `getJobCounts` says, without the state that only BullMQ 5 has."""
    found: dict[str, int] = bullmq.queue("getJobCounts")
    assert found.pop("paused", 0) == 0
    return found


def numbers(bullmq: BullMQ, *states: str) -> list[str]:
    """Return the ids that `getJobs` lists."""
    return [job["id"] for job in bullmq.queue("getJobs", list(states))]


def test_a_job_just_accepted_is_read_with_its_data_and_options(jobs: Jobs, bullmq: BullMQ) -> None:
    before_ms = time.time() * 1000
    run = jobs.accept(priority=7)
    job = bullmq.job(run.number)
    assert (job["id"], job["name"]) == (run.number, OPERATION)
    assert (job["data"]["jobId"], job["data"]["operation"]) == (run.spec.job_id, OPERATION)
    assert job["opts"] == {"priority": 7, "attempts": OPERATIONS[OPERATION].max_tries}
    assert before_ms - 1 <= job["timestamp"] <= time.time() * 1000
    assert (job["priority"], job["delay"], job["progress"]) == (7, 0, 0)
    assert (job["attemptsStarted"], job["attemptsMade"], job["stalledCounter"]) == (0, 0, 0)
    assert (job["returnvalue"], job["stacktrace"]) == (None, [])
    assert {"processedOn", "finishedOn", "failedReason", "processedBy"} & set(job) == set()


def test_from_id_takes_the_last_part_of_the_bull_job_id_and_not_the_whole(jobs: Jobs, bullmq: BullMQ) -> None:
    run = jobs.accept()
    assert bullmq.job(run.bull_job_id) is None
    assert bullmq.job(run.bull_job_id.rsplit(":", 1)[1])["id"] == run.number


@pytest.mark.parametrize(("priority", "state"), [(0, "waiting"), (1, "prioritized"), (2_097_151, "prioritized")])
def test_a_waiting_job_is_in_the_state_that_bullmq_gives_its_priority(
    jobs: Jobs, bullmq: BullMQ, priority: int, state: str
) -> None:
    run = jobs.accept(priority)
    assert bullmq.state(run.number) == state
    assert counts(bullmq) == {**NO_JOBS, state: 1}
    assert numbers(bullmq, state) == [run.number]


def test_every_state_of_a_job_is_read_as_it_is(jobs: Jobs, bullmq: BullMQ) -> None:
    run = jobs.accept()
    attempt = jobs.lease(run)
    assert (bullmq.state(run.number), counts(bullmq)) == ("active", {**NO_JOBS, "active": 1})
    jobs.ledger.delay(run, attempt, after_s=60, reason="The host did not answer.")
    assert (bullmq.state(run.number), counts(bullmq)) == ("delayed", {**NO_JOBS, "delayed": 1})
    jobs.come_due(run)
    jobs.end(run, jobs.lease(run), Completed(RESULT))
    assert (bullmq.state(run.number), counts(bullmq)) == ("completed", {**NO_JOBS, "completed": 1})


def test_jobs_are_listed_and_counted_by_state(jobs: Jobs, bullmq: BullMQ) -> None:
    by_state = {"completed": [jobs.ended(Completed(RESULT))], "failed": [jobs.ended(Failed("input", REASON))]}
    delayed, active = jobs.accept(), jobs.accept()
    jobs.ledger.delay(delayed, jobs.lease(delayed), after_s=60, reason=REASON)
    jobs.lease(active)
    by_state |= {"delayed": [delayed], "active": [active]}
    by_state |= {"waiting": [jobs.accept(0), jobs.accept(0)], "prioritized": [jobs.accept(3)]}
    assert counts(bullmq) == {**NO_JOBS, **{state: len(runs) for state, runs in by_state.items()}}
    for state, runs in by_state.items():
        assert numbers(bullmq, state) == [run.number for run in reversed(runs)], state
    everyone = {run.number for runs in by_state.values() for run in runs}
    assert set(numbers(bullmq, *by_state)) == everyone


def test_our_stats_and_bullmqs_counts_agree(jobs: Jobs, bullmq: BullMQ) -> None:
    jobs.accept(0)
    jobs.accept(10)
    jobs.lease(jobs.accept())
    jobs.ended(Completed(RESULT))
    ours, theirs = jobs.ledger.counts()[MEDIA_QUEUE], counts(bullmq)
    assert ours.waiting == theirs["waiting"] + theirs["prioritized"] == 2
    assert (ours.active, ours.completed) == (theirs["active"], theirs["completed"]) == (1, 1)


def test_a_running_job_shows_start_worker_and_progress(jobs: Jobs, bullmq: BullMQ) -> None:
    run = jobs.accept()
    jobs.ledger.progress(run, jobs.lease(run), 40.5)
    job = bullmq.job(run.number)
    assert (job["progress"], job["processedBy"], job["attemptsStarted"], job["attemptsMade"]) == (40.5, WORKER, 1, 0)
    assert job["timestamp"] <= job["processedOn"] <= time.time() * 1000
    assert "finishedOn" not in job


def test_a_delayed_job_shows_why_and_for_how_long_and_no_longer_once_it_runs_again(jobs: Jobs, bullmq: BullMQ) -> None:
    run = jobs.accept()
    jobs.ledger.delay(run, jobs.lease(run), after_s=5, reason="The host did not answer.")
    job = bullmq.job(run.number)
    assert (job["failedReason"], job["delay"], job["attemptsMade"]) == ("The host did not answer.", 5000, 1)
    jobs.come_due(run)
    jobs.lease(run)
    job = bullmq.job(run.number)
    assert (job["delay"], job["progress"], job["attemptsStarted"]) == (0, 0, 2)


def test_a_delayed_job_is_listed_by_the_time_it_is_due(jobs: Jobs, bullmq: BullMQ) -> None:
    runs = [jobs.accept() for _ in range(3)]
    for run, after_s in zip(runs, (90, 30, 60), strict=True):
        jobs.ledger.delay(run, jobs.lease(run), after_s=after_s, reason=REASON)
    listed = [job["id"] for job in bullmq.queue("getDelayed")]
    assert listed == [runs[1].number, runs[2].number, runs[0].number]


def test_a_completed_job_shows_its_result_and_times(jobs: Jobs, bullmq: BullMQ) -> None:
    job = bullmq.job(jobs.ended(Completed(RESULT)).number)
    assert (job["returnvalue"], job["progress"], job["attemptsMade"]) == (RESULT, 100, 1)
    assert job["timestamp"] <= job["processedOn"] <= job["finishedOn"]
    assert "failedReason" not in job


def test_a_failed_job_shows_the_reason_for_people_as_plain_text(jobs: Jobs, bullmq: BullMQ) -> None:
    run = jobs.ended(Failed("input", REASON))
    job = bullmq.job(run.number)
    assert (job["failedReason"], job["attemptsMade"], job["stacktrace"]) == (REASON, 1, [])
    assert bullmq.state(run.number) == "failed"
    assert bullmq.job(run.number, "isFailed")


def test_a_cancelled_job_is_a_failed_one_that_says_so(jobs: Jobs, bullmq: BullMQ) -> None:
    run = jobs.accept()
    assert jobs.cancel(run) == "cancelled"
    assert (bullmq.state(run.number), counts(bullmq)) == ("failed", {**NO_JOBS, "failed": 1})
    job = bullmq.job(run.number)
    assert (job["failedReason"], job["attemptsMade"]) == (CANCELLED_REASON, 0)


def test_prioritized_jobs_are_listed_in_the_order_they_will_run(jobs: Jobs, bullmq: BullMQ) -> None:
    order = [2_097_151, 10, 1, 10, 5, 1]
    runs = [jobs.accept(priority) for priority in order]
    first_come = sorted(range(len(runs)), key=lambda index: (order[index], index))
    listed = [job["id"] for job in bullmq.queue("getPrioritized")]
    assert listed == [runs[index].number for index in first_come]


def test_jobs_of_priority_0_are_listed_in_the_order_they_will_run(jobs: Jobs, bullmq: BullMQ) -> None:
    runs = [jobs.accept(0) for _ in range(3)]
    assert [job["id"] for job in bullmq.queue("getWaiting")] == [run.number for run in runs]


def test_bullmqs_own_job_and_ours_wait_in_one_order(jobs: Jobs, bullmq: BullMQ) -> None:
    first = jobs.accept(10)
    theirs = bullmq.queue("add", "resize_image", {"jobId": "theirs"}, {"priority": 10})
    last = jobs.accept(10)
    assert [job["id"] for job in bullmq.queue("getPrioritized")] == [first.number, theirs["id"], last.number]


def test_a_job_has_no_log_lines_and_asking_for_them_is_no_error(jobs: Jobs, bullmq: BullMQ) -> None:
    run = jobs.ended(Failed("input", REASON))
    assert bullmq.queue("getJobLogs", run.number) == {"logs": [], "count": 0}


def test_events_tell_the_whole_life_of_a_job(jobs: Jobs, bullmq: BullMQ) -> None:
    bullmq.listen()
    run = jobs.accept()
    attempt = jobs.lease(run)
    jobs.ledger.progress(run, attempt, 40)
    jobs.ledger.delay(run, attempt, after_s=5, reason=REASON)
    jobs.come_due(run)
    jobs.end(run, jobs.lease(run), Completed(RESULT))
    expected = ["added", "waiting", "active", "progress", "delayed", "active", "completed"]
    eventually(lambda: len(bullmq.events(run.number)) >= len(expected))
    events = bullmq.events(run.number)
    assert [event for event, _ in events] == expected
    told = dict(events)
    assert told["progress"]["data"] == 40
    assert told["delayed"]["delay"] == pytest.approx(time.time() * 1000 + 5000, abs=5000)
    assert (told["completed"]["returnvalue"], told["completed"]["prev"]) == (RESULT, "active")


def test_who_waits_for_a_job_hears_its_result_before_and_after_the_end(jobs: Jobs, bullmq: BullMQ) -> None:
    bullmq.listen()
    run = jobs.accept()
    waiting = bullmq.begin_waiting(run.number)
    jobs.end(run, jobs.lease(run), Completed(RESULT))
    assert bullmq.answer(waiting) == RESULT
    assert bullmq.job(run.number, "waitUntilFinished", 15_000) == RESULT


def test_who_waits_for_a_job_hears_why_it_failed_before_and_after_the_end(jobs: Jobs, bullmq: BullMQ) -> None:
    bullmq.listen()
    run = jobs.accept(priority=0)
    waiting = bullmq.begin_waiting(run.number)
    jobs.end(run, jobs.lease(run), Failed("input", REASON))
    with pytest.raises(BullMQError, match=REASON):
        bullmq.answer(waiting)
    with pytest.raises(BullMQError, match=REASON):
        bullmq.job(run.number, "waitUntilFinished", 15_000)


@pytest.mark.parametrize("active", [False, True])
def test_who_waits_for_a_job_hears_that_it_was_cancelled(jobs: Jobs, bullmq: BullMQ, active: bool) -> None:
    bullmq.listen()
    run = jobs.accept()
    waiting = bullmq.begin_waiting(run.number)
    if active:
        jobs.end(run, jobs.lease(run), Cancelled())
    else:
        jobs.cancel(run)
    with pytest.raises(BullMQError, match=CANCELLED_REASON):
        bullmq.answer(waiting)
    told = dict(bullmq.events(run.number))
    assert told["failed"]["prev"] == ("active" if active else "waiting")


def test_a_retry_by_the_user_is_a_new_job_beside_the_failed_one(jobs: Jobs, bullmq: BullMQ) -> None:
    first = jobs.ended(Failed("tool", REASON))
    second = jobs.retry(first)
    assert counts(bullmq) == {**NO_JOBS, "failed": 1, "prioritized": 1}
    assert bullmq.job(second.number)["opts"]["priority"] == 5


def test_forgotten_jobs_are_gone_without_a_trace_that_bullmq_stumbles_over(
    jobs: Jobs, bullmq: BullMQ, redis_client: redis.Redis
) -> None:
    kept, *_ = reversed([jobs.ended(Completed(RESULT)) for _ in range(3)])
    bullmq.job("1", "log", "a line that an operator wrote")
    jobs.ledger.trim(keep=1, keep_s=3600)
    assert numbers(bullmq, "completed") == [kept.number]
    assert redis_client.keys("bull:media-jobs:1*") == []
    assert bullmq.queue("removeOrphanedJobs") == 0


def test_bullmqs_tidying_up_removes_nothing_of_ours(jobs: Jobs, bullmq: BullMQ, redis_client: redis.Redis) -> None:
    jobs.accept(0)
    jobs.lease(jobs.accept())
    jobs.ended(Completed(RESULT))
    before = sorted(redis_client.keys("*"))
    assert bullmq.queue("removeOrphanedJobs") == 0
    assert sorted(redis_client.keys("*")) == before


def test_a_worker_is_known_by_the_name_of_its_connection(
    bullmq: BullMQ, ledger: Ledger, redis_client: redis.Redis, redis_url: str
) -> None:
    assert bullmq.queue("getWorkersCount") == 0
    worker = connect(redis_url, name=ledger.queue_keys(MEDIA_QUEUE).connection_name(WORKER))
    worker.ping()
    assert bullmq.queue("getWorkersCount") == 1
    worker.close()
