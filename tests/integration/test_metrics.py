"""`/metrics` of a running service: what real workers count."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import redis
import requests
from prometheus_client.parser import text_string_to_metric_families

from geniequeue.config import embedded_values
from tests.service import Service, await_true

SLOW = {"format": "avif", "quality": 95}


def scrape(service: Service) -> dict[tuple[str, frozenset[str]], float]:
    """Return every sample by name and label values."""
    text = requests.get(f"{service.url}/metrics", timeout=10).text
    return {
        (sample.name.removeprefix("geniequeue_"), frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def grown(before: dict[tuple[str, frozenset[str]], float], service: Service, name: str, *labels: str) -> float:
    sample = (name, frozenset(labels))
    return scrape(service).get(sample, 0) - before.get(sample, 0)


def test_completed_and_failed_jobs_are_counted_with_their_times(
    service: Service, token: str, photo: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo.read_bytes()[:2000])
    before = scrape(service)
    for _ in range(2):
        assert service.run(token, "crop_image", photo, {"aspect": "1:1"})["state"] == "completed"
    assert service.run(token, "crop_image", broken, {"aspect": "1:1"})["state"] == "failed"
    assert grown(before, service, "jobs_total", "crop_image", "completed", "") == 2
    assert grown(before, service, "jobs_total", "crop_image", "failed", "input") == 1
    for name in ("job_wait_seconds_count", "job_run_seconds_count", "attempts_total"):
        assert grown(before, service, name, "crop_image") == 3
    assert grown(before, service, "job_peak_memory_bytes_count", "crop_image") == 2
    assert grown(before, service, "job_peak_memory_bytes_bucket", "crop_image", "16777216.0") == 0
    for queue in ("media-jobs", "scrape-jobs", "onboarding-jobs"):
        assert scrape(service)["workers", frozenset({queue})] == 1


def test_a_lost_pool_child_is_counted(service: Service, token: str, photo: Path) -> None:
    before = scrape(service)
    job_id = service.create(token, "convert_image", photo, SLOW)
    service.enqueue(token, job_id, "convert_image")
    await_true(lambda: grown(before, service, "attempts_total", "convert_image") == 1, 30, service.log)
    main, *children = service.worker_pids("media-jobs")
    pool_child = next(pid for pid in children if _parent(pid) == main)
    os.kill(pool_child, signal.SIGKILL)
    assert service.await_final(token, job_id)["state"] == "completed"
    assert grown(before, service, "attempts_put_back_total", "convert_image", "worker", "lost") == 1
    assert grown(before, service, "attempts_total", "convert_image") == 2
    assert grown(before, service, "jobs_total", "convert_image", "completed", "") == 1


def test_f6_messages_of_a_job_that_has_ended_are_counted(service: Service, token: str, photo: Path) -> None:
    client = redis.Redis.from_url(embedded_values(service.folder)["REDIS_URL"], decode_responses=True)
    first, job_id = (service.create(token, "strip_metadata", photo, {}) for _ in range(2))
    service.hold_workers()
    # the worker had asked already, and gets the first one's message though it stands still
    service.enqueue(token, first, "strip_metadata")
    service.enqueue(token, job_id, "strip_metadata")
    message = client.lindex("media-jobs:10", 0)
    service.hold_workers(hold=False)
    service.await_final(token, job_id)
    before = scrape(service)
    client.lpush("media-jobs:10", *[message] * 5)
    dropped = ("messages_dropped_total", "strip_metadata", "final")
    await_true(lambda: grown(before, service, *dropped) == 5, 30, service.log)
    assert grown(before, service, "attempts_total", "strip_metadata") == 0


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
