"""What lease, ledger and fencing cost a job, and the memory of an idle worker, beside plain Celery.

Two readings of the cost, each in turn with plain Celery, one job at a time, each side on a database of its own:

* the calls: what a job's life asks of Redis, made in this process. Ours: number, message, `accept.lua` with the message
  on its list, taking it off, the holder's name, lease, a look for a cancel, one renewal by the keeper, the look whether
  the attempt is still the newest, the round, and the fenced end. Celery: `send_task`, and taking it off.
* the whole: a job that does nothing but push a word to a Redis list, from before it is sent until the sender has that
  word, on an idle queue.

In the whole, ours is the real
attempt in the real worker, accepted into the ledger with its message by `accept.lua`, with number, lease, fenced end,
keeper and sweeper, log lines and events, but without the calls to a record store (`leased_app.py`): plain Celery has
none. Reading, waiting and acknowledging are the same on both sides, so the difference is all that ours adds. The aim is
about lease, ledger and fencing: the peer it is held against sends events for Flower and writes log lines as ours does.
Bare Celery, which does neither, is timed beside it.

The memory is the proportional size (PSS) of main process and pool child, after the worker has idled for some seconds.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import redis
from celery import Celery

from bench.chaos import ours, peer
from bench.chaos.figure import Figure
from bench.chaos.leased_runs import DONE, run_of
from bench.chaos.process import KeptUp, children_of
from geniequeue.jobs import broker
from geniequeue.jobs.holder import Holder
from geniequeue.jobs.job import Lease
from geniequeue.jobs.leases import LEASE_S, Leases
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.jobs.outcome import Completed
from geniequeue.operations import SCRAPE_QUEUE
from tests.redis_server import running_redis
from tests.service import REPOSITORY, await_true, clean_environ

AIM_MS, AIM_MB = 2.3, 20
WARM_UP = 50
WATCHED, BARE = ("-E", "-l", "INFO", "--max-tasks-per-child", "20"), ("-l", "WARNING")
IDLE_S = 15.0


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Time jobs, then look at the memory of workers that idle."""
    jobs = 200 if quick else 2000
    with running_redis(folder) as redis_url:
        yield _calls(redis_url.removesuffix("/0"), jobs)
        yield from _whole(folder, redis_url.removesuffix("/0"), jobs)
        yield from _memory(folder, redis_url.removesuffix("/0"))


def _calls(server: str, jobs: int) -> Figure:
    """Time the calls of a life; the first ones, which connect and load scripts, are not counted."""
    client = connect(f"{server}/4")
    client.flushdb()
    live, mine_ms, plain_ms = life_of_ours(f"{server}/4"), list[float](), list[float]()
    with Celery("sender", broker=f"{server}/5", set_as_current=False) as sender:
        queue = redis.Redis.from_url(f"{server}/5")
        for place in range(1, jobs + WARM_UP + 1):
            plain_ms.append(took_ms_of(lambda: (sender.send_task("nothing"), taken_off(queue, "celery"))))
            mine_ms.append(took_ms_of(lambda place=place: live(place)))
    pairs = zip(mine_ms[WARM_UP:], plain_ms[WARM_UP:], strict=True)
    more_ms = median(mine - plain for mine, plain in pairs)
    came_to = f"median {median(mine_ms[WARM_UP:]):.2f} ms, {more_ms:.2f} ms more than send_task's"
    aim = f"<= {AIM_MS} ms more"
    return Figure("lease, ledger, fencing: the calls", "ours", came_to, aim, more_ms <= AIM_MS)


def life_of_ours(redis_url: str) -> Callable[[int], None]:
    """Return what makes all calls to Redis that the job of a place needs, from its acceptance to its end."""
    ledger, send = Ledger(connect(redis_url), "bull"), sender_of_ours(redis_url)
    leases = Leases(ledger)

    def live(place: int) -> None:
        run = run_of(place)
        send(place)
        taken_off(ledger.client, broker.broker_list(run))
        holder = str(Holder.of_process("bench", os.getpid()))
        lease = ledger.lease(run, worker="bench", lease_s=LEASE_S, holder=holder)
        assert isinstance(lease, Lease)
        ledger.progress(run, lease.attempt, None)
        job = leases.find(run.bull_job_id)
        assert job is not None
        assert leases.renew(job, "", holder).answer == "ok"
        assert ledger.progress(run, lease.attempt, 99.0) == "ok"
        assert ledger.current(run.key) is not None
        assert ledger.finish(run, lease.attempt, Completed({})) == "ok"

    return live


def taken_off(client: redis.Redis, name: str) -> None:
    """Take a message off a broker's list, as kombu does."""
    assert client.brpop([name], timeout=10)


def took_ms_of(act: Callable[[], object]) -> float:
    """Return how long something takes, in ms."""
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def _whole(folder: Path, server: str, jobs: int) -> Iterator[Figure]:
    """Time ours, Celery with the events and log lines that ours has, and bare Celery, in turn."""
    with ExitStack() as stack:
        sides: dict[str, Side] = {}
        for number, (name, options) in enumerate({"Celery": WATCHED, "bare": BARE}.items()):
            plain = stack.enter_context(peer.running_peer("Celery", folder, f"{server}/{number + 1}", *options))
            sender = stack.enter_context(Celery("sender", broker=plain.redis_url, set_as_current=False))
            sides[name] = Side(lambda _, sender=sender: sender.send_task("nothing"), plain.redis_url)
        url = f"{server}/{len(sides) + 1}"
        stack.enter_context(our_worker(folder, url, "bench.chaos.leased_app", JOBS=str(jobs + WARM_UP)))
        sides["ours"] = Side(sender_of_ours(url), url)
        took_ms: dict[str, list[float]] = {name: [] for name in sides}
        for place in range(1, jobs + WARM_UP + 1):
            for name, side in sides.items():
                took_ms[name].append(side.until_done(place))
    took_ms = {name: each[WARM_UP:] for name, each in took_ms.items()}
    more_ms, more_than_bare_ms = (
        median(one - other for one, other in zip(took_ms["ours"], took_ms[name], strict=True))
        for name in ("Celery", "bare")
    )
    what = "empty job: the whole"
    came_to = f"median {median(took_ms['ours']):.2f} ms, {more_ms:.2f} ms more than Celery"
    yield Figure(what, "ours", came_to, f"<= {AIM_MS} ms more", more_ms <= AIM_MS)
    yield Figure(what, "Celery", f"median {median(took_ms['Celery']):.2f} ms, with events and log lines as ours")
    bare = f"median {median(took_ms['bare']):.2f} ms without; ours takes {more_than_bare_ms:.2f} ms more"
    yield Figure(what, "Celery", bare)


@dataclass(frozen=True)
class Side:
    """One of those that are timed.

    Attributes:
        send: sends the job of a place, from 1.
    """

    send: Callable[[int], object]
    redis_url: str

    @cached_property
    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis_url, socket_timeout=None)  # `blpop` waits longer

    def until_done(self, place: int) -> float:
        """Send a job and wait for its word; return how long that took in ms."""
        return took_ms_of(lambda: (self.send(place), self._await_done()))

    def _await_done(self) -> None:
        assert self._client.blpop([DONE], timeout=60), "a job did not end within 60 s"


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
