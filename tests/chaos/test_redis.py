"""Redis is emptied and restarted under the workers; each test is named after its row of the fault table."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import redis

from geniequeue.jobs.job import number_of
from tests.chaos.test_workers import attempts_of, one_output, redis_of, standing_still, start_slow_job
from tests.service import Service, await_true

PRIORITIES = (10, 5, 40, 0, 10)
RESTORED_WITHIN_S = 60


def test_f16_after_flushall_every_job_runs_once_in_its_order(service: Service, token: str, photo: Path) -> None:
    flush_under(service, token, photo, jobs=20)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_f16_after_flushall_two_hundred_jobs_run_once_in_their_order(service: Service, token: str, photo: Path) -> None:
    flush_under(service, token, photo, jobs=200)


@pytest.mark.long
def test_f16_a_redis_that_lost_its_data_in_a_crash_is_filled_again(service: Service, token: str, photo: Path) -> None:
    running = start_slow_job(service, token, photo)
    client = redis_of(service)
    lock = f"{client.hget(f'gq:job:{running}', 'bull')}:lock"
    with standing_still(service):
        await_renewal(service, lock)
        waiting = [service.create(token, "resize_image", photo, {"width": 40}) for _ in range(5)]
        for job_id in waiting:
            assert service.enqueue(token, job_id, "resize_image").status == 200
        place = Path(client.config_get("dir")["dir"])
        for data in (*place.rglob("*.aof"), *place.rglob("*.rdb"), *place.rglob("*.manifest")):
            data.unlink()
        os.kill(client.info("server")["process_id"], signal.SIGKILL)
        await_true(lambda: is_empty(service), 30, lambda: f"Redis is not back:\n{service.log()[-3000:]}")
        await_true(lambda: redis_of(service).exists(lock), 30, lambda: "the lease is not taken again")
    for job_id in (running, *waiting):
        job = service.await_final(token, job_id, within_s=90)
        assert job["state"] == "completed"
        assert one_output(service, job)
        assert attempts_of(service, job_id) == (1 if job_id == running else 2)


def is_empty(service: Service) -> bool:
    """Tell whether Redis answers and knows no job's number, which only the records can tell it."""
    try:
        return not redis_of(service).exists("bull:media-jobs:id")
    except redis.RedisError:
        return False


def flush_under(service: Service, token: str, photo: Path, jobs: int) -> None:
    """Empty Redis while one job runs and others wait, and see all of them through."""
    before = media_stats(service, token)
    waiting = [service.create(token, "resize_image", photo, {"width": 40}) for _ in range(jobs)]
    running = start_slow_job(service, token, photo)
    lock = f"{redis_of(service).hget(f'gq:job:{running}', 'bull')}:lock"
    numbers = {}
    with standing_still(service):
        await_renewal(service, lock)
        for place, job_id in enumerate(waiting):
            answer = service.enqueue(token, job_id, "resize_image", priority=PRIORITIES[place % len(PRIORITIES)])
            numbers[job_id] = int(number_of(answer.body["bullJobId"]))
        redis_of(service).flushall()
        late = service.create(token, "resize_image", photo, {"width": 40})
        answer = service.enqueue(token, late, "resize_image", priority=50)
        assert int(number_of(answer.body["bullJobId"])) > max(numbers.values())
        restored = [numbers[job_id] for job_id in in_order(waiting)]
        # the running one comes back as a waiting one, until its lease is renewed
        await_true(
            lambda: waiting_numbers(service)[:-1] == restored,
            RESTORED_WITHIN_S,
            lambda: f"{waiting_numbers(service)}, not {restored}:\n{service.log()[-3000:]}",
        )
        assert media_stats(service, token)["waiting"] == jobs + 1
        await_true(lambda: redis_of(service).exists(lock), 20, lambda: "the lease is not taken again")
    ended = [service.await_final(token, job_id, within_s=300) for job_id in (running, *in_order(waiting), late)]
    assert {job["state"] for job in ended} == {"completed"}
    assert all(one_output(service, job) for job in ended)
    started = [job["timings"]["started_at"] for job in ended]
    assert started == sorted(started)
    # the restored ones begin with 2, for the records cannot tell that their first attempt had not begun
    assert [attempts_of(service, job["jobId"]) for job in ended] == [1, *[2] * jobs, 1]
    after = media_stats(service, token)
    assert (after["completed"], after["failed"]) == (before["completed"] + jobs + 2, before["failed"])


def await_renewal(service: Service, lock: str) -> None:
    """Wait until the worker's main process knows of a lease; one that it never saw it cannot take again."""
    client, left_ms = redis_of(service), [10_000]

    def renewed() -> bool:
        left_ms.append(int(client.pttl(lock)))
        return left_ms[-1] > left_ms[-2]

    await_true(renewed, 20, lambda: f"the lease is not renewed: {left_ms[-5:]}")


def in_order(waiting: list[str]) -> list[str]:
    """Sort jobs by priority, those of the same priority by age."""
    places = sorted(range(len(waiting)), key=lambda place: (PRIORITIES[place % len(PRIORITIES)], place))
    return [waiting[place] for place in places]


def waiting_numbers(service: Service) -> list[int]:
    """Return the numbers of the jobs that wait, the next one first."""
    client = redis_of(service)
    urgent = client.lrange("bull:media-jobs:wait", 0, -1)[::-1]
    return [int(number) for number in (*urgent, *client.zrange("bull:media-jobs:prioritized", 0, -1))]


def media_stats(service: Service, token: str) -> dict[str, Any]:
    """Return the numbers of the media queue."""
    stats: dict[str, Any] = service.request("GET", "/api/queue/stats", token).body["stats"]["media-jobs"]
    return stats


def test_f15_cut_connections_cost_a_running_job_nothing(service: Service, token: str, photo: Path) -> None:
    job_id = start_slow_job(service, token, photo)
    redis_of(service).client_kill_filter(_type="normal", skipme=True)
    job = service.await_final(token, job_id)
    assert (job["state"], job["attempts"], attempts_of(service, job_id)) == ("completed", 1, 1)
    assert service.run(token, "resize_image", photo, {"width": 30}, within_s=30)["state"] == "completed"
