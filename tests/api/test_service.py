"""Stats, taxonomy, operations, health, documents, and what holds for every address."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from api.services import build_services
from geniequeue.config import Settings
from geniequeue.jobs import keys
from geniequeue.jobs.workers import Workers
from geniequeue.operations import PUBLIC_OPERATIONS, QUEUES
from tests.api.conftest import Api
from tests.conftest import Person
from tests.redis_server import free_port

EMPTY = dict.fromkeys(("waiting", "active", "completed", "failed", "delayed"), 0)


def test_stats_have_exactly_the_documented_members(api: Api, redis_client: redis.Redis) -> None:
    redis_client.hset(keys.taxonomy(), mapping={"hits": 231, "misses": 14, "size": 191, "generation": 3})
    api.enqueue(api.person.create_job())
    assert api.get("/api/queue/stats").json == {
        "ok": True,
        "stats": {"media-jobs": EMPTY | {"waiting": 1}, "scrape-jobs": EMPTY, "onboarding-jobs": EMPTY},
        "taxonomy_cache": {"hits": 231, "misses": 14, "size": 191},
    }


def test_active_is_what_the_workers_said_lately_else_what_the_ledger_says(
    api: Api, services: Any, redis_client: redis.Redis
) -> None:
    job_id = api.person.create_job()
    api.enqueue(job_id)
    services.ledger.lease(services.producer.runs.latest(job_id), worker="w", lease_s=30)

    def active() -> int:
        return int(api.get("/api/queue/stats").json["stats"]["media-jobs"]["active"])

    assert active() == 1
    redis_client.set(keys.snapshot(), json.dumps({"media-jobs": 0, "scrape-jobs": 2}), px=3000)
    assert active() == 0
    redis_client.delete(keys.snapshot())
    assert active() == 1


def test_every_invalidation_of_the_taxonomy_is_a_new_generation(api: Api) -> None:
    answers = [api.post("/api/queue/taxonomy/invalidate").json for _ in range(2)]
    assert answers == [{"ok": True, "generation": 1}, {"ok": True, "generation": 2}]


def test_operations_are_listed_with_the_json_schema_of_their_params(api: Api) -> None:
    listed = {operation["name"]: operation for operation in api.get("/api/queue/operations").json["operations"]}
    assert set(listed) == set(PUBLIC_OPERATIONS)
    convert = listed["convert_image"]
    assert (convert["queue"], convert["requires"]) == ("media-jobs", ["input_file_id"])
    schema = convert["params"]
    assert (schema["type"], schema["required"], schema["additionalProperties"]) == ("object", ["format"], False)
    assert schema["properties"]["quality"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 85}
    assert schema["properties"]["background"]["pattern"] == "^(?:#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6}))$"


def test_the_process_lives(client: FlaskClient) -> None:
    assert client.get("/healthz").json == {"ok": True}


def test_the_service_is_ready_when_a_worker_lives_on_every_queue(
    client: FlaskClient, redis_client: redis.Redis
) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert {name for name, check in answer.json["checks"].items() if not check["ok"]} == {f"worker:{q}" for q in QUEUES}
    Workers(redis_client).beat("all@here", QUEUES)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["ok"]) == (200, True)
    assert set(answer.json["checks"]) == {"redis", "records", "disk", "quota", *(f"worker:{queue}" for queue in QUEUES)}


def test_a_full_disk_and_a_sandbox_that_is_off_are_told(settings: Settings, redis_client: redis.Redis) -> None:
    Workers(redis_client).beat("all@here", QUEUES)
    odd = replace(settings, min_free_bytes=10**18, sandbox=False)
    answer = create_app(build_services(odd)).test_client().get("/readyz")
    assert answer.status_code == 503
    assert "MIN_FREE_MB" in answer.json["checks"]["disk"]["message"]
    assert "SANDBOX" in answer.json["warnings"][0]


@pytest.fixture
def without_redis(settings: Settings, creator: Person) -> Api:
    """The application with a Redis that is not there."""
    nowhere = replace(settings, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    return Api(create_app(build_services(nowhere)).test_client(), creator)


def test_without_redis_the_answer_is_to_come_back_later(without_redis: Api, store: Any) -> None:
    job_id = without_redis.person.create_job()
    answers = [
        without_redis.enqueue(job_id),
        without_redis.get("/api/queue/stats"),
        without_redis.post("/api/queue/taxonomy/invalidate"),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json["error"]) == (503, "ledger_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    assert ["nothing was accepted" in answer.json["message"] for answer in answers] == [True, False, True]
    assert store.as_service().count_items("media_job_runs") == 0
    ready = without_redis.client.get("/readyz")
    assert (ready.status_code, ready.json["checks"]["redis"]["ok"]) == (503, False)


def test_without_records_the_answer_is_to_come_back_later(api: Api, settings: Settings, services: Any) -> None:
    services.store.close()
    (settings.var_dir / "records").rename(settings.var_dir / "gone")
    answer = api.get("/api/queue/jobs")
    assert (answer.status_code, answer.json["error"]) == (503, "records_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def api_rules(app: Flask) -> list[tuple[str, str]]:
    """Return method and address of every resource."""
    return [
        (method, rule.rule.replace("<uuid:job_id>", "e4b0f1c2-3d45-6789-abcd-ef0123456789"))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/queue/")
    ]


def test_row_01_every_resource_asks_for_a_token(app: Flask, client: FlaskClient) -> None:
    assert len(api_rules(app)) == 9
    for method, path in api_rules(app):
        answer = client.open(path, method=method)
        assert (answer.status_code, answer.json["error"]) == (401, "missing_token"), path
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_row_02_and_03_bad_tokens_get_one_answer(client: FlaskClient) -> None:
    for header in ("Basic dXNlcjpwYXNz", "Bearer ", "Bearer x.y.z", "Bearer nonsense", "Bearer tökén"):
        answer = client.get("/api/queue/stats", headers={"Authorization": header})
        assert answer.status_code == 401
        assert set(answer.json) == {"ok", "error", "message", "request_id"}


def test_row_47_an_address_takes_its_own_methods_only(app: Flask, client: FlaskClient) -> None:
    for method, path in api_rules(app):
        for other in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO"} - {method}:
            answer = client.open(path, method=other)
            assert (answer.status_code, answer.json["error"]) == (405, "method_not_allowed")
            assert method in answer.headers["Allow"]


@pytest.mark.parametrize(
    "path",
    ["/api/queue/stats/", "//api/queue/stats", "/api//queue/stats", "/", "/api", "/api/queue", "/API/queue/stats"],
)
def test_row_47_an_address_has_one_spelling(client: FlaskClient, path: str) -> None:
    answer = client.get("/", environ_overrides={"PATH_INFO": path})
    assert (answer.status_code, answer.json["error"]) == (404, "not_found")


@pytest.mark.parametrize("given", ["", "a" * 65, "a\tb", "a b", "<script>", "ü", "a;b", "a%0d%0ab", "x" * 8192])
def test_row_48_an_unsafe_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    returned = client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert returned != given
    assert len(returned) == 36


def test_row_48_a_safe_request_id_is_kept(client: FlaskClient) -> None:
    answer = client.get("/api/queue/stats", headers={"X-Request-ID": "web-1.2_3"})
    assert answer.headers["X-Request-ID"] == answer.json["request_id"] == "web-1.2_3"


def test_row_49_the_answer_is_json_whatever_is_asked_for(api: Api) -> None:
    for path in ("/api/queue/stats", "/api/queue/nothing"):
        answer = api.get(path, headers={"Accept": "text/xml"})
        assert answer.content_type == "application/json"


def test_swagger_ui_is_served_from_this_host_alone(client: FlaskClient) -> None:
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert "://" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for address in _addresses(page.text):
        answer = client.get(address)
        assert answer.status_code == 200, address
    assert b"SwaggerUIBundle" in client.get("/api/docs/assets/swagger-ui-bundle.js").data
    assert client.get("/api/docs/assets/..%2f__init__.py").status_code == 404
    assert client.get("/api/docs/assets/LICENSE").status_code == 404


def _addresses(page: str) -> list[str]:
    pieces = page.replace("data-spec=", "src=").replace("href=", "src=").split('src="')[1:]
    return [piece.partition('"')[0] for piece in pieces]


def test_the_openapi_document_describes_every_resource(app: Flask, client: FlaskClient) -> None:
    document = client.get("/api/docs/openapi.json").json
    assert document["openapi"].startswith("3.")
    assert document["security"] == [{"bearer": []}]
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            if rule.rule.startswith("/api/queue/"):
                assert (method, rule.rule.replace("<uuid:job_id>", "{job_id}")) in described
    assert "Error" in document["components"]["schemas"]


def test_what_nobody_thought_of_is_answered_in_the_one_body(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    app.add_url_rule("/broken", view_func=broken)
    answer = app.test_client().get("/broken")
    assert (answer.status_code, answer.json["error"]) == (500, "internal")
    assert "ZeroDivision" not in answer.text
    assert Path(__file__).name not in answer.text
