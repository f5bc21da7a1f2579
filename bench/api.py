"""POST media and GET stats through the production server, with an empty queue and with 100,000 jobs waiting.

Prints requests/s, p50 and p99 at 1, 16 and 64 connections for both, and their ratio; then how long it takes from the
POST to the lease of the job on an idle queue, beside what the record-store calls on that way cost by themselves.
Run: `make bench-api`.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.load import Load, Requests, find_wrk, load
from geniequeue.config import load_settings
from geniequeue.jobs import broker
from geniequeue.jobs.job import Run, Spec, bull_job_id, number_of, run_id_of
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.operations import MEDIA_QUEUE
from tests.service import Service, make_service

WAITING = int(os.environ.get("BENCH_WAITING", "100000"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "2"))
MOST_PER_S = 1500
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
QUIET = {"LOG_LEVEL": "WARNING", "WRITES_PER_MINUTE": "0", "READS_PER_MINUTE": "0"}
CONNECTIONS = (1, 16, 64)
MEDIA = "/api/queue/media"
PHOTO = Path(__file__).resolve().parent.parent / "samples" / "otter.jpg"


def prepare_posts(service: Service, token: str, count: int) -> list[bytes]:
    """Create items that can be accepted; return the bodies that do it."""
    records = service.store.as_user(token)
    file_id = service.upload(token, PHOTO)
    bodies = []
    for _ in range(count):
        item = {"operation": "resize_image", "input_file_id": file_id, "params": {"width": 32}}
        job_id = str(records.create_item("media_jobs", item)["id"])
        bodies.append(json.dumps({"jobId": job_id, "operation": "resize_image"}).encode())
    return bodies


def fill(ledger: Ledger, count: int) -> None:
    """Put jobs into the ledger and onto the broker's lists."""
    envelopes = broker.Envelopes()
    ledger.number_from(MEDIA_QUEUE, 0)
    for _ in range(count):
        job_id = str(uuid.uuid4())
        spec = Spec("resize_image", job_id, "nobody", {})
        number = ledger.next_number(MEDIA_QUEUE)
        run = Run(run_id_of(job_id, 1), 1, MEDIA_QUEUE, bull_job_id("bull", MEDIA_QUEUE, number), spec, "")
        ledger.accept(run, broker_list=broker.broker_list(run), message=envelopes.message(run))


Key = tuple[str, int]


def measure_once(service: Service, token: str, key: Key) -> Load:
    """Send one kind of request over one number of connections."""
    request, connections = key
    requests = Requests("GET", "/api/queue/stats")
    if request == "POST media":
        requests = Requests("POST", MEDIA, prepare_posts(service, token, MOST_PER_S * SECONDS))
    return load(int(service.environ["PORT"]), token, requests, connections, SECONDS)


def measure(empty: Service, full: Service) -> dict[Key, list[tuple[Load, Load]]]:
    """Measure both instances in turn, so that a drift of the machine hits both."""
    tokens = [empty.token("creator"), full.token("creator")]
    keys: list[Key] = [(request, n) for n in CONNECTIONS for request in ("POST media", "GET stats")]
    pairs: dict[Key, list[tuple[Load, Load]]] = {key: [] for key in keys}
    for _ in range(ROUNDS):
        for key in keys:
            pairs[key].append((measure_once(empty, tokens[0], key), measure_once(full, tokens[1], key)))
    return pairs


def show(pairs: dict[Key, list[tuple[Load, Load]]]) -> None:
    """Print the medians over the rounds of both instances, and the ratio pair by pair."""
    print(f"\nmedians of {ROUNDS} interleaved rounds of {SECONDS} s; A: 0 jobs waiting, B: {WAITING} waiting")
    side = f"{'req/s':>8} {'p50 ms':>7} {'p99 ms':>7}"
    print(f"{'request':<11} {'conn':>4}  A {side[2:]}  B {side[2:]}  time B/A (aim <= 1.2)")
    for (request, connections), both in pairs.items():
        columns = "  ".join(_columns([pair[side] for pair in both]) for side in (0, 1))
        ratio = statistics.median(before.per_s / after.per_s for before, after in both)
        print(f"{request:<11} {connections:>4}  {columns}  {ratio:.2f}")


def _columns(loads: Sequence[Load]) -> str:
    per_s = statistics.median(one.per_s for one in loads)
    p50_ms = statistics.median(one.p50_ms for one in loads)
    p99_ms = statistics.median(one.p99_ms for one in loads)
    return f"{per_s:>8.0f} {p50_ms:>7.2f} {p99_ms:>7.2f}"


def start_latency(service: Service, token: str, ledger: Ledger, jobs: int = 40) -> None:
    """Print the time from POST to lease on an idle queue, and what the record store takes of it."""
    waits = []
    for body in prepare_posts(service, token, jobs):
        began = time.time()
        answer = service.request("POST", MEDIA, token, data=body, headers={"Content-Type": "application/json"})
        job = service.await_final(token, answer.body["jobId"])
        entry = ledger.entry(MEDIA_QUEUE, number_of(job["bullJobId"]))
        assert entry is not None and entry.processed_ms is not None
        waits.append(entry.processed_ms - began * 1000)
    store_ms = record_calls_ms(service, token)
    median = statistics.median(waits)
    print(f"\nPOST to lease on an idle queue: median {median:.1f} ms, of it record-store calls {store_ms:.1f} ms")
    print(f"beyond the record-store calls: {median - store_ms:.1f} ms (aim <= 15)")


def record_calls_ms(service: Service, token: str) -> float:
    """Return the sum of medians of the record-store calls between POST and lease."""
    records, user = service.store.as_service(), service.store.as_user(token)
    file_id = service.upload(token, PHOTO)
    item = user.create_item("media_jobs", {"operation": "resize_image", "input_file_id": file_id, "params": {}})
    run = {"job_id": item["id"], "round": 1, "operation": "resize_image", "spec": {}, "priority": 1, "open": False}
    run |= {"bull_job_id": "x", "user_id": item["user_created"], "accepted_at": "2026-01-01T00:00:00.000Z"}
    calls: list[Callable[[], object]] = [
        lambda: records.get_item("media_jobs", item["id"]),
        lambda: user.get_file(file_id),
        lambda: records.create_item("media_job_runs", {"id": str(uuid.uuid4()), **run}),
        lambda: records.update_item("media_jobs", item["id"], {"status": "queued"}),
        lambda: records.get_item("media_jobs", item["id"]),
    ]
    return sum(statistics.median(_ms(call) for _ in range(50)) for call in calls)


def _ms(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Run the benchmark on two instances of its own."""
    find_wrk()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        empty, full = (make_service(Path(folder) / name, **QUIET) for name in ("empty", "full"))
        for service in (empty, full):
            service.start()
            running.callback(service.stop)
        start_latency(empty, empty.token("creator"), ledger_of(empty))
        # held: what is posted stays waiting, and no worker takes part in the measurement
        for service in (empty, full):
            service.hold_workers()
        fill(ledger_of(full), WAITING)
        show(measure(empty, full))


def ledger_of(service: Service) -> Ledger:
    """Return the ledger of a running instance."""
    settings = load_settings(service.environ)
    return Ledger(connect(settings.redis_url), settings.ledger_prefix)


if __name__ == "__main__":
    main()
