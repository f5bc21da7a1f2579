"""What lease, ledger and fencing cost a job, and the memory of an idle worker, beside plain Celery.

A job does nothing but push a word to a Redis list; timed is from before it is sent until the sender has that word, on
an idle queue, one job at a time, in turn with plain Celery, each on its own database of one Redis. Ours is the real
attempt in the real worker, accepted into the ledger with its message by `accept.lua`, with number, lease, fenced end,
keeper and sweeper, log lines and events, but without the calls to a record store (`leased_app.py`): plain Celery has
none. Reading, waiting and acknowledging are the same on both sides, so the difference is all that ours adds.

The memory is the proportional size (PSS) of main process and pool child, after the worker has idled for some seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import redis
from celery import Celery

from bench.chaos import ours, peer
from bench.chaos.figure import Figure
from bench.chaos.leased_runs import DONE, run_of
from bench.chaos.process import KeptUp, children_of
from geniequeue.jobs import broker
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.operations import SCRAPE_QUEUE
from tests.redis_server import running_redis
from tests.service import REPOSITORY, await_true, clean_environ

AIM_MS, AIM_MB = 2.3, 20
WARM_UP = 50
IDLE_S = 15.0


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Time jobs, then look at the memory of workers that idle."""
    jobs = 200 if quick else 2000
    with running_redis(folder) as redis_url:
        yield from _overhead(folder, redis_url.removesuffix("/0"), jobs)
        yield from _memory(folder, redis_url.removesuffix("/0"))


def _overhead(folder: Path, server: str, jobs: int) -> list[Figure]:
    with ExitStack() as stack:
        plain = stack.enter_context(peer.running_peer("Celery", folder, f"{server}/1"))
        more = {"JOBS": str(jobs + WARM_UP)}
        stack.enter_context(our_worker(folder, f"{server}/2", "bench.chaos.leased_app", **more))
        sender = stack.enter_context(Celery("sender", broker=plain.redis_url, set_as_current=False))
        send_ours = sender_of_ours(f"{server}/2")
        sides = {
            "Celery": (lambda _: sender.send_task("nothing"), redis.Redis.from_url(plain.redis_url)),
            "ours": (send_ours, redis.Redis.from_url(f"{server}/2")),
        }
        took_ms: dict[str, list[float]] = {name: [] for name in sides}
        for place in range(1, jobs + WARM_UP + 1):
            for name, (send, client) in sides.items():
                took_ms[name].append(until_done(lambda send=send, place=place: send(place), client))
    ours_ms, plain_ms = (took_ms[name][WARM_UP:] for name in ("ours", "Celery"))
    more_ms = median(one - other for one, other in zip(ours_ms, plain_ms, strict=True))
    what = "empty job, from sending to done"
    came_to = f"median {median(ours_ms):.2f} ms: {more_ms:.2f} ms more than plain Celery, of {jobs}"
    return [
        Figure(what, "ours", came_to, f"<= {AIM_MS} ms more", more_ms <= AIM_MS),
        Figure(what, "Celery", f"median {median(plain_ms):.2f} ms"),
    ]


def until_done(send: Callable[[], object], client: redis.Redis) -> float:
    """Send a job and wait for its word; return how long that took in ms."""
    began = time.perf_counter()
    send()
    assert client.blpop([DONE], timeout=60), "a job did not end within 60 s"
    return (time.perf_counter() - began) * 1000


def sender_of_ours(redis_url: str) -> Callable[[int], None]:
    """Return what accepts a job into the ledger, with its message, as the API does."""
    ledger, envelopes = Ledger(connect(redis_url), "bull"), broker.Envelopes()
    ledger.number_from(SCRAPE_QUEUE, 0)

    def send(place: int) -> None:
        run = run_of(place)
        assert ledger.next_number(SCRAPE_QUEUE) == run.number
        ledger.accept(run, broker_list=broker.broker_list(run), message=envelopes.message(run))

    return send


def our_worker(folder: Path, redis_url: str, app: str, **environ: str) -> KeptUp:
    """Start a worker of the scrape queue, as the Procfile does."""
    secret = "a secret for the benchmark alone, as long as it has to be"  # noqa: S105
    values = {"VAR_DIR": str(folder / app), "REDIS_URL": redis_url, "DIRECTUS_SECRET": secret, **environ}
    command = [sys.executable, "-m", "celery", "-A", app, "worker", "-Q", SCRAPE_QUEUE, "-c", "1", "-n", "scrape@%h"]
    return KeptUp(command, REPOSITORY, clean_environ(**values), folder / f"{app}.log")


def _memory(folder: Path, server: str) -> list[Figure]:
    with (
        peer.running_peer("Celery", folder, f"{server}/1") as plain,
        our_worker(folder, f"{server}/2", "tasks") as mine,
    ):
        await_true(lambda: children_of(mine.pid), ours.START_WITHIN_S, (folder / "tasks.log").read_text)
        time.sleep(IDLE_S)
        mine_mb, plain_mb = memory_mb(mine.pid), memory_mb(plain.worker.pid)
    more_mb = sum(mine_mb) - sum(plain_mb)
    what = "idle worker, without the media stack"
    told = "{:.1f} MB (main {:.1f}, child {:.1f})"
    came_to = f"{told.format(sum(mine_mb), *mine_mb)}: {more_mb:.1f} MB more"
    return [
        Figure(what, "ours", came_to, f"<= {AIM_MB} MB more", more_mb <= AIM_MB),
        Figure(what, "Celery", told.format(sum(plain_mb), *plain_mb)),
    ]


def memory_mb(main: int) -> tuple[float, float]:
    """Return the proportional size of a worker's main process and of its pool child, in MB."""
    (child,) = children_of(main)
    return pss_mb(main), pss_mb(child)


def pss_mb(pid: int) -> float:
    """Return the memory of a process, pages that others use too in proportion; see proc(5), smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6
