"""BullMQ's own clients in a Node process, asked over a pipe."""

from __future__ import annotations

import itertools
import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.node_program import node_program

FOLDER = Path(__file__).resolve().parent
ANSWER_WITHIN_S = 20.0
STOP_WITHIN_S = 10.0


class BullMQError(Exception):
    """BullMQ threw; the message is its own."""


def missing(what: str) -> NoReturn:
    """Skip the test, on CI fail it: a test that nobody runs proves nothing."""
    message = f"{what} is not installed: what BullMQ's clients read is NOT tested"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def installed() -> None:
    """Skip the test, on CI fail it, unless Node and the packages of the lock file are there."""
    if node_program() is None or not (FOLDER / "node_modules" / ".package-lock.json").exists():
        missing("what make setup-tests installs for Node")


@contextmanager
def running(script: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script of this folder until the block ends."""
    process = subprocess.Popen(
        [str(node_program()), script],
        cwd=FOLDER,
        env={"PATH": os.environ["PATH"], **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.wait(STOP_WITHIN_S)
        process.stdout.close()


class BullMQ:
    """A BullMQ client of one queue.

    Args:
        process: a running `client.mjs`.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._ids = itertools.count(1)
        self._answers: dict[int, Any] = {}
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def begin(self, on: str, call: str, *args: Any) -> int:
        """Send a call; `answer` awaits what it comes to."""
        number = next(self._ids)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "on": on, "call": call, "args": args}) + "\n")
        self._process.stdin.flush()
        return number

    def answer(self, number: int) -> Any:
        """Return what a call came to.

        Raises:
            BullMQError: BullMQ threw.
        """
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while number not in self._answers:
            answer = json.loads(self._lines.get(timeout=max(0.0, deadline - time.monotonic())))
            self._answers[answer["id"]] = answer
        answer = self._answers.pop(number)
        if "error" in answer:
            raise BullMQError(answer["error"])
        return answer["value"]

    def queue(self, call: str, *args: Any) -> Any:
        """Call a method of `Queue`."""
        return self.answer(self.begin("queue", call, *args))

    def job(self, number: str, call: str = "toJSON", *args: Any) -> Any:
        """Call a method of the `Job` that `Job.fromId` finds; None where it finds none."""
        return self.answer(self.begin("job", call, number, *args))

    def state(self, number: str) -> str:
        """Return what `getState` says."""
        return str(self.job(number, "getState"))

    def begin_waiting(self, number: str) -> int:
        """Call `waitUntilFinished`, and return when it has looked once and listens from now on."""
        call = self.begin("job", "waitUntilFinished", number, int(ANSWER_WITHIN_S * 1000))
        for _ in range(3):
            self.state(number)
        return call

    def listen(self) -> None:
        """Start a `QueueEvents` that hears everything from the first event on."""
        self.answer(self.begin("events", "listen", "0"))

    def events(self, number: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the events of one job that `QueueEvents` has emitted."""
        seen = self.answer(self.begin("events", "seen"))
        assert not [args for event, args in seen if event == "error"], seen
        return [(event, args) for event, args in seen if args["jobId"] == number]

    def start_worker(self, **options: Any) -> None:
        """Start a BullMQ `Worker` on the queue."""
        self.answer(self.begin("worker", "start", options))

    def worker_seen(self) -> list[tuple[str, str]]:
        """Return what that worker took and what it found stalled."""
        return [(what, number) for what, number in self.answer(self.begin("worker", "seen"))]

    def close_worker(self) -> None:
        """Close that worker."""
        self.answer(self.begin("worker", "close"))


def eventually(condition: Any, within_s: float = 10.0) -> None:
    """Poll until `condition()` holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)
