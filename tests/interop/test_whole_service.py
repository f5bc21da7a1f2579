"""BullMQ's clients beside every process of ours: jobs sent over HTTP, run by the real worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from geniequeue.config import load_settings
from geniequeue.jobs import keys
from geniequeue.jobs.ledger import connect
from geniequeue.operations import MEDIA_QUEUE
from tests.interop.node import BullMQ, BullMQError, eventually, running
from tests.service import REPOSITORY, Service, await_true, make_service

PHOTO = REPOSITORY / "samples" / "otter.jpg"
JOBS = 6


@pytest.fixture(scope="module")
def service(node_packages: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    started = make_service(tmp_path_factory.mktemp("interop") / "var")
    started.start()
    yield started
    started.stop()


@pytest.fixture
def token(service: Service) -> str:
    return service.token("creator")


@pytest.fixture
def bullmq(service: Service) -> Iterator[BullMQ]:
    redis_url = load_settings(service.environ).redis_url
    with running("client.mjs", REDIS_URL=redis_url, QUEUE=MEDIA_QUEUE, BULLMQ="bullmq") as process:
        yield BullMQ(process)


def send(service: Service, token: str, path: Path = PHOTO) -> tuple[str, str]:
    """Send a job; return its id and its number in the ledger."""
    job_id = service.create(token, "resize_image", path, {"width": 64})
    answer = service.enqueue(token, job_id, "resize_image")
    assert answer.status == 200, answer.body
    return job_id, answer.body["bullJobId"].rsplit(":", 1)[1]


def test_who_waits_with_bullmq_gets_the_outputs_of_the_real_worker(
    service: Service, token: str, bullmq: BullMQ
) -> None:
    bullmq.listen()
    job_id, number = send(service, token)
    returned = bullmq.answer(bullmq.begin_waiting(number))
    job = service.await_final(token, job_id)
    assert [output["file_id"] for output in returned["outputs"]] == [output["file_id"] for output in job["outputs"]]
    assert bullmq.state(number) == "completed"
    assert bullmq.job(number)["processedBy"].startswith("media@")


def test_who_waits_with_bullmq_hears_why_the_real_worker_failed(
    service: Service, token: str, bullmq: BullMQ, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.jpg"
    empty.write_bytes(b"")
    bullmq.listen()
    job_id, number = send(service, token, empty)
    with pytest.raises(BullMQError) as raised:
        bullmq.answer(bullmq.begin_waiting(number))
    assert str(raised.value) == service.await_final(token, job_id)["message"]


def test_a_bullmq_worker_beside_ours_takes_nothing_and_every_job_runs_once(
    service: Service, token: str, bullmq: BullMQ
) -> None:
    bullmq.start_worker(stalledInterval=300, concurrency=4)
    sent = [send(service, token) for _ in range(JOBS)]
    for job_id, _ in sent:
        assert service.await_final(token, job_id)["state"] == "completed"
        runs = service.store.as_service().list_items("media_job_runs", {"job_id": job_id})
        assert [run["round"] for run in runs] == [1]
    assert bullmq.worker_seen() == []
    assert [bullmq.job(number)["attemptsStarted"] for _, number in sent] == [1] * JOBS


def test_a_queue_paused_with_bullmq_waits_and_goes_on_when_resumed(
    service: Service, token: str, bullmq: BullMQ
) -> None:
    bullmq.queue("pause")
    job_id, number = send(service, token)
    eventually(lambda: "queue paused, message put back" in service.log())
    assert bullmq.state(number) == "prioritized"
    assert service.request("GET", f"/api/queue/jobs/{job_id}", token).body["state"] == "waiting"
    bullmq.queue("resume")
    assert service.await_final(token, job_id)["state"] == "completed"


def test_a_job_removed_with_bullmq_before_it_ran_stays_queued_in_the_records(
    service: Service, token: str, bullmq: BullMQ
) -> None:
    # What a Redis that has just begun does not know is sent again, once, when some seconds are over.
    client = connect(load_settings(service.environ).redis_url)
    await_true(lambda: client.hexists(keys.restored(), "all"), 60, service.log)
    service.hold_workers()
    try:
        job_id, number = send(service, token)
        bullmq.job(number, "remove")
    finally:
        service.hold_workers(hold=False)
    eventually(lambda: "message dropped" in service.log())
    job = service.request("GET", f"/api/queue/jobs/{job_id}", token).body
    assert job["state"] == "waiting"
    assert service.request("POST", f"/api/queue/jobs/{job_id}/cancel", token).body["state"] == "cancelled"
