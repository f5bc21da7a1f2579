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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.load import Load, Request, load
from geniequeue.config import load_settings
from geniequeue.jobs import broker
from geniequeue.jobs.job import Run, Spec, bull_job_id, number_of, run_id_of
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.operations import MEDIA_QUEUE
from tests.service import Service, make_service

WAITING = int(os.environ.get("BENCH_WAITING", "100000"))
POSTS = int(os.environ.get("BENCH_POSTS", "1500"))
CONNECTIONS = (1, 16, 64)
PHOTO = Path(__file__).resolve().parent.parent / "samples" / "otter.jpg"


def prepare_posts(service: Service, token: str, count: int) -> list[Request]:
    """Create items that can be accepted, and the requests that do it."""
    records = service.store.as_user(token)
    file_id = service.upload(token, PHOTO)
    requests: list[Request] = []
    for _ in range(count):
        item = {"operation": "resize_image", "input_file_id": file_id, "params": {"width": 32}}
        job_id = str(records.create_item("media_jobs", item)["id"])
        body = json.dumps({"jobId": job_id, "operation": "resize_image"}).encode()
        requests.append(("POST", "/api/queue/media", body))
    return requests


def fill(ledger: Ledger, count: int) -> None:
    """Put jobs into the ledger and onto the broker's lists."""
    envelopes = broker.Envelopes()
    for _ in range(count):
        job_id = str(uuid.uuid4())
        spec = Spec("resize_image", job_id, "nobody", {})
        number = ledger.next_number(MEDIA_QUEUE)
        run = Run(run_id_of(job_id, 1), 1, MEDIA_QUEUE, bull_job_id("bull", MEDIA_QUEUE, number), spec, "")
        ledger.accept(run, broker_list=broker.broker_list(run), message=envelopes.message(run))


def measure(service: Service, token: str) -> dict[tuple[str, int], Load]:
    """Measure POST and GET stats at every number of connections."""
    port = int(service.environ["PORT"])
    figures = {}
    for connections in CONNECTIONS:
        posts = prepare_posts(service, token, POSTS)
        figures["POST media", connections] = load(port, token, posts, connections)
        stats: Sequence[Request] = [("GET", "/api/queue/stats", None)] * POSTS
        figures["GET stats", connections] = load(port, token, stats, connections)
    return figures


def show(title: str, figures: dict[tuple[str, int], Load]) -> None:
    """Print one table."""
    print(f"\n{title}\n{'request':<11} {'conn':>4} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8}  statuses")
    for (request, connections), f in figures.items():
        print(f"{request:<11} {connections:>4} {f.per_s:>8.0f} {f.p50_ms:>8.2f} {f.p99_ms:>8.2f}  {f.statuses}")


def show_ratios(empty: dict[tuple[str, int], Load], full: dict[tuple[str, int], Load]) -> None:
    """Print time per request with a full queue over an empty one."""
    print(f"\nratio: time per request with {WAITING} waiting / with 0 waiting (aim <= 1.2)")
    for (request, connections), before in empty.items():
        after = full[request, connections]
        ratio, p50_ratio = before.per_s / after.per_s, after.p50_ms / before.p50_ms
        print(f"{request:<11} {connections:>4} connections: {ratio:.2f}  (p50 {p50_ratio:.2f})")


def start_latency(service: Service, token: str, ledger: Ledger, jobs: int = 40) -> None:
    """Print the time from POST to lease on an idle queue, and what the record store takes of it."""
    waits = []
    for method, path, body in prepare_posts(service, token, jobs):
        began = time.time()
        answer = service.request(method, path, token, data=body, headers={"Content-Type": "application/json"})
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
    """Run the benchmark on an instance of its own."""
    with tempfile.TemporaryDirectory() as folder:
        service = make_service(Path(folder) / "var", LOG_LEVEL="WARNING")
        service.start()
        try:
            token = service.token("creator")
            settings = load_settings(service.environ)
            client = connect(settings.redis_url)
            ledger = Ledger(client, settings.ledger_prefix)
            start_latency(service, token, ledger)
            # paused: what is posted stays waiting, and no worker takes part in the measurement
            service.hold_workers()
            empty = measure(service, token)
            fill(ledger, WAITING)
            full = measure(service, token)
        finally:
            service.stop()
    show("0 jobs waiting", empty)
    show(f"{WAITING} jobs waiting", full)
    show_ratios(empty, full)


if __name__ == "__main__":
    main()
