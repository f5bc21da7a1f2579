"""`/metrics` as Prometheus sees it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import requests
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from api.services import Services, build_services
from geniequeue.config import Settings
from geniequeue.jobs.job import Lease
from geniequeue.jobs.outcome import Completed
from tests.api.conftest import Api, Server
from tests.redis_server import free_port

DEPTH = 'geniequeue_queue_jobs{queue="media-jobs",state="waiting"}'


def test_anybody_reads_the_numbers_and_nobody_is_in_them(api: Api, client: FlaskClient, services: Services) -> None:
    job_ids = [api.person.create_job() for _ in range(2)]
    for job_id in job_ids:
        api.enqueue(job_id)
    run = services.producer.runs.latest(job_ids[0])
    assert run is not None
    lease = services.ledger.lease(run, worker="media@here", lease_s=8)
    assert isinstance(lease, Lease)
    services.ledger.finish(run, lease.attempt, Completed({"outputs": [{"file_id": "f"}]}))
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    assert f"{DEPTH} 1.0" in answer.text
    assert 'geniequeue_jobs_total{code="",operation="resize_image",outcome="completed"} 1.0' in answer.text
    for private in (*job_ids, run.id, run.bull_job_id, api.person.user.id, "file_id"):
        assert private not in answer.text
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert all(name.startswith("geniequeue_") for name in names)


def test_open_metrics_are_told_where_they_are_asked_for(client: FlaskClient) -> None:
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.content_type.startswith("application/openmetrics-text")
    assert any(family.name == "geniequeue_redis_up" for family in open_metrics(answer.text))


@pytest.mark.parametrize(
    "accept", ["", "*/*", "application/json", ";;;=", "text/plain;version=x;q=z", "text/plain;version=1.x"]
)
def test_an_odd_accept_gets_the_plain_text(client: FlaskClient, accept: str) -> None:
    answer = client.get("/metrics", headers={"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")


def test_without_redis_the_numbers_say_so(settings: Settings) -> None:
    nowhere = replace(settings, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    answer = create_app(build_services(nowhere)).test_client().get("/metrics")
    assert answer.status_code == 200
    assert "geniequeue_redis_up 0.0" in answer.text
    assert "geniequeue_queue_jobs" not in answer.text


def test_every_web_process_tells_the_same(server: Server) -> None:
    job_id = server.person.create_job()
    sent = {"jobId": job_id, "operation": "resize_image"}
    assert requests.post(f"{server.url}/api/queue/media", json=sent, headers=server.person.headers, timeout=30).ok
    # connections of their own reach both processes
    told = {
        line
        for _ in range(20)
        for line in requests.get(f"{server.url}/metrics", timeout=10).text.splitlines()
        if line.startswith(DEPTH)
    }
    assert len(told) == 1
