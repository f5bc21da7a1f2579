"""Load on a service, made by `wrk`: it costs little on a machine that it shares with what it measures."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")
TIMEOUT_S = 30


@dataclass(frozen=True)
class Requests:
    """What is sent: one method and path, over and over.

    Attributes:
        bodies: one for each request, none of them twice; there must be more than are sent. None for no body.
    """

    method: str
    path: str
    bodies: Iterable[bytes] | None = None


@dataclass(frozen=True)
class Load:
    """What a load came to; every request was answered with a status below 400.

    Attributes:
        per_s: requests answered per second.
        p50_ms, p99_ms: latency.
    """

    per_s: float
    p50_ms: float
    p99_ms: float


def find_wrk() -> str:
    """Return the program, or end with the sentence that says how to get it."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("expected wrk on PATH, which makes the load; get it with: apt-get install wrk")
    return found


def load(port: int, token: str, requests: Requests, connections: int, seconds: int) -> Load:
    """Send requests over keep-alive connections, each as soon as the one before is answered.

    Args:
        port: loopback port of the service.
        token: bearer token.
        seconds: how long.

    Raises:
        AssertionError: a request was refused or not answered.
    """
    with tempfile.NamedTemporaryFile() as file:
        for body in requests.bodies or ():
            file.write(body + b"\n")
        file.flush()
        headers = ["-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/json"]
        how = ["-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", f"{TIMEOUT_S}s", "-s", str(SCRIPT)]
        what = [requests.method, requests.path, "" if requests.bodies is None else file.name]
        command = [find_wrk(), *how, *headers, f"http://127.0.0.1:{port}", "--", *what]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or done.stdout
    return _read(json.loads(done.stdout[done.stdout.index("{") :]))


def _read(told: dict[str, int]) -> Load:
    assert told["refused"] == told["broken"] == 0, told
    return Load(told["requests"] / (told["took_us"] / 1e6), told["p50_us"] / 1000, told["p99_us"] / 1000)
