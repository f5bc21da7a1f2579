"""What the parts look at in a running instance of ours."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from bench.chaos.process import children_of, descendants_of
from geniequeue.config import load_settings
from tests.service import REPOSITORY, Service, await_true, make_service

PHOTO = REPOSITORY / "samples" / "otter.jpg"
OPERATION = "resize_image"
PARAMS = {"width": 64}
UNLIMITED = {"WRITES_PER_MINUTE": "0", "READS_PER_MINUTE": "0"}
START_WITHIN_S = 60.0


@contextmanager
def running_service(folder: Path) -> Iterator[Service]:
    """Run `geniequeue up`, whose supervisor starts at once what was killed."""
    service = make_service(folder, **UNLIMITED)
    service.start()
    try:
        yield service
    finally:
        service.stop()


def redis_of(service: Service) -> redis.Redis:
    """Return a client of an instance's Redis."""
    return redis.Redis.from_url(load_settings(service.environ).redis_url, decode_responses=True)


def media_main(service: Service) -> int:
    """Return the main process of the media worker as soon as it has its sandbox."""
    mains: list[int] = []

    def found() -> bool:
        mains[:] = service.worker_pids("media-jobs")[:1]
        return bool(mains) and bool(sandbox_of(mains[0]))

    await_true(found, START_WITHIN_S, lambda: f"no media worker:\n{service.log()[-3000:]}")
    return mains[0]


def sandbox_of(main: int) -> list[int]:
    """Return the processes of a media worker's sandbox: those below its pool child."""
    return [pid for child in children_of(main) for pid in descendants_of(child)]


@contextmanager
def held(service: Service, main: int) -> Iterator[None]:
    """Let no job of a worker end before the block does; it must have run one, so that its sandbox is there."""
    stopped = sandbox_of(main)
    assert stopped, service.log()[-3000:]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGCONT)


def create(service: Service, token: str, count: int) -> list[str]:
    """Create items of jobs with one photograph as their input; return their ids."""
    file_id, records = service.upload(token, PHOTO), service.store.as_user(token)
    item = {"operation": OPERATION, "input_file_id": file_id, "params": PARAMS}
    return [str(records.create_item("media_jobs", item)["id"]) for _ in range(count)]


def post(service: Service, token: str, job_id: str) -> int:
    """Send a job; return the status of the answer."""
    return service.enqueue(token, job_id, OPERATION).status


def send(service: Service, token: str) -> str:
    """Create a job and send it; return its id."""
    (job_id,) = create(service, token, 1)
    assert post(service, token, job_id) == 200
    return job_id


def attempts_of(client: redis.Redis, job_id: str) -> int:
    """Return how often a job was leased."""
    return int(client.hget(f"gq:job:{job_id}", "attempt") or 0)
