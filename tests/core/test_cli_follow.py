"""Waiting for a job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from geniequeue.cli.api_client import ApiClient, Job
from geniequeue.cli.exits import Unreachable
from geniequeue.cli.follow import PATIENCE_S, await_final, exit_code


class Script:
    """An API that answers one thing after the other, and a clock that sleeping moves."""

    def __init__(self, *answers: Any) -> None:
        self.answers: Iterator[Any] = iter(answers)
        self.last: Any = None
        self.now = 0.0
        self.seen: list[str] = []

    def job(self, job_id: str) -> Job:
        self.last = next(self.answers, self.last)
        if isinstance(self.last, Exception):
            raise self.last
        return {"jobId": job_id, "ok": True, "state": self.last}

    def update(self, job: Job) -> None:
        self.seen.append(job["state"])

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self) -> Job:
        return await_final(cast("ApiClient", self), "1", self, clock=lambda: self.now, sleep=self.sleep)


def test_every_state_is_told_until_a_final_one() -> None:
    script = Script("waiting", "active", "completed")
    assert script.run() == {"jobId": "1", "state": "completed"}
    assert script.seen == ["waiting", "active", "completed"]


def test_a_service_that_restarts_is_waited_for() -> None:
    assert Script("active", Unreachable("away"), Unreachable("away"), "completed").run()["state"] == "completed"


def test_a_service_that_stays_away_is_given_up_after_half_a_minute() -> None:
    script = Script("active", Unreachable("away"))
    with pytest.raises(Unreachable):
        script.run()
    assert PATIENCE_S < script.now < PATIENCE_S + 2


@pytest.mark.parametrize(("states", "code"), [
    (["completed"], 0), (["waiting", "active"], 0), (["completed", "failed"], 1), (["cancelled"], 1),
])  # fmt: skip
def test_the_exit_code_tells_of_a_failure(states: list[str], code: int) -> None:
    assert exit_code([{"state": state} for state in states]) == code
