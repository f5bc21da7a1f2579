"""A running service whose Redis is one of the test's own, behind a proxy; and jobs that stand still while they run."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from geniequeue.config import load_settings
from geniequeue.sandbox.processes import descendants
from tests.redis_proxy import RedisProxy, redis_proxy
from tests.redis_server import RedisServer
from tests.service import REPOSITORY, Answer, Service, await_true, make_service

PHOTO = REPOSITORY / "samples" / "otter.jpg"
SLOW = {"format": "avif", "quality": 90}
QUEUES = ("media-jobs", "scrape-jobs", "onboarding-jobs")


@dataclass
class Trouble:
    """A service, its Redis, and what lies between.

    Attributes:
        token: for the API; `create` has one by the clock of this process.
    """

    service: Service
    server: RedisServer
    proxy: RedisProxy
    token: str = ""
    photo: Path = PHOTO

    @property
    def direct(self) -> redis.Redis:
        """Return a connection past the proxy."""
        return redis.Redis.from_url(self.server.url, decode_responses=True)

    def mains(self) -> dict[str, int]:
        """Return the main process of the worker of every queue."""
        return {queue: self.service.worker_pids(queue)[0] for queue in QUEUES}

    def pool_child(self) -> int:
        """Return the pool child of the media worker."""
        main = self.service.worker_pids("media-jobs")[0]
        return next(pid for pid in self.service.worker_pids("media-jobs") if pid != main)

    def create(self, operation: str = "resize_image", **params: Any) -> str:
        """Create an item; return the job's id."""
        return self.service.create(self.service.token("creator"), operation, self.photo, params or {"width": 40})

    def send(self, job_id: str, operation: str = "resize_image") -> Answer:
        """POST a job."""
        return self.service.enqueue(self.token, job_id, operation)

    def sent(self) -> str:
        """Create and send a job; return its id."""
        job_id = self.create()
        answer = self.send(job_id)
        assert answer.status == 200, answer
        return job_id

    def start_slow_job(self, **params: Any) -> str:
        """Start a job of a second; return once it has its input."""
        job_id = self.create("convert_image", **(params or SLOW))
        assert self.send(job_id, "convert_image").status == 200
        tmp = self.tmp
        await_true(lambda: any(tmp.glob("job-*/in/*")), 30, lambda: f"no job starts:\n{self.service.log()[-3000:]}")
        return job_id

    @contextmanager
    def held_job(self, **params: Any) -> Iterator[str]:
        """Start a job whose sandbox stands still until the end of the block."""
        job_id = self.start_slow_job(**params)
        sandbox = descendants(self.pool_child())
        for pid in sandbox:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield job_id
        finally:
            for pid in sandbox:
                with suppress(ProcessLookupError):  # it was killed
                    os.kill(pid, signal.SIGCONT)

    def attempts(self, job_id: str) -> int:
        """Return how many attempts of a job there were."""
        return int(self.direct.hget(f"gq:job:{job_id}", "attempt") or 0)

    @property
    def tmp(self) -> Path:
        """Where running jobs have their files."""
        return load_settings(self.service.environ).media_tmp_dir

    def tmp_is_empty(self) -> bool:
        """Tell whether no temporary file of a job is left."""
        return not any(self.tmp.iterdir())

    def bull(self, job_id: str) -> str:
        """Return the name of a job in the ledger."""
        return str(self.direct.hget(f"gq:job:{job_id}", "bull"))

    def lock(self, job_id: str) -> str | None:
        """Return the lock of a job."""
        return self.direct.get(f"{self.bull(job_id)}:lock")

    def outputs(self, job: dict[str, Any]) -> list[str]:
        """Return the files that were announced for a job."""
        rows = self.service.store.as_service().list_items("media_job_outputs", {"job_id": job["jobId"]})
        return [row["file_id"] for row in rows]

    def await_completed(self, job_id: str, within_s: float = 90) -> dict[str, Any]:
        """Wait until a job is completed, and has one output."""
        job: dict[str, Any] = self.service.await_final(self.token, job_id, within_s)
        assert job["state"] == "completed", (job, self.service.log()[-3000:])
        assert self.outputs(job) == [output["file_id"] for output in job["outputs"]]
        return job

    def runs(self, job_id: str) -> int:
        """Return how many runs of a job were accepted, by the records."""
        return self.service.store.as_service().count_items("media_job_runs", {"job_id": job_id})

    def ran_once(self, job_id: str) -> dict[str, Any]:
        """Wait for a job to be completed, in its first attempt."""
        job = self.await_completed(job_id)
        assert (job["attempts"], self.attempts(job_id), self.runs(job_id)) == (1, 1, 1)
        return job

    def log_lines(self, since: int) -> list[dict[str, Any]]:
        """Return what was logged since the log was so many bytes long."""
        text = self.service.log().encode()[since:].decode(errors="replace")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def log_size(self) -> int:
        """Return how long the log is, in bytes."""
        return (self.service.folder / "up.log").stat().st_size


@contextmanager
def running_trouble(folder: Path, redis_environ: Mapping[str, str] | None = None, **settings: str) -> Iterator[Trouble]:
    """Run a Redis, a proxy before it, and a service behind that.

    Args:
        redis_environ: further variables for the Redis.
        settings: further variables for the service.
    """
    (folder / "redis").mkdir(parents=True)
    server = RedisServer(folder / "redis", redis_environ or {})
    server.start()
    with redis_proxy(server.url) as proxy:
        service = make_service(folder / "var", REDIS_URL=proxy.url, STOP_WITHIN_S="6", **settings)
        try:
            service.start()
            yield Trouble(service, server, proxy, service.token("creator"), small_photo(folder))
        finally:
            service.stop()
            server.stop()


def small_photo(folder: Path) -> Path:
    """Make a photograph that takes a second to encode, so that a job can be held before it is done."""
    import pyvips

    path = folder / "small.jpg"
    pyvips.Image.thumbnail(str(PHOTO), 1600).write_to_file(str(path))
    return path


def always(condition: Callable[[], bool], for_s: float) -> None:
    """Check that something stays as it is, for as long as somebody might change it."""
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        assert condition()
        time.sleep(0.2)


def timed(call: Callable[[], Answer]) -> tuple[Answer, float]:
    """Return an answer and how long it took, in seconds."""
    began = time.monotonic()
    answer = call()
    return answer, time.monotonic() - began
