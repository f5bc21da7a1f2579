"""The peers: plain Celery, and the Worker of BullMQ; their task writes a line at its begin and one at its end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import redis
from celery import Celery

from bench.chaos.process import KeptUp, children_of
from tests.node_program import node_program
from tests.service import await_true

PEERS = Path(__file__).resolve().parent.parent / "peers"
START_WITHIN_S = 60.0

Name = Literal["Celery", "BullMQ"]
NAMES: tuple[Name, ...] = ("Celery", "BullMQ")


@dataclass(frozen=True)
class Peer:
    """A peer whose worker runs, one job at once.

    Attributes:
        worker: its main process.
        lines: what its jobs have written.
        redis_url: a database of its own.
    """

    name: Name
    worker: KeptUp
    lines: Path
    redis_url: str

    def send(self, jobs: Sequence[str], lasts_s: float) -> None:
        """Send jobs that take some time."""
        if self.name == "Celery":
            with Celery("sender", broker=self.redis_url, set_as_current=False) as app:
                for job in jobs:
                    app.send_task("work", args=[job, lasts_s])
        else:
            command = [*worker_command("BullMQ"), "add", str(lasts_s), *jobs]
            subprocess.run(command, cwd=PEERS, env=environ_of(self.redis_url, self.lines), check=True)

    def count(self, what: Literal["begin", "end"]) -> Counter[str]:
        """Return how often each job has begun, or ended."""
        lines = (line.split() for line in self.lines.read_text().splitlines())
        return Counter(job for told, job in lines if told == what)

    def child(self) -> int:
        """Return the process that works on a job."""
        children: list[int] = []

        def found() -> bool:
            children[:] = children_of(self.worker.pid)
            return bool(children)

        await_true(found, START_WITHIN_S, lambda: f"{self.name} has no child process")
        return children[0]

    def unacknowledged(self) -> int:
        """Return how many messages Celery gives to a worker again when an hour has passed."""
        return int(redis.Redis.from_url(self.redis_url).hlen("unacked"))


@contextmanager
def running_peer(name: Name, folder: Path, redis_url: str, *options: str) -> Iterator[Peer]:
    """Run a peer's worker on an empty database.

    Args:
        options: further ones of its command line.
    """
    redis.Redis.from_url(redis_url).flushdb()
    lines = folder / f"{name}.lines"
    lines.write_text("")
    environ = environ_of(redis_url, lines)
    with KeptUp([*worker_command(name), *options], PEERS, environ, folder / f"{name}.log") as worker:
        peer = Peer(name, worker, lines, redis_url)
        peer.send(["warm"], 0.0)
        log = folder / f"{name}.log"
        await_true(lambda: peer.count("end")["warm"], START_WITHIN_S, lambda: log.read_text()[-3000:])
        yield peer


def environ_of(redis_url: str, lines: Path) -> dict[str, str]:
    """Return the environment of a peer's processes."""
    return {"PATH": os.environ["PATH"], "REDIS_URL": redis_url, "LINES": str(lines)}


def worker_command(name: Name) -> list[str]:
    """Return what starts a peer's worker."""
    if name == "Celery":
        return [sys.executable, "-m", "celery", "-A", "plain", "worker", "-c", "1"]
    node = node_program()
    assert node and (PEERS / "node_modules").exists(), "expected Node and the peer's packages; run make bench-chaos"
    return [str(node), "worker.mjs"]
