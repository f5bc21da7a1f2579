"""Jobs that are cancelled while they run, or run too long: their processes are dead in time, and nothing is left."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from geniequeue.operations import OPERATIONS
from geniequeue.sandbox.processes import descendants
from tests.chaos.trouble import Trouble
from tests.service import await_true

# the promise is 2 s, which a machine that does much else may miss: bench/chaos/cancel.py measures it
DEAD_WITHIN_S = 15.0


def cancel(trouble: Trouble, job_id: str) -> None:
    """Ask for a running job to stop."""
    answer = trouble.service.request("POST", f"/api/queue/jobs/{job_id}/cancel", trouble.token)
    assert (answer.status, answer.body["state"]) == (200, "cancelling")


def await_dead(pids: list[int], within_s: float) -> None:
    """Wait until none of these processes exists, not even as a zombie."""
    await_true(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), within_s, lambda: f"alive: {pids}")


def ended_as_cancelled(trouble: Trouble, job_id: str) -> None:
    job = trouble.service.await_final(trouble.token, job_id)
    assert job["state"] == "cancelled"
    assert trouble.service.store.as_service().get_item("media_jobs", job_id)["status"] == "cancelled"
    assert trouble.outputs(job) == []
    await_true(trouble.tmp_is_empty, 10, lambda: "temporary files are left")


def test_a_running_job_that_is_cancelled_is_dead_soon(trouble: Trouble) -> None:
    with trouble.held_job() as job_id:
        sandbox = descendants(trouble.pool_child())
        cancel(trouble, job_id)
        await_dead(sandbox, DEAD_WITHIN_S)
        ended_as_cancelled(trouble, job_id)
    trouble.ran_once(trouble.sent())


def test_a_cancelled_job_whose_pool_child_hangs_is_killed_with_it(trouble: Trouble) -> None:
    with trouble.held_job() as job_id:
        child = trouble.pool_child()
        family = [child, *descendants(child)]
        os.kill(child, signal.SIGSTOP)
        cancel(trouble, job_id)
        await_dead(family, DEAD_WITHIN_S)
        ended_as_cancelled(trouble, job_id)
    trouble.ran_once(trouble.sent())


@pytest.mark.long
@pytest.mark.timeout(400)
def test_f13_a_job_that_stands_still_is_ended_at_its_limit_and_leaves_no_process(trouble: Trouble) -> None:
    began = time.monotonic()
    with trouble.held_job() as job_id:
        limit_s = OPERATIONS["convert_image"].time_limit_s
        sandbox = descendants(trouble.pool_child())
        await_dead(sandbox, limit_s + 30)
        took_s = time.monotonic() - began
        assert limit_s - 1 <= took_s <= limit_s + 10
        job = trouble.service.await_final(trouble.token, job_id)
    assert (job["state"], job["error"]) == ("failed", "timeout")
    assert trouble.outputs(job) == []
    await_true(trouble.tmp_is_empty, 10, lambda: "temporary files are left")
    trouble.ran_once(trouble.sent())
