"""500 jobs while worker mains and pool children are killed: what is lost, and what runs twice to its end.

Kills come at the same moments for all three, as shares of the jobs that have ended, drawn from one seed. Ours runs real
media jobs through the whole service, and is counted from its records, its files and its log. A peer's job sleeps, and
is counted by its lines; a wait of 75 s after the last line is the longest that a peer gets.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.chaos import ours, peer
from bench.chaos.figure import Figure
from bench.chaos.process import children_of, kill
from geniequeue.jobs.ledger import Ledger
from geniequeue.operations import MEDIA_QUEUE
from tests.redis_server import running_redis
from tests.service import Service, await_true

WHAT = "{jobs} jobs, {kills} mains, {kills} children killed"
AIM = "all done, 0 lost, 0 twice"
LASTS_S = 0.25
QUIET_S = 75.0
PATIENCE_S = 1800.0
LEFT_WITHIN_S = 90.0
SEED = 5
ENDS = ("attempt ended", "attempt is stale, its result is dropped")
"""What an attempt of ours logs that has run to its end."""


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Kill while ours works, then the peers."""
    jobs, kills = (60, 1) if quick else (500, 5)
    what = WHAT.format(jobs=jobs, kills=kills)
    yield _ours(folder / "ours", what, jobs, kills)
    with running_redis(folder) as redis_url:
        for name in peer.NAMES:
            with peer.running_peer(name, folder, redis_url) as running:
                yield _peer(running, what, jobs, kills)


def kill_at_moments(jobs: int, kills: int, ended: Callable[[], int], main: Callable[[], int]) -> None:
    """Kill mains and pool children at random moments while jobs run.

    Args:
        ended: tells how many jobs have ended.
        main: waits for the worker's main process and its child, and returns the main one.
    """
    rng = random.Random(SEED)
    victims = ["main", "child"] * kills
    rng.shuffle(victims)
    moments = sorted(rng.sample(range(jobs // 50, jobs * 9 // 10), len(victims)))
    too_few = lambda: f"only {ended()} of {jobs} jobs have ended"  # noqa: E731
    for moment, victim in zip(moments, victims, strict=True):
        await_true(lambda moment=moment: ended() >= moment, PATIENCE_S, too_few)
        pid = main()
        time.sleep(rng.uniform(0, LASTS_S))
        # a child that has just had its last job is replaced
        await_true(lambda pid=pid: children_of(pid), 20, lambda: "no pool child")
        kill(pid if victim == "main" else children_of(pid)[0])


def _ours(folder: Path, what: str, jobs: int, kills: int) -> Figure:
    with ours.running_service(folder) as service:
        token = service.token("creator")
        sent = ours.create(service, token, jobs)
        began = time.monotonic()
        ledger = Ledger(ours.redis_of(service), "bull")

        def ended() -> int:
            counts = ledger.counts()[MEDIA_QUEUE]
            return counts.completed + counts.failed

        with ThreadPoolExecutor(1) as posting:
            posted = posting.submit(lambda: [ours.post(service, token, job_id) for job_id in sent])
            kill_at_moments(jobs, kills, ended, lambda: ours.media_main(service))
            assert posted.result().count(200) == jobs
        await_true(lambda: ended() >= jobs, PATIENCE_S, lambda: f"only {ended()} have ended:\n{service.log()[-3000:]}")
        took_s = time.monotonic() - began
        deadline = time.monotonic() + LEFT_WITHIN_S
        while _strays(service) and time.monotonic() < deadline:
            time.sleep(1)
        return _counted(service, what, sent, took_s)


def _counted(service: Service, what: str, sent: list[str], took_s: float) -> Figure:
    records = service.store.as_service()
    rows = records.list_items("media_job_outputs", limit=-1)
    outputs = Counter(row["job_id"] for row in rows)
    completed = {row["id"] for row in records.list_items("media_jobs", {"status": "completed"}, limit=-1)}
    results = records.list_items("media_job_results", {"outcome": "completed"}, limit=-1)
    lost = [job_id for job_id in sent if job_id not in completed or not outputs[job_id]]
    lines = [json.loads(line) for line in service.log().splitlines() if any(end in line for end in ENDS)]
    ends = Counter(line["job_id"] for line in lines)
    twice = [job_id for job_id in sent if outputs[job_id] > 1 or ends[job_id] > 1]
    again = sum(1 for row in results if row["attempt"] > 1)
    missing = [row for row in rows if row["file_id"] not in _stored(service)]
    strays = len(_strays(service))
    came_to = (
        f"outputs {len(rows) - len(missing)}  lost {len(lost)}  twice {len(twice)}  files of no job {strays}  "
        f"({len(results)} results, {again} not of the first attempt, {took_s:.0f} s)"
    )
    met = len(rows) == len(results) == len(sent) and not (lost or twice or missing or strays)
    return Figure(what, "ours", came_to, AIM, met)


def _stored(service: Service) -> set[str]:
    """Return the ids of all files that lie in the store, but for uploads that never came to their end."""
    return {path.name for path in (service.folder / "records" / "files").iterdir() if path.is_file()}


def _strays(service: Service) -> set[str]:
    """Return the files that no job names as its input or its output."""
    records = service.store.as_service()
    inputs = {row["input_file_id"] for row in records.list_items("media_jobs", limit=-1)}
    return _stored(service) - inputs - {row["file_id"] for row in records.list_items("media_job_outputs", limit=-1)}


def _peer(running: peer.Peer, what: str, jobs: int, kills: int) -> Figure:
    names = [str(number) for number in range(jobs)]
    began = time.monotonic()
    running.send(names, LASTS_S)

    def ended() -> int:
        return len(running.count("end")) - 1  # without the one that warmed up

    def main() -> int:
        running.child()
        return running.worker.pid

    kill_at_moments(jobs, kills, ended, main)
    took_s = await_quiet(running, jobs + 1) - began
    ends = running.count("end")
    lost, twice = jobs - ended(), sum(1 for name in names if ends[name] > 1)
    came_to = f"outputs {jobs - lost}  lost {lost}  twice {twice}  ({took_s:.0f} s"
    if running.name == "Celery":
        came_to += f"; {running.unacknowledged()} stuck unacknowledged: they run, or run again, an hour later"
    return Figure(what, running.name, came_to + f"; not ended within {QUIET_S:.0f} s of the last one: lost)")


def await_quiet(running: peer.Peer, jobs: int) -> float:
    """Wait until all jobs have ended, or nothing has happened for a while; return when the last thing happened."""
    last, seen = time.monotonic(), 0
    while time.monotonic() - last < QUIET_S:
        ends = running.count("end")
        happened = running.count("begin").total() + ends.total()
        if happened > seen:
            last, seen = time.monotonic(), happened
        if len(ends) >= jobs and running.count("begin").total() == ends.total():
            break
        time.sleep(0.1)
    return last
