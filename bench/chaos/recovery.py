"""How long a job stands still whose worker is killed: from the kill until it runs again.

Ours: the sandbox is stopped before the job is sent, so the job lasts as long as it likes without an operation of its
own; it is killed at a random moment of its first seconds. It runs again when the next attempt has its lease. Killed are

* the main process of the media worker, with the scrape and onboarding workers alive on the host; the supervisor of
  `geniequeue up` starts it again;
* its pool child;
* the whole host: the media worker has a pid namespace of its own, which ends as a whole, so the others cannot tell that
  it is gone and the lease has to run out. The next one starts at once, in another namespace, as on another host. The
  dead namespace is kept from being given anew.

The peers' job sleeps 20 s, and runs again when it writes its line a second time. Their wait is bounded.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.chaos import ours, peer
from bench.chaos.figure import Figure, p99, spread
from bench.chaos.process import KeptUp, children_of, kill
from geniequeue.cli.up import is_ready
from tests.redis_server import running_redis
from tests.service import REPOSITORY, Service, await_true, clean_environ, free_port

SAME_HOST_S, HOST_GONE_S = 5.0, 10.0
SEED = 5
LASTS_S = 20.0
BOUND_S = 120.0
POLL_S = 0.005


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Kill the main process, the child and the host of ours, then main process and child of the peers."""
    times = 3 if quick else 30
    with ours.running_service(folder / "ours") as service:
        main = lambda: ours.media_main(service)  # noqa: E731
        yield _ours(service, Kill("main killed, another worker lives", main, lambda pid: pid, SAME_HOST_S), times)
        yield _ours(service, Kill("pool child killed", main, lambda pid: children_of(pid)[0], SAME_HOST_S), times)
    with hosts(folder / "hosts") as (service, media):
        kind = Kill("whole host killed", lambda: main_inside(media), lambda _: media.pid, HOST_GONE_S)
        yield _ours(service, kind, times)
    for name, mains, children in (("Celery", 1, 5), ("BullMQ", 5, 5)):
        yield _peer(name, "main killed", folder, 1 if quick else mains, lambda running: running.worker.pid)
        yield _peer(name, "pool child killed", folder, 1 if quick else children, lambda running: running.child())


@dataclass(frozen=True)
class Kill:
    """Who is killed.

    Attributes:
        what: is killed, for the table.
        main: waits for the media worker's main process.
        victim: names who is killed, by that process.
        aim_s: until the job runs again.
    """

    what: str
    main: Callable[[], int]
    victim: Callable[[int], int]
    aim_s: float


def _ours(service: Service, kind: Kill, times: int) -> Figure:
    rng, token, took_s = random.Random(SEED), service.token("creator"), list[float]()
    service.await_final(token, ours.send(service, token))
    client = ours.redis_of(service)
    for _ in range(times):
        pid = kind.main()
        with ours.held(service, pid):
            job_id = ours.send(service, token)
            await_true(lambda job_id=job_id: ours.attempts_of(client, job_id) == 1, 60, lambda: service.log()[-3000:])
            time.sleep(rng.uniform(0.1, 3))
            namespace = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY)
            began = time.monotonic()
            kill(kind.victim(pid))
            while ours.attempts_of(client, job_id) == 1:
                assert time.monotonic() - began < BOUND_S, f"it does not run again:\n{service.log()[-3000:]}"
                time.sleep(POLL_S)
            took_s.append(time.monotonic() - began)
        job = service.await_final(token, job_id)
        assert (job["state"], ours.attempts_of(client, job_id)) == ("completed", 2), job
        os.close(namespace)
    aim = f"p99 <= {kind.aim_s:.0f} s"
    return Figure(kind.what, "ours", spread(took_s), aim, p99(took_s) <= kind.aim_s)


@contextmanager
def hosts(folder: Path) -> Iterator[tuple[Service, KeptUp]]:
    """Run web, Redis and the other workers here, and the media worker on what is a host of its own; yield them."""
    folder.mkdir()
    with ExitStack() as stack:
        redis_url = stack.enter_context(running_redis(folder))
        secret = "a secret for the benchmark alone, as long as it has to be"  # noqa: S105
        ports = {"PORT": str(free_port()), "FLOWER_PORT": str(free_port())}
        environ = clean_environ(
            VAR_DIR=str(folder),
            REDIS_URL=redis_url,
            DIRECTUS_SECRET=secret,
            LOG_FORMAT="json",
            **ports,
            **ours.UNLIMITED,
        )
        service = Service(folder, environ)
        started = []
        for name in ("web", "scrape", "onboarding", "media"):
            walls = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"] if name == "media" else []
            walls += ["--map-root-user"] if walls and os.getuid() else []
            command = [*walls, "sh", "-c", f"exec {procfile_command(name)}"]
            started.append(stack.enter_context(KeptUp(command, REPOSITORY, environ, folder / "up.log")))
        await_true(lambda: is_ready(service.url), 60, lambda: service.log()[-3000:])
        yield service, started[-1]


def main_inside(media: KeptUp) -> int:
    """Return the main process of the worker whose namespace was started, as it is seen from here."""
    mains: list[int] = []

    def found() -> bool:
        mains[:] = children_of(media.pid)
        return bool(mains) and bool(ours.sandbox_of(mains[0]))

    await_true(found, ours.START_WITHIN_S, lambda: "no media worker in its namespace")
    return mains[0]


def procfile_command(name: str) -> str:
    """Return the command of a process of the Procfile."""
    lines = (REPOSITORY / "Procfile").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{name}:")).partition(":")[2].strip()


def _peer(name: peer.Name, what: str, folder: Path, times: int, victim: Callable[[peer.Peer], int]) -> Figure:
    rng, took_s = random.Random(SEED), list[float]()
    with running_redis(folder) as redis_url:
        for _ in range(times):
            with peer.running_peer(name, folder, redis_url) as running:
                running.send(["long"], LASTS_S)
                await_true(lambda running=running: running.count("begin")["long"], 60, lambda: "it does not begin")
                time.sleep(rng.uniform(0.1, 3))
                began = time.monotonic()
                kill(victim(running))
                while running.count("begin")["long"] == 1 and time.monotonic() - began < BOUND_S:
                    time.sleep(POLL_S)
                took_s.append(time.monotonic() - began)
    missed = sum(1 for each in took_s if each >= BOUND_S)
    came_to = spread(took_s) + (f"; {missed} not within {BOUND_S:.0f} s" if missed else "")
    return Figure(what, name, came_to)
