"""What happens to a job between request and end, with real workers."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
import requests

from geniequeue.config import embedded_values
from tests.service import Service, await_true, processes

SLOW = {"format": "avif", "quality": 90}


def redis_of(service: Service) -> redis.Redis:
    return redis.Redis.from_url(embedded_values(service.folder)["REDIS_URL"], decode_responses=True)


@pytest.fixture
def paused(service: Service) -> Iterator[None]:
    """Keep the media worker stopped, so that jobs wait."""
    service.hold_workers()
    yield
    service.hold_workers(hold=False)


def test_the_same_job_twice_gets_the_same_answer_and_runs_once(
    service: Service, token: str, photo: Path, paused: None
) -> None:
    job_id = service.create(token, "resize_image", photo, {"width": 100})
    first, second = (service.enqueue(token, job_id, "resize_image") for _ in range(2))
    assert first.status == second.status == 200
    assert first.body == second.body
    assert first.headers["Location"] == f"/api/queue/jobs/{job_id}"


def test_row_40_the_same_job_with_another_body_is_told_what_differs(
    service: Service, token: str, photo: Path, paused: None
) -> None:
    job_id = service.create(token, "resize_image", photo, {"width": 100})
    service.enqueue(token, job_id, "resize_image")
    answer = service.enqueue(token, job_id, "resize_image", params={"width": 200})
    assert answer.status == 409
    assert "params" in answer.body["errors"]


def test_row_42_after_the_end_the_same_job_is_refused(
    service: Service, token: str, photo: Path, tmp_path: Path
) -> None:
    done = service.run(token, "resize_image", photo, {"width": 100})
    assert service.enqueue(token, done["jobId"], "resize_image").body["error"] == "already_completed"
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    failed = service.run(token, "resize_image", empty, {"width": 100})
    assert service.enqueue(token, failed["jobId"], "resize_image").body["error"] == "use_retry"


def test_row_44_a_hundred_equal_posts_at_once_make_one_job(service: Service, token: str, photo: Path) -> None:
    job_id = service.create(token, "resize_image", photo, {"width": 100})

    def post(_: int) -> tuple[int, str]:
        reply = requests.post(
            f"{service.url}/api/queue/media",
            json={"jobId": job_id, "operation": "resize_image"},
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        return reply.status_code, reply.text

    before = service.request("GET", "/api/queue/stats", token).body["stats"]["media-jobs"]["completed"]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(post, range(100)))
    accepted = {json.loads(text)["bullJobId"] for status, text in answers if status == 200}
    others = {json.loads(text)["error"] for status, text in answers if status != 200}
    assert len(accepted) == 1
    assert others <= {"already_completed"}
    service.await_final(token, job_id)
    after = service.request("GET", "/api/queue/stats", token).body["stats"]["media-jobs"]["completed"]
    assert after == before + 1
    assert len(service.store.as_service().list_items("media_job_outputs", {"job_id": job_id})) == 1


def test_a_waiting_job_is_cancelled_at_once_and_never_runs(
    service: Service, token: str, photo: Path, paused: None
) -> None:
    job_id = service.create(token, "resize_image", photo, {"width": 100})
    service.enqueue(token, job_id, "resize_image")
    answer = service.request("POST", f"/api/queue/jobs/{job_id}/cancel", token)
    assert (answer.status, answer.body["state"]) == (200, "cancelled")
    assert service.await_final(token, job_id)["state"] == "cancelled"
    assert service.request("POST", f"/api/queue/jobs/{job_id}/cancel", token).status == 409


def test_an_active_job_is_killed_by_a_cancel(service: Service, token: str, photo: Path) -> None:
    job_id = service.create(token, "convert_image", photo, SLOW)
    service.enqueue(token, job_id, "convert_image")
    service.await_state(token, job_id, frozenset({"active"}))
    answer = service.request("POST", f"/api/queue/jobs/{job_id}/cancel", token)
    assert (answer.status, answer.body["state"]) == (200, "cancelling")
    job = service.await_final(token, job_id, within_s=5)
    assert (job["state"], job["outputs"]) == ("cancelled", [])
    after = service.run(token, "resize_image", photo, {"width": 50})
    assert after["state"] == "completed"


def test_lower_numbers_run_first_and_equal_ones_in_order(service: Service, token: str, photo: Path) -> None:
    blocker = service.create(token, "convert_image", photo, SLOW)
    service.enqueue(token, blocker, "convert_image")
    service.await_state(token, blocker, frozenset({"active"}))
    priorities = [40, 10, 5, 10, 2_000_000, 0, 31, 40]
    jobs = {}
    for priority in priorities:
        job_id = service.create(token, "resize_image", photo, {"width": 32})
        service.enqueue(token, job_id, "resize_image", priority=priority)
        jobs[job_id] = priority
    assert service.await_state(token, blocker, frozenset({"active", "completed"}))["state"] == "active"
    started = {job_id: service.await_final(token, job_id)["timings"]["started_at"] for job_id in jobs}
    order = sorted(jobs, key=lambda job_id: started[job_id])
    assert [jobs[job_id] for job_id in order] == sorted(priorities)
    for equal in (10, 40):
        assert [j for j in order if jobs[j] == equal] == [j for j in jobs if jobs[j] == equal]


def test_a_job_without_an_item_is_accepted_and_failed_by_the_worker(service: Service, token: str) -> None:
    job_id = str(uuid.uuid4())
    answer = service.enqueue(token, job_id, "resize_image", input_file_id=str(uuid.uuid4()), params={"width": 10})
    assert answer.status == 200
    job = service.await_final(token, job_id)
    assert (job["state"], job["error"], job["reason"]) == ("failed", "input", "missing_item")
    assert service.request("GET", f"/api/queue/jobs/{job_id}", service.token("stranger")).status == 404
    assert service.request("POST", f"/api/queue/retry/{job_id}", token).status == 404


def test_nobody_can_squat_the_id_of_a_job_to_come(service: Service, token: str, photo: Path) -> None:
    job_id = str(uuid.uuid4())
    stranger = service.token("stranger")
    service.enqueue(stranger, job_id, "resize_image", input_file_id=str(uuid.uuid4()), params={"width": 10})
    service.await_final(stranger, job_id)
    service.create(token, "resize_image", photo, {"width": 10}, id=job_id)
    assert service.enqueue(token, job_id, "resize_image").status == 200
    assert service.await_final(token, job_id)["state"] == "completed"


def test_what_was_accepted_runs_whatever_the_owner_writes_into_the_item_later(
    service: Service, token: str, photo: Path, paused: None
) -> None:
    job_id = service.create(token, "resize_image", photo, {"width": 100})
    service.enqueue(token, job_id, "resize_image")
    service.store.as_service().update_item("media_jobs", job_id, {"params": {"width": 999}})
    service.hold_workers(hold=False)
    assert service.await_final(token, job_id)["outputs"][0]["width_px"] == 100


def test_a_killed_sandbox_is_replaced_and_the_job_tried_again(service: Service, token: str, photo: Path) -> None:
    job_id = service.create(token, "convert_image", photo, SLOW)
    service.enqueue(token, job_id, "convert_image")
    service.await_state(token, job_id, frozenset({"active"}))
    tmp = service.folder / "media-tmp"
    await_true(lambda: any(tmp.glob("job-*/in/*")), 10, lambda: "the job does not start")
    for pid in sandbox_pids(service):
        os.kill(pid, signal.SIGKILL)
    job = service.await_final(token, job_id, within_s=120)
    assert (job["state"], job["attempts"]) == ("completed", 2)


def sandbox_pids(service: Service) -> list[int]:
    folder = str(service.folder / "media-tmp").encode()
    return [pid for pid, arguments in processes() if arguments[0].endswith(b"bwrap") and folder in arguments]


def test_no_secret_and_no_param_reaches_redis(service: Service, token: str, photo: Path) -> None:
    service.run(token, "apply_watermark", photo, {"watermark_text": "never-in-redis"})
    client = redis_of(service)
    everything = []
    for key in client.scan_iter("*"):
        kind = client.type(key)
        read = {"hash": client.hgetall, "string": client.get, "stream": client.xrange}.get(kind)
        everything.append(str(read(key)) if read else str(client.lrange(key, 0, -1)) if kind == "list" else "")
    text = "\n".join(everything)
    assert "never-in-redis" not in text
    for name, secret in embedded_values(service.folder).items():
        assert name == "REDIS_URL" or secret not in text
    assert token not in text


def test_no_secret_reaches_a_log_or_a_command_line(service: Service, token: str) -> None:
    log = service.log()
    commands = [b" ".join(arguments).decode(errors="replace") for _, arguments in processes()]
    values = embedded_values(service.folder)
    password = values["REDIS_URL"].split(":")[2].split("@")[0]
    for secret in (token, password, values["DIRECTUS_SECRET"], values["FLOWER_PASSWORD"]):
        assert secret not in log
        assert not any(secret in command for command in commands)


def test_flower_shows_three_workers_behind_its_password(service: Service, token: str, photo: Path) -> None:
    service.run(token, "resize_image", photo, {"width": 40})
    url = f"http://127.0.0.1:{service.environ['FLOWER_PORT']}"
    assert requests.get(f"{url}/workers", timeout=10).status_code == 401
    login = ("operator", embedded_values(service.folder)["FLOWER_PASSWORD"])

    def shown() -> set[str]:
        page = requests.get(f"{url}/workers", auth=login, timeout=10).text
        return {name for name in ("media@", "scrape@", "onboarding@") if name in page}

    await_true(lambda: len(shown()) == 3, 20, lambda: f"Flower shows {shown()}")


def stats_of(service: Service, token: str) -> dict[str, int]:
    body = service.request("GET", "/api/queue/stats", token).body
    assert set(body) == {"ok", "stats", "taxonomy_cache"}
    assert set(body["stats"]) == {"media-jobs", "scrape-jobs", "onboarding-jobs"}
    numbers: dict[str, int] = body["stats"]["media-jobs"]
    assert set(numbers) == {"waiting", "active", "completed", "failed", "delayed"}
    return numbers


def test_a_running_job_is_active_in_the_stats_and_gone_from_them_afterwards(
    service: Service, token: str, photo: Path
) -> None:
    job_id = service.create(token, "convert_image", photo, SLOW)
    service.enqueue(token, job_id, "convert_image")
    await_true(lambda: stats_of(service, token)["active"] == 1, 5, lambda: str(stats_of(service, token)))
    service.await_final(token, job_id)
    await_true(lambda: stats_of(service, token)["active"] == 0, 5, lambda: str(stats_of(service, token)))


def test_what_the_workers_answer_to_inspect_is_kept_for_the_stats(service: Service, token: str, photo: Path) -> None:
    client = redis_of(service)
    job_id = service.create(token, "convert_image", photo, SLOW)
    service.enqueue(token, job_id, "convert_image")

    def seen() -> bool:
        return bool(json.loads(client.get("gq:snapshot") or "{}").get("media-jobs") == 1)

    await_true(seen, 5, lambda: f"snapshot: {client.get('gq:snapshot')}")
    service.await_final(token, job_id)


def readiness(service: Service) -> requests.Response:
    return requests.get(f"{service.url}/readyz", timeout=5)


def test_without_its_worker_a_queue_is_named_by_readyz_and_the_stats_stay_right(
    service: Service, token: str, photo: Path
) -> None:
    before = stats_of(service, token)
    service.hold_workers()
    try:
        await_true(lambda: readiness(service).status_code == 503, 20, lambda: readiness(service).text)
        assert "media-jobs" in readiness(service).text
        job_ids = [service.create(token, "resize_image", photo, {"width": 20}) for _ in range(2)]
        for job_id in job_ids:
            service.enqueue(token, job_id, "resize_image")
        began = time.monotonic()
        now = stats_of(service, token)
        assert time.monotonic() - began < 0.5
        assert (now["waiting"], now["completed"]) == (before["waiting"] + 2, before["completed"])
    finally:
        service.hold_workers(hold=False)
    for job_id in job_ids:
        assert service.await_final(token, job_id)["state"] == "completed"
    service.wait_ready()
