"""How long the processes of a job live after somebody has asked for it to stop.

The job is held, as in `recovery`. Dead have to be its sandbox, and where its pool child hangs, that with all below it.
A dead process counts from its death on, whenever its parent asks for how it died.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.chaos import ours
from bench.chaos.figure import Figure, p99, spread
from bench.chaos.process import children_of, descendants_of
from tests.service import Service, await_true

AIM_S = 2.0
BOUND_S = 60.0
POLL_S = 0.005
STARTED_S = 0.5
"""From the lease until the sandbox has the job: one that is cancelled before has no processes."""


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Cancel jobs whose sandbox stands still, then jobs whose pool child does."""
    with ours.running_service(folder / "ours") as service:
        for what, hangs in (("cancelled", False), ("cancelled while its pool child hangs", True)):
            took_s = [_cancelled(service, hangs=hangs) for _ in range(3 if quick else 20)]
            yield Figure(what, "ours", spread(took_s), f"p99 <= {AIM_S:.0f} s", p99(took_s) <= AIM_S)


def _cancelled(service: Service, *, hangs: bool) -> float:
    token, client = service.token("creator"), ours.redis_of(service)
    service.await_final(token, ours.send(service, token))  # so that the worker has its sandbox
    main = ours.media_main(service)
    with ours.held(service, main):
        job_id = ours.send(service, token)
        await_true(lambda: ours.attempts_of(client, job_id) == 1, BOUND_S, lambda: service.log()[-3000:])
        time.sleep(STARTED_S)
        child = children_of(main)[0]
        pids = ours.sandbox_of(main)
        if hangs:
            pids = [child, *descendants_of(child)]
            os.kill(child, signal.SIGSTOP)
        began = time.monotonic()
        answer = service.request("POST", f"/api/queue/jobs/{job_id}/cancel", token)
        assert answer.status == 200, answer
        _await(lambda: not any(map(_runs, pids)), began)
        took_s = time.monotonic() - began
    job = service.await_final(token, job_id)
    assert job["state"] == "cancelled", job
    return took_s


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def _await(reached: Callable[[], bool], began: float) -> None:
    while not reached():
        assert time.monotonic() - began < BOUND_S, "processes of a cancelled job live on"
        time.sleep(POLL_S)
