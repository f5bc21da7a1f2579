"""Wait for a job, telling somebody how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from geniequeue.cli.api_client import ApiClient, Job
from geniequeue.cli.exits import COMPLETED, JOB_FAILED, Unreachable
from geniequeue.jobs.job import FINAL_STATES

FIRST_POLL_S, LONGEST_POLL_S = 0.05, 0.5
PATIENCE_S = 30.0


class Follower(Protocol):
    """Somebody who wants to know how far a job is."""

    def update(self, job: Job) -> None:
        """Take the job as it is now."""


def await_final(
    api: ApiClient,
    job_id: str,
    follower: Follower,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Job:
    """Poll until the job is completed, failed or cancelled, and return it.

    Raises:
        Unreachable: the service has been away for half a minute; a restart takes less.
    """
    pause_s, answered_at = FIRST_POLL_S, clock()
    while True:
        try:
            job = api.job(job_id)
        except Unreachable:
            if clock() - answered_at > PATIENCE_S:
                raise
        else:
            answered_at = clock()
            follower.update(job)
            if job["state"] in FINAL_STATES:
                job.pop("ok", None)
                return job
        sleep(pause_s)
        pause_s = min(LONGEST_POLL_S, pause_s * 1.3)


def exit_code(jobs: Iterable[Job]) -> int:
    """Return 1 where a job failed or was cancelled."""
    return JOB_FAILED if any(job["state"] in ("failed", "cancelled") for job in jobs) else COMPLETED
