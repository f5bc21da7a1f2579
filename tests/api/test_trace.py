"""`POST /api/queue/trace` and its key: who may ask for what, and what each bad body gets."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from geniequeue.config import Settings, load_settings
from geniequeue.errors import RequestRefused
from geniequeue.jobs.request import TraceRequest
from geniequeue.jobs.trace_request import check_asset, trace_spec
from geniequeue.keys import written_key
from geniequeue.marks.assets import Asset, Assets
from geniequeue.marks.evidence import public_key_of
from geniequeue.marks.issues import Issue, Issues, draw_trace_id, issue_id_of
from geniequeue.principal import Principal
from geniequeue.records.embedded import EmbeddedStore
from tests.accounts import SECRET
from tests.api.conftest import Api
from tests.conftest import Person

TRACE = "/api/queue/trace"
SEED = bytes(range(32))


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    """Settings with a key for evidence."""
    values = {"VAR_DIR": str(tmp_path / "var"), "REDIS_URL": redis_url, "DIRECTUS_SECRET": SECRET}
    return load_settings({**values, "EVIDENCE_KEY_B64": written_key(SEED)})


def marked(store: EmbeddedStore, owner: Person, asset_file_id: str | None = None) -> str:
    """Put an asset of somebody on record, and a copy of it; return the asset's file."""
    service, file_id, job_id = store.as_service(), asset_file_id or str(uuid.uuid4()), str(uuid.uuid4())
    Assets(service).record(Asset(file_id, owner.user.id, str(uuid.uuid4()), "00" * 32, 800, 600))
    ids = issue_id_of(job_id), draw_trace_id(), "a fan", job_id, owner.user.id, file_id, str(uuid.uuid4())
    Issues(service).record(Issue(*ids, key_id="acfdf5c3", strength=1.0))
    return file_id


def jobs(store: EmbeddedStore) -> list[dict[str, Any]]:
    return store.as_service().list_items("media_jobs", {"operation": "trace_leak"})


def test_a_trace_creates_its_item_and_answers_like_media(
    api: Api, store: EmbeddedStore, redis_client: redis.Redis
) -> None:
    asset, leak = marked(store, api.person), api.person.upload()
    answer = api.post(TRACE, {"file_id": leak, "asset_file_id": asset.upper()})
    assert answer.status_code == 200
    assert set(answer.json) == {"ok", "bullJobId", "jobId"}
    assert answer.headers["Location"] == f"/api/queue/jobs/{answer.json['jobId']}"
    [item] = jobs(store)
    assert (item["id"], item["user_created"], item["status"]) == (answer.json["jobId"], api.person.user.id, "queued")
    assert (item["input_file_id"], item["params"]) == (leak, {"asset_file_id": asset})
    assert redis_client.hget(answer.json["bullJobId"], "name") == "trace_leak"
    assert api.get(answer.headers["Location"]).json["state"] == "waiting"


def test_a_trace_uses_nothing_of_the_quota(api: Api, store: EmbeddedStore) -> None:
    answer = api.post(TRACE, {"file_id": api.person.upload()})
    [run] = store.as_service().list_items("media_job_runs", {"job_id": answer.json["jobId"]})
    assert run["spec"]["unit"] is None


def test_row_8_an_asset_of_somebody_else_is_answered_as_one_that_does_not_exist(
    api: Api, store: EmbeddedStore, other_creator: Person
) -> None:
    foreign, leak = marked(store, other_creator), api.person.upload()
    answers = [api.post(TRACE, {"file_id": leak, "asset_file_id": each}) for each in (foreign, str(uuid.uuid4()))]
    assert [answer.status_code for answer in answers] == [404, 404]
    said = [answer.json["message"].replace(foreign, "ID") for answer in answers]
    assert said[0] == said[1].replace(said[1].split("file ")[1].split(" ")[0], "ID")
    assert jobs(store) == []


def test_somebody_elses_leak_is_answered_404(api: Api, store: EmbeddedStore, other_creator: Person) -> None:
    assert api.post(TRACE, {"file_id": other_creator.upload()}).status_code == 404
    assert jobs(store) == []


def test_whoever_has_sold_copies_may_ask_also_when_the_original_is_gone(api: Api, store: EmbeddedStore) -> None:
    asset = marked(store, api.person)
    assert api.post(TRACE, {"file_id": api.person.upload(), "asset_file_id": asset}).status_code == 200


def test_an_own_file_without_copies_may_be_asked_about(api: Api) -> None:
    asset = api.person.upload()
    assert api.post(TRACE, {"file_id": api.person.upload(), "asset_file_id": asset}).status_code == 200


def test_a_file_that_is_but_shared_with_the_caller_is_answered_404(
    api: Api, store: EmbeddedStore, other_creator: Person
) -> None:
    # in Directus an account may see more files than its own
    caller, seen = Principal(api.person.user.id, admin=False, token=api.person.token), store.as_service()
    request = TraceRequest(file_id=api.person.upload(), asset_file_id=other_creator.upload())
    spec = trace_spec(request, str(uuid.uuid4()), caller.user_id)
    with pytest.raises(RequestRefused) as caught:
        check_asset(seen, seen, spec, caller)
    assert caught.value.status == 404
    check_asset(seen, seen, spec, replace(caller, admin=True))


def test_an_admin_may_ask_about_any_asset(api: Api, store: EmbeddedStore, admin: Person) -> None:
    asset = marked(store, api.person)
    answer = api.post(TRACE, {"file_id": admin.upload(), "asset_file_id": asset}, person=admin)
    assert answer.status_code == 200


def test_by_media_an_asset_of_somebody_else_is_refused_too(
    api: Api, store: EmbeddedStore, other_creator: Person
) -> None:
    params = {"asset_file_id": marked(store, other_creator)}
    job_id = api.person.create_job("trace_leak", params=params)
    assert api.enqueue(job_id, "trace_leak").status_code == 404


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "file_id"),
        ({"file_id": None}, "file_id"),
        ({"file_id": "../etc/passwd"}, "file_id"),
        ({"file_id": 7}, "file_id"),
        ({"file_id": "e4b0f1c2-3d45-6789-abcd-ef0123456789", "asset_file_id": "x"}, "asset_file_id"),
        ({"input_url": "https://example.com/leak.jpg"}, "input_url"),
    ],
    ids=str,
)
def test_a_bad_body_is_answered_422_naming_the_member(
    api: Api, store: EmbeddedStore, body: dict[str, Any], named: str
) -> None:
    answer = api.post(TRACE, body)
    assert answer.status_code == 422
    assert named in answer.json["errors"]
    assert jobs(store) == []


@pytest.mark.parametrize(
    "fan_id",
    [None, 7, "", "  ", "x" * 201, "a\nb", "a\tb", "a\0b", "a\x1b[31m", "a\u2028b", ["fan"], {"id": 1}],
    ids=repr,
)
def test_row_26_a_fan_who_is_no_plain_text_is_refused_and_not_repeated(api: Api, fan_id: Any) -> None:
    answer = api.enqueue(api.person.create_job(), "apply_steganographic_watermark", params={"fan_id": fan_id})
    assert answer.status_code == 422
    [message] = answer.json["errors"]["params.fan_id"]
    assert "expected" in message or "not allowed" in message or "may not be null" in message
    assert "xxx" not in answer.text


@pytest.mark.parametrize("fan_id", ["%{metadata:all}", "@/etc/passwd", "':textfile=/etc/passwd", "Zoë ✿ مرحبا 👩‍👩‍👧"])
def test_row_26_text_that_means_something_elsewhere_is_a_name_like_any_other(
    api: Api, store: EmbeddedStore, fan_id: str
) -> None:
    job_id = api.person.create_job("apply_steganographic_watermark", params={"fan_id": fan_id})
    assert api.enqueue(job_id, "apply_steganographic_watermark").status_code == 200
    [run] = store.as_service().list_items("media_job_runs", {"job_id": job_id})
    assert run["spec"]["params"]["fan_id"] == fan_id


def test_the_public_key_is_told_to_every_user(api: Api, other_creator: Person) -> None:
    answer = api.get("/api/queue/trace/key", person=other_creator)
    assert answer.json == {"ok": True, "algorithm": "Ed25519", "public_key": public_key_of(SEED)}
