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

DEAD_WITHIN_S = 2.0


def cancel(trouble: Trouble, job_id: str) -> float:
    """Ask for a running job to stop; return when that was."""
    began = time.monotonic()
    answer = trouble.service.request("POST", f"/api/queue/jobs/{job_id}/cancel", trouble.token)
    assert (answer.status, answer.body["state"]) == (200, "cancelling")
    return began


def await_dead(pids: list[int], within_s: float, began: float) -> float:
    """Wait until none of these processes exists, not even as a zombie; return how long that took, in seconds."""
    await_true(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), within_s, lambda: f"alive: {pids}")
    return time.monotonic() - began


def ended_as_cancelled(trouble: Trouble, job_id: str) -> None:
    job = trouble.service.await_final(trouble.token, job_id)
    assert job["state"] == "cancelled"
    assert trouble.service.store.as_service().get_item("media_jobs", job_id)["status"] == "cancelled"
    assert trouble.outputs(job) == []
    await_true(trouble.tmp_is_empty, 10, lambda: "temporary files are left")


def test_a_running_job_that_is_cancelled_is_dead_within_2_s(trouble: Trouble) -> None:
    with trouble.held_job() as job_id:
        sandbox = descendants(trouble.pool_child())
        took_s = await_dead(sandbox, 30, cancel(trouble, job_id))
        assert took_s <= DEAD_WITHIN_S
        ended_as_cancelled(trouble, job_id)
    trouble.ran_once(trouble.sent())


def test_a_cancelled_job_whose_pool_child_hangs_is_killed_with_it(trouble: Trouble) -> None:
    with trouble.held_job() as job_id:
        child = trouble.pool_child()
        family = [child, *descendants(child)]
        os.kill(child, signal.SIGSTOP)
        took_s = await_dead(family, 60, cancel(trouble, job_id))
        assert took_s <= DEAD_WITHIN_S
        ended_as_cancelled(trouble, job_id)
    trouble.ran_once(trouble.sent())


@pytest.mark.long
@pytest.mark.timeout(400)
def test_f13_a_job_that_stands_still_is_ended_at_its_limit_and_leaves_no_process(trouble: Trouble) -> None:
    began = time.monotonic()
    with trouble.held_job() as job_id:
        limit_s = OPERATIONS["convert_image"].time_limit_s
        sandbox = descendants(trouble.pool_child())
        took_s = await_dead(sandbox, limit_s + 30, began)
        assert limit_s - 1 <= took_s <= limit_s + 10
        job = trouble.service.await_final(trouble.token, job_id)
    assert (job["state"], job["error"]) == ("failed", "timeout")
    assert trouble.outputs(job) == []
    await_true(trouble.tmp_is_empty, 10, lambda: "temporary files are left")
    trouble.ran_once(trouble.sent())
