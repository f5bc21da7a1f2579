"""What is to run once: a job that is posted 100 times at once, one message delivered 50 times, a job without Redis."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from bench.chaos import ours
from bench.chaos.figure import Figure
from tests.service import Service, await_true

POSTS = 100
DELIVERIES = 50
BROKER_LIST = "media-jobs:10"


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Measure all three on one instance."""
    with ours.running_service(folder / "ours") as service:
        token = service.token("creator")
        service.await_final(token, ours.send(service, token))
        yield _equal_posts(service, token)
        yield _equal_messages(service, token)
        yield _without_redis(service, token, *((12.0, 16.0) if quick else (45.0, 60.0)))


def _equal_posts(service: Service, token: str) -> Figure:
    (job_id,) = ours.create(service, token, 1)
    how = {"json": {"jobId": job_id, "operation": ours.OPERATION}, "headers": {"Authorization": f"Bearer {token}"}}

    def send(_: int) -> tuple[int, str]:
        reply = requests.post(f"{service.url}/api/queue/media", timeout=60, **how)
        return reply.status_code, reply.json().get("bullJobId", "")

    # held, for the answer to a late one would be that the job is completed
    with ours.held(service, ours.media_main(service)), ThreadPoolExecutor(POSTS) as senders:
        answers = Counter(senders.map(send, range(POSTS)))
    job = service.await_final(token, job_id)
    runs = service.store.as_service().list_items("media_job_runs", {"job_id": job_id})
    attempts = ours.attempts_of(ours.redis_of(service), job_id)
    told = ", ".join(f"{count} x {status}" for (status, _), count in answers.items())
    met = set(answers) == {(200, job["bullJobId"])} and len(runs) == attempts == _results(service, job_id) == 1
    return Figure(f"{POSTS} equal POSTs at once", "ours", f"{len(runs)} job, {attempts} run ({told})", "1 job", met)


def _equal_messages(service: Service, token: str) -> Figure:
    client = ours.redis_of(service)
    with ours.held(service, ours.media_main(service)):
        blocker = ours.send(service, token)
        await_true(lambda: ours.attempts_of(client, blocker) == 1, 60, lambda: service.log()[-3000:])
        job_id = ours.send(service, token)
        message = client.lindex(BROKER_LIST, 0)
        client.lpush(BROKER_LIST, *[message] * (DELIVERIES - 1))
    service.await_final(token, blocker)
    service.await_final(token, job_id)
    await_true(lambda: client.llen(BROKER_LIST) == 0, 60, lambda: f"{client.llen(BROKER_LIST)} messages are left")
    # the last one is on its way to the pool child yet
    await_true(lambda: client.hlen("unacked") == 0, 60, lambda: "a message is not acknowledged")
    runs, ends = ours.attempts_of(client, job_id), _results(service, job_id)
    what = f"1 message delivered {DELIVERIES} times"
    return Figure(what, "ours", f"{runs} run, {ends} result", "1 run", runs == ends == 1)


def _without_redis(service: Service, token: str, stopped_s: float, lasts_s: float) -> Figure:
    """Stop Redis in the middle of a job; what is asked for meanwhile hangs, as with a host that does not answer."""
    client = ours.redis_of(service)
    server = client.info("server")["process_id"]
    began = time.monotonic()
    with ours.held(service, ours.media_main(service)):
        job_id = ours.send(service, token)
        await_true(lambda: ours.attempts_of(client, job_id) == 1, 60, lambda: service.log()[-3000:])
        time.sleep((lasts_s - stopped_s) / 2)
        os.kill(server, signal.SIGSTOP)
        try:
            time.sleep(stopped_s)
        finally:
            os.kill(server, signal.SIGCONT)
        time.sleep(max(0.0, began + lasts_s - time.monotonic()))
    job = service.await_final(token, job_id, 120)
    took_s = time.monotonic() - began
    attempts, outputs = ours.attempts_of(client, job_id), len(job["outputs"])
    next_one = service.await_final(token, ours.send(service, token), 60)
    came_to = (
        f"{job['state']}, {attempts} run, {outputs} output, after {took_s:.0f} s; the next one {next_one['state']}"
    )
    met = (job["state"], attempts, outputs, next_one["state"]) == ("completed", 1, 1, "completed")
    return Figure(f"Redis stopped for {stopped_s:.0f} s in a {lasts_s:.0f} s job", "ours", came_to, "ran once", met)


def _results(service: Service, job_id: str) -> int:
    """Return how many results a job has, each with one output."""
    records = service.store.as_service()
    runs = [row["id"] for row in records.list_items("media_job_runs", {"job_id": job_id}, limit=-1)]
    ends = sum(records.count_items("media_job_results", {"id": run}) for run in runs)
    assert records.count_items("media_job_outputs", {"job_id": job_id}) == ends
    return ends
