"""POST media and GET stats against the same service in Express + BullMQ (`bench/peers/`), interleaved in one run.

Both run as in production, on both cores, on one Redis (AOF, everysec), each in a database of its own that is emptied
before every measurement. Both check the token and the body and take a quota unit; neither limits how often somebody
may ask, neither writes a log line for a request; no worker takes part. `wrk` makes the load, in turn on the one and
the other. Printed are medians over the rounds of requests/s and p99 at 1, 16 and 64 connections, and of ours / peer.

    python bench/enqueue.py              without record-store calls on either side
    python bench/enqueue.py --directus   both with the same calls to one real Directus
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import redis
import requests

from bench.access_token import mint
from bench.load import Load, Requests, find_wrk, load
from tests.node_program import node_program
from tests.redis_server import free_port, running_redis

REPOSITORY = Path(__file__).resolve().parent.parent
PEERS = REPOSITORY / "bench" / "peers"
SECRET = "a secret for the benchmark alone, as long as it has to be"  # noqa: S105
CONNECTIONS = (1, 16, 64)
AIM_POST, AIM_POST_DIRECTUS, AIM_STATS, AIM_P99 = 1.5, 1.3, 1.5, 1.0
OPERATION = "resize_image"
START_WITHIN_S = 60.0
QUIET = {"LOG_LEVEL": "WARNING", "WRITES_PER_MINUTE": "0", "READS_PER_MINUTE": "0"}

MakeBodies = Callable[[int], list[bytes]]
Figures = Mapping[tuple[str, int, str], list[Load]]


@dataclass(frozen=True)
class World:
    """What both services are given.

    Attributes:
        environ: settings of the record store.
        token: of the creator who sends the jobs.
        wsgi: our application.
        bodies: makes so many bodies of requests that can be accepted.
        most_per_s: more than anybody answers.
        settle_s: how long what is in flight when a measurement ends may take.
    """

    environ: Mapping[str, str]
    token: str
    wsgi: str
    bodies: MakeBodies
    most_per_s: int
    settle_s: float


@dataclass(frozen=True)
class Side:
    """One of the two services.

    Attributes:
        port: on loopback.
        database: all it keeps in Redis.
    """

    port: int
    database: redis.Redis


def body_of(job_id: str, **members: object) -> bytes:
    """Return the body that sends a job."""
    return json.dumps({"jobId": job_id, "operation": OPERATION, **members}).encode()


def without_store() -> World:
    """Neither side calls a record store."""
    from bench.memory_store import OWNER_ID

    def bodies(count: int) -> list[bytes]:
        members = {"params": {"width": 1080}, "input_file_id": str(uuid.uuid4())}
        return [body_of(str(uuid.uuid4()), **members) for _ in range(count)]

    return World({"DIRECTUS_SECRET": SECRET}, mint(OWNER_ID, SECRET), "bench.wsgi_memory:app", bodies, 8000, 0.2)


@contextmanager
def with_directus() -> Iterator[World]:
    """Both sides call one real Directus, which is started with the collections installed."""
    from bench.directus_world import creator_of
    from tests.real_directus import running_directus

    with running_directus() as server:
        creator = creator_of(server)
        environ = {
            "DIRECTUS_URL": server.url,
            "DIRECTUS_TOKEN": creator.service_token,
            "DIRECTUS_SECRET": server.secret,
        }

        def bodies(count: int) -> list[bytes]:
            return [body_of(job_id) for job_id in creator.create_jobs(count, OPERATION)]

        yield World(environ, creator.token, "api.wsgi:app", bodies, 200, 3.0)


def our_command(wsgi: str) -> list[str]:
    """Return the command of the Procfile's `web`, for another application."""
    web = next(line for line in (REPOSITORY / "Procfile").read_text().splitlines() if line.startswith("web:"))
    return ["sh", "-c", "exec " + web.removeprefix("web:").strip().replace("api.wsgi:app", wsgi)]


@contextmanager
def serving(command: list[str], folder: Path, environ: Mapping[str, str], token: str) -> Iterator[int]:
    """Run a service until the block ends; yield its port."""
    port = free_port()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    values = {"PATH": path, "PYTHONPATH": str(REPOSITORY), "PORT": str(port), **environ}
    process = subprocess.Popen(command, cwd=folder, env=values)
    try:
        await_answer(f"http://127.0.0.1:{port}/api/queue/stats", token, process)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def await_answer(url: str, token: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a service answers 200."""
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        assert process.poll() is None and time.monotonic() < deadline, f"{url} did not answer"
        try:
            if requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=5).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.1)


def measure(sides: Mapping[str, Side], world: World, rounds: int, seconds: int) -> Figures:
    """Load both services in turn; the first round warms up and is not counted."""
    figures: dict[tuple[str, int, str], list[Load]] = defaultdict(list)
    for connections, number, name in product(CONNECTIONS, range(rounds + 1), ("POST", "GET stats")):
        # who begins changes, so that a drift of the machine hits both
        for side in sorted(sides, reverse=bool(number % 2)):
            sides[side].database.flushdb()
            figure = load(sides[side].port, world.token, sent(name, world, seconds), connections, seconds)
            time.sleep(world.settle_s)
            if number:
                figures[name, connections, side].append(figure)
    return figures


def sent(name: str, world: World, seconds: int) -> Requests:
    """Return what a measurement sends."""
    if name == "POST":
        return Requests("POST", "/api/queue/media", world.bodies(world.most_per_s * seconds))
    return Requests("GET", "/api/queue/stats")


def show(figures: Figures, post_aim: float) -> None:
    """Print figures and ratios."""
    print(
        f"{'':<10} {'conn':>4} {'ours/s':>7} {'peer/s':>7} {'ratio':>6}  aim    {'p99 ms: ours':>13} {'peer':>7}  ratio"
    )
    for name, aim in (("POST", post_aim), ("GET stats", AIM_STATS)):
        for connections in CONNECTIONS:
            ours, peer = (figures[name, connections, side] for side in ("ours", "peer"))
            per_s = [median(figure.per_s for figure in side) for side in (ours, peer)]
            p99_ms = [median(figure.p99_ms for figure in side) for side in (ours, peer)]
            faster = median(one.per_s / other.per_s for one, other in zip(ours, peer, strict=True))
            longer = median(one.p99_ms / other.p99_ms for one, other in zip(ours, peer, strict=True))
            print(
                f"{name:<10} {connections:>4} {per_s[0]:>7.0f} {per_s[1]:>7.0f} {faster:>6.2f}  >={aim:>4}"
                f" {p99_ms[0]:>13.1f} {p99_ms[1]:>7.1f} {longer:>6.2f}  <={AIM_P99:>4}"
            )


def peer_command() -> list[str]:
    """Return what starts the peer, on the Node of the virtual environment."""
    node = node_program()
    assert node and (PEERS / "node_modules").exists(), "expected Node and the peer's packages; run make bench-enqueue"
    return [str(node), "server.mjs"]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directus", action="store_true", help="both sides call a real Directus")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each kind in each round")
    options = parser.parse_args()
    find_wrk()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis_url = stack.enter_context(running_redis(folder)).removesuffix("/0")
        world = stack.enter_context(with_directus()) if options.directus else without_store()
        sides = start_both(stack, world, redis_url, folder)
        figures = measure(sides, world, options.rounds, options.seconds)
    print("with the same calls to a real Directus" if options.directus else "without record-store calls")
    show(figures, AIM_POST_DIRECTUS if options.directus else AIM_POST)


def start_both(stack: ExitStack, world: World, redis_url: str, folder: Path) -> dict[str, Side]:
    """Start both services, each on its own database of one Redis."""
    ours = {"VAR_DIR": str(folder / "var"), **QUIET}
    commands = {
        "ours": (our_command(world.wsgi), REPOSITORY, ours),
        "peer": (peer_command(), PEERS, {"NODE_ENV": "production"}),
    }
    sides = {}
    for number, (name, (command, cwd, environ)) in enumerate(commands.items()):
        url = f"{redis_url}/{number}"
        port = stack.enter_context(serving(command, cwd, {**world.environ, **environ, "REDIS_URL": url}, world.token))
        sides[name] = Side(port, redis.Redis.from_url(url))
    return sides


if __name__ == "__main__":
    main()
