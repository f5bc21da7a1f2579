"""The quota over HTTP: the 403 to the letter, what is left, and the check that fail-open cannot hide behind."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from api.services import EXTENSION, Services, build_services
from geniequeue.accounts import Accounts
from geniequeue.config import Settings
from geniequeue.errors import RecordsUnavailable, RightMissing
from geniequeue.jobs.outcome import Failed
from geniequeue.jobs.producer import Producer
from geniequeue.jobs.workers import Workers
from geniequeue.quota import Quota
from geniequeue.quota.tiers import parse_tiers
from geniequeue.readiness import Readiness
from geniequeue.records.embedded import EmbeddedStore
from tests.api.conftest import Api
from tests.api.test_enqueue import end
from tests.conftest import Person
from tests.core.quota.parts import STARTER_LIMIT, Faulty

LIMIT_REACHED = {
    "error": "tier_limit_reached",
    "reason": "limit_reached",
    "message": "You have reached your plan limit for this feature. Upgrade to continue.",
}
NO_IMAGES = "fallback='a'\n[aliases]\n[features]\nmedia_modifications={a=0}\nwatermark_ops={a=-1}"


@pytest.fixture
def starter(store: EmbeddedStore, creator: Person) -> Person:
    """The creator, on the smallest plan."""
    store.ensure_user("creator", "starter")
    return creator


@pytest.fixture
def source(store: EmbeddedStore) -> Faulty:
    """The records of the quota, which can be made to fail."""
    return Faulty(store.as_service())


def with_quota(services: Services, records: Any, **given: Any) -> Services:
    """Return the services with another quota."""
    quota = Quota(services.ledger.client, records, Accounts(records), **given)
    ledger, store, settings = services.ledger, services.store, services.settings
    return replace(
        services,
        quota=quota,
        producer=Producer(store, ledger, quota, "bull"),
        readiness=Readiness(settings, store, ledger, Workers(ledger.client), quota.is_rejected),
    )


@pytest.fixture
def faulty_api(services: Services, source: Faulty, starter: Person) -> Api:
    """The application around a quota whose records can be made to fail."""
    return Api(create_app(with_quota(services, source)).test_client(), starter)


def fill(api: Api) -> None:
    for _ in range(STARTER_LIMIT):
        assert api.enqueue(api.person.create_job()).status_code == 200


def check_of(client: FlaskClient) -> Any:
    return client.get("/readyz").json["checks"]["quota"]


def test_row_45_a_full_plan_is_refused_with_exactly_the_documented_body(api: Api, starter: Person) -> None:
    fill(api)
    job_id = api.person.create_job()
    answer = api.enqueue(job_id)
    assert (answer.status_code, answer.json) == (403, LIMIT_REACHED)
    assert answer.content_type == "application/json"
    assert answer.headers["X-Request-ID"]
    assert api.get(f"/api/queue/jobs/{job_id}").json["bullJobId"] is None


def test_row_45_a_plan_without_the_feature_is_refused_with_exactly_the_documented_body(
    services: Services, store: EmbeddedStore, creator: Person
) -> None:
    without = with_quota(services, store.as_service(), tiers=parse_tiers(NO_IMAGES))
    api = Api(create_app(without).test_client(), creator)
    answer = api.enqueue(creator.create_job())
    assert answer.status_code == 403
    assert answer.json == {
        "error": "tier_limit_reached",
        "reason": "not_in_tier",
        "message": "Your plan does not include this feature. Upgrade to continue.",
    }
    marked = creator.create_job("apply_watermark", params={"watermark_text": "x"})
    assert api.enqueue(marked, "apply_watermark").status_code == 200


def test_row_45_a_retry_is_refused_alike(api: Api, services: Services, store: EmbeddedStore, starter: Person) -> None:
    job_id = starter.create_job()
    assert api.enqueue(job_id).status_code == 200
    end(services, store, job_id, Failed("tool", "no"))
    fill(api)
    answer = api.post(f"/api/queue/retry/{job_id}")
    assert (answer.status_code, answer.json) == (403, LIMIT_REACHED)
    assert api.get(f"/api/queue/jobs/{job_id}").json["state"] == "failed"


def test_another_feature_is_not_touched_by_a_full_one(api: Api, starter: Person) -> None:
    fill(api)
    marked = starter.create_job("apply_watermark", params={"watermark_text": "x"})
    assert api.enqueue(marked, "apply_watermark").status_code == 200


def test_fifty_requests_at_once_against_one_unit_that_is_left(app: Flask, api: Api, starter: Person) -> None:
    for _ in range(STARTER_LIMIT - 1):
        api.enqueue(starter.create_job())
    jobs = [starter.create_job() for _ in range(50)]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda job_id: Api(app.test_client(), starter).enqueue(job_id), jobs))
    assert sorted(answer.status_code for answer in answers) == [200] + [403] * 49
    assert all(answer.json == LIMIT_REACHED for answer in answers if answer.status_code == 403)


def test_what_is_left_is_told_by_feature(api: Api, starter: Person) -> None:
    for _ in range(2):
        api.enqueue(starter.create_job())
    answer = api.get("/api/queue/quota")
    assert answer.status_code == 200
    assert (answer.json["ok"], answer.json["tier"]) == (True, "starter")
    features = {each.pop("feature"): each for each in answer.json["features"]}
    images = features["media_modifications"]
    assert images.pop("cycle_start") < images.pop("cycle_end")
    assert "resize_image" in images.pop("operations")
    assert images == {"limit": 5, "used": 2, "remaining": 3, "verdict": "allowed"}
    marks = features["watermark_ops"]
    assert (marks["limit"], marks["used"], marks["remaining"], marks["verdict"]) == (-1, 0, None, "allowed")
    clips = features["ai_clip_ops"]
    assert (clips["limit"], clips["remaining"], clips["verdict"]) == (0, 0, "not_in_tier")
    assert features["profile_scrapes"]["operations"] == []


def test_what_is_left_of_a_full_feature_is_nothing(api: Api, starter: Person) -> None:
    fill(api)
    [images] = [
        each for each in api.get("/api/queue/quota").json["features"] if each["feature"] == "media_modifications"
    ]
    assert (images["remaining"], images["verdict"]) == (0, "limit_reached")


def test_everybody_sees_his_own_quota(api: Api, starter: Person, other_creator: Person) -> None:
    fill(api)
    answer = api.get("/api/queue/quota", person=other_creator).json
    assert (answer["tier"], answer["features"][0]["used"]) == ("pro", 0)


@pytest.mark.parametrize("error", [RecordsUnavailable("no answer"), RightMissing("no right")], ids=repr)
def test_what_is_left_is_not_made_up_where_the_records_do_not_say(
    faulty_api: Api, source: Faulty, error: Exception
) -> None:
    source.fail(error)  # type: ignore[arg-type]
    answer = faulty_api.get("/api/queue/quota")
    assert (answer.status_code, answer.json["error"]) == (503, "records_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_f43_an_unverified_job_says_so(faulty_api: Api, source: Faulty) -> None:
    source.fail(RecordsUnavailable("no answer"))
    unverified = faulty_api.person.create_job()
    assert faulty_api.enqueue(unverified).status_code == 200
    source.mend()
    verified = faulty_api.person.create_job()
    assert faulty_api.enqueue(verified).status_code == 200
    shown = [faulty_api.get(f"/api/queue/jobs/{job_id}").json["quota"] for job_id in (unverified, verified)]
    assert shown == ["unverified", None]


def test_f43_a_service_that_is_not_let_in_is_not_ready_until_it_is(faulty_api: Api, source: Faulty) -> None:
    client = faulty_api.client
    assert check_of(client) == {"ok": True}
    source.fail(RightMissing("no right"))
    assert faulty_api.enqueue(faulty_api.person.create_job()).status_code == 200
    told = check_of(client)
    assert told["ok"] is False
    assert "doctor" in told["message"]
    source.mend()
    client.application.extensions[EXTENSION].quota.settle()
    assert check_of(client) == {"ok": True}


def test_without_redis_the_check_of_the_quota_raises_nothing(settings: Settings) -> None:
    nowhere = build_services(replace(settings, redis_url="redis://127.0.0.1:1/0"))
    checks = create_app(nowhere).test_client().get("/readyz").json["checks"]
    assert checks["redis"]["ok"] is False


def test_the_403_is_documented_with_its_own_body(client: FlaskClient) -> None:
    document = client.get("/api/docs/openapi.json").json
    for path in ("/api/queue/media", "/api/queue/retry/{job_id}"):
        described = document["paths"][path]["post"]["responses"]["403"]["content"]["application/json"]["schema"]
        assert described == {"$ref": "#/components/schemas/QuotaRefused"}
    assert set(document["components"]["schemas"]["QuotaRefused"]["properties"]) == {"error", "reason", "message"}
    assert "200" in document["paths"]["/api/queue/quota"]["get"]["responses"]


def test_a_job_without_an_item_is_refused_by_a_full_plan_too(api: Api, starter: Person) -> None:
    fill(api)
    answer = api.enqueue(str(uuid.uuid4()), params={"width": 1})
    assert (answer.status_code, answer.json) == (403, LIMIT_REACHED)
