"""Workers are killed, stopped and asked to end; each test is named after its row of the fault table."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from geniequeue.config import embedded_values
from tests.service import Service, await_true

SLOW = {"format": "avif", "quality": 95}


def redis_of(service: Service) -> redis.Redis:
    return redis.Redis.from_url(embedded_values(service.folder)["REDIS_URL"], decode_responses=True)


def main_and_child(service: Service) -> tuple[int, int]:
    """Return the main process of the media worker and its pool child."""
    pids = service.worker_pids("media-jobs")
    parents = {pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in pids}
    # the oldest: a process that is about to become the sandbox looks the same
    child = next(pid for pid, parent in parents.items() if parent in pids)
    return parents[child], child


def start_slow_job(service: Service, token: str, photo: Path) -> str:
    job_id = service.create(token, "convert_image", photo, SLOW)
    service.enqueue(token, job_id, "convert_image")
    await_encode(service)
    return job_id


def await_encode(service: Service) -> None:
    """Wait until an attempt has its input."""
    tmp = service.folder / "media-tmp"
    await_true(lambda: any(tmp.glob("job-*/in/*")), 20, lambda: f"no job starts:\n{service.log()[-3000:]}")


def stop_sandbox(service: Service) -> list[int]:
    """Let the work of the running job stand still, so that it lasts; return the processes that were stopped."""
    child = main_and_child(service)[1]
    stopped = [pid for pid in _descendants(child) if pid != child]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    return stopped


@contextmanager
def standing_still(service: Service) -> Iterator[None]:
    """Let the running job end after the block and not before."""
    stopped = stop_sandbox(service)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def entry_of(service: Service, job_id: str) -> dict[str, str]:
    client = redis_of(service)
    return dict(client.hgetall(client.hget(f"gq:job:{job_id}", "bull")))


def attempts_of(service: Service, job_id: str) -> int:
    return int(redis_of(service).hget(f"gq:job:{job_id}", "attempt"))


def await_attempt(service: Service, job_id: str, number: int, within_s: float) -> None:
    """Wait for an attempt to begin."""
    await_true(lambda: attempts_of(service, job_id) >= number, within_s, lambda: service.log()[-4000:])


def one_output(service: Service, job: dict[str, Any]) -> bool:
    rows = service.store.as_service().list_items("media_job_outputs", {"job_id": job["jobId"]})
    return [row["file_id"] for row in rows] == [output["file_id"] for output in job["outputs"]]


def test_f1_a_job_whose_pool_child_is_killed_runs_again_at_once(service: Service, token: str, photo: Path) -> None:
    job_id = start_slow_job(service, token, photo)
    os.kill(main_and_child(service)[1], signal.SIGKILL)
    await_attempt(service, job_id, 2, 20)
    job = service.await_final(token, job_id)
    assert (job["state"], job["attempts"]) == ("completed", 2)
    assert one_output(service, job)
    evidence = entry_of(service, job_id)["stacktrace"]
    assert "SIGKILL" in evidence
    assert "attempt started" in evidence


def test_f2_a_killed_main_takes_its_children_along_and_its_job_runs_again(
    service: Service, token: str, photo: Path
) -> None:
    job_id = start_slow_job(service, token, photo)
    main, child = main_and_child(service)
    os.kill(main, signal.SIGKILL)
    await_true(lambda: not Path(f"/proc/{child}").exists(), 2, lambda: "the pool child lives on")
    await_attempt(service, job_id, 2, 20)
    job = service.await_final(token, job_id)
    assert (job["state"], job["attempts"]) == ("completed", 2)
    assert one_output(service, job)


def test_f2_a_worker_that_slept_through_its_lease_writes_nothing_more(
    service: Service, token: str, photo: Path
) -> None:
    job_id = start_slow_job(service, token, photo)
    bull = redis_of(service).hget(f"gq:job:{job_id}", "bull")
    service.hold_workers()
    try:
        await_true(
            lambda: redis_of(service).lpos("bull:media-jobs:active", bull.split(":")[-1]) is None,
            15,
            lambda: "the lease of a sleeping worker is not taken away",
        )
    finally:
        service.hold_workers(hold=False)
    job = service.await_final(token, job_id)
    assert job["state"] == "completed"
    assert one_output(service, job)
    assert attempts_of(service, job_id) == 2


@pytest.mark.long
def test_f3_a_message_that_was_lost_on_its_way_is_sent_again(service: Service, token: str, photo: Path) -> None:
    """kombu takes a message and notes that it has it in two steps; a worker killed in between leaves neither."""
    job_id, client = service.create(token, "resize_image", photo, {"width": 64}), redis_of(service)
    service.hold_workers()
    # of workers killed before: such are forgotten after a minute or two
    taken = set(client.hkeys("unacked"))
    try:
        service.enqueue(token, job_id, "resize_image")
        # its BRPOP is answered, or would be, while its process stands still and takes nothing in
        client.rpop("media-jobs:10")
        assert client.llen("media-jobs:10") == 0
        assert set(client.hkeys("unacked")) <= taken
        os.kill(main_and_child(service)[0], signal.SIGKILL)
    finally:
        service.hold_workers(hold=False)
    job = service.await_final(token, job_id, within_s=120)
    assert (job["state"], attempts_of(service, job_id)) == ("completed", 1)
    assert one_output(service, job)


def test_f6_a_message_delivered_again_and_again_runs_once(service: Service, token: str, photo: Path) -> None:
    blocker = start_slow_job(service, token, photo)
    job_id = service.create(token, "resize_image", photo, {"width": 64})
    service.enqueue(token, job_id, "resize_image")
    client = redis_of(service)
    message = client.lindex("media-jobs:10", 0)
    client.lpush("media-jobs:10", *[message] * 50)
    service.await_final(token, blocker)
    job = service.await_final(token, job_id)
    await_true(lambda: client.llen("media-jobs:10") == 0, 20, lambda: "messages are left")
    assert (job["state"], attempts_of(service, job_id)) == ("completed", 1)


def test_f8_a_stopped_worker_hands_a_long_job_back_without_counting_it(
    service: Service, token: str, photo: Path
) -> None:
    job_id = start_slow_job(service, token, photo)
    stop_sandbox(service)
    os.kill(main_and_child(service)[0], signal.SIGTERM)
    await_attempt(service, job_id, 2, 30)
    job = service.await_final(token, job_id)
    assert (job["state"], job["attempts"]) == ("completed", 1)
    assert "attempt handed back" in service.log()


def test_f10_a_job_that_kills_its_worker_three_times_is_poison(service: Service, token: str, photo: Path) -> None:
    job_id = service.create(token, "convert_image", photo, SLOW)
    service.enqueue(token, job_id, "convert_image")
    for attempt in (1, 2, 3):
        await_attempt(service, job_id, attempt, 20)
        os.kill(main_and_child(service)[1], signal.SIGSEGV)
    job = service.await_final(token, job_id)
    assert (job["state"], job["error"]) == ("failed", "poison")
    assert "SIGSEGV" in entry_of(service, job_id)["stacktrace"]
    assert service.run(token, "resize_image", photo, {"width": 40})["state"] == "completed"


def _descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [pid, *(each for child in children for each in _descendants(child))]
