"""Workers that are asked to end, politely and less so; each test is named after its row of the fault table."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

import pytest

from geniequeue.jobs.leases import LEASE_S
from tests.chaos.trouble import QUEUES, Trouble
from tests.service import await_true

AGAIN_WITHIN_S = LEASE_S + 1
"""Of the end of a worker: until its job runs again; by the fault table."""


def await_log(trouble: Trouble, since: int, words: str, within_s: float = 30) -> None:
    """Wait until something was logged."""
    log = trouble.service.folder / "up.log"
    await_true(lambda: words.encode() in log.read_bytes()[since:], within_s, lambda: trouble.service.log()[-3000:])


def test_f8_a_short_job_of_a_worker_that_is_asked_to_end_ends_first(trouble: Trouble) -> None:
    since = trouble.log_size()
    with trouble.held_job() as job_id:
        main = trouble.mains()["media-jobs"]
        os.kill(main, signal.SIGTERM)
        await_log(trouble, since, "Warm shutdown")
    trouble.ran_once(job_id)
    await_new_worker(trouble, "media-jobs", main)
    assert "attempt handed back" not in trouble.service.log()


@pytest.mark.long
@pytest.mark.parametrize(
    "signals",
    [
        pytest.param((signal.SIGTERM, signal.SIGTERM, signal.SIGKILL), id="term-term-kill"),
        pytest.param((signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL), id="term-quit-kill"),
        pytest.param((signal.SIGQUIT,), id="quit"),
    ],
)
def test_f9_a_second_signal_is_a_crash_and_the_job_runs_again(
    trouble: Trouble, signals: Sequence[signal.Signals]
) -> None:
    since = trouble.log_size()
    with trouble.held_job() as job_id:
        main = trouble.mains()["media-jobs"]
        for number in signals:
            os.kill(main, number)
            if number != signals[-1]:
                await_log(trouble, since, "shutdown")
        ended = time.monotonic()
        await_true(lambda: trouble.attempts(job_id) == 2, 60, lambda: trouble.service.log()[-4000:])
        took_s = time.monotonic() - ended
    job = trouble.await_completed(job_id)
    assert job["attempts"] in (1, 2)
    assert trouble.attempts(job_id) == 2
    assert took_s < AGAIN_WITHIN_S
    await_true(trouble.tmp_is_empty, 10, lambda: "temporary files are left")


@pytest.mark.long
def test_f8_workers_that_are_restarted_one_after_the_other_under_load_fail_no_job(trouble: Trouble) -> None:
    jobs = [trouble.create("convert_image", format="webp", quality=60 + number) for number in range(30)]
    for job_id in jobs:
        assert trouble.send(job_id, "convert_image").status == 200
    for queue in (*QUEUES, "media-jobs"):
        main = trouble.mains()[queue]
        os.kill(main, signal.SIGTERM)
        assert trouble.attempts(jobs[-1]) == 0, "all jobs were done before the last restart"
        await_new_worker(trouble, queue, main)
    for job_id in jobs:
        job = trouble.await_completed(job_id)
        assert job["attempts"] == 1
    await_true(trouble.tmp_is_empty, 10, lambda: "temporary files are left")


@pytest.mark.long
def test_f15_a_worker_ends_when_it_is_asked_to_though_redis_is_away(trouble: Trouble) -> None:
    since = trouble.log_size()
    trouble.server.stop()
    try:
        await_log(trouble, since, "no message is taken")
        main = trouble.mains()["scrape-jobs"]
        os.kill(main, signal.SIGTERM)
        await_true(
            lambda: main not in trouble.service.worker_pids("scrape-jobs"), 15, lambda: trouble.service.log()[-3000:]
        )
    finally:
        trouble.server.start()
    await_new_worker(trouble, "scrape-jobs", main)


@pytest.mark.long
def test_f8_a_worker_that_is_asked_to_end_while_redis_is_away_gives_its_job_to_the_next(trouble: Trouble) -> None:
    with trouble.held_job() as job_id:
        main = trouble.mains()["media-jobs"]
        trouble.server.stop()
        try:
            os.kill(main, signal.SIGTERM)
            # 6 s to end by itself, 5 s to hand back
            await_true(
                lambda: main not in trouble.service.worker_pids("media-jobs"), 40, lambda: trouble.service.log()[-3000:]
            )
        finally:
            trouble.server.start()
    await_new_worker(trouble, "media-jobs", main)
    job = trouble.await_completed(job_id)
    assert trouble.attempts(job_id) == 2
    assert job["attempts"] in (1, 2)


def await_new_worker(trouble: Trouble, queue: str, old: int) -> None:
    """Wait until a worker has a successor that is ready."""

    def ready() -> bool:
        pids = trouble.service.worker_pids(queue)
        return old not in pids and len(pids) > 1

    await_true(ready, 60, lambda: f"{queue} has no new worker:\n{trouble.service.log()[-3000:]}")
    trouble.service.wait_ready()
