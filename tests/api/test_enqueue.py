"""`POST /api/queue/media`: what is accepted, and what each bad body gets."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
import redis

from geniequeue.jobs.finish import finish
from geniequeue.jobs.outcome import Completed, Failed
from geniequeue.operations import PUBLIC_OPERATIONS
from tests.api.conftest import Api
from tests.conftest import Person

MEDIA = "/api/queue/media"
ANY_ID = "e4b0f1c2-3d45-6789-abcd-ef0123456789"


def messages(redis_client: redis.Redis) -> int:
    return sum(redis_client.llen(key) for key in redis_client.scan_iter("media-jobs*", _type="list"))


def send_raw(api: Api, raw: bytes, content_type: str | None = "application/json") -> Any:
    return api.request("POST", MEDIA, data=raw, content_type=content_type)


def a_job(api: Api, **members: Any) -> bytes:
    return json.dumps({"jobId": ANY_ID, "operation": "resize_image", **members}).encode()


def end(services: Any, store: Any, job_id: str, outcome: Any) -> None:
    """End a job's latest run as its worker would."""
    run = services.producer.runs.latest(job_id)
    finish(store.as_service(), services.ledger, run, None, outcome)


def test_a_job_is_accepted_with_the_documented_answer(api: Api, redis_client: redis.Redis) -> None:
    job_id = api.person.create_job()
    answer = api.enqueue(job_id)
    assert answer.status_code == 200
    assert answer.json == {"ok": True, "bullJobId": "bull:media-jobs:1", "jobId": job_id}
    assert answer.headers["Location"] == f"/api/queue/jobs/{job_id}"
    assert redis_client.hget("bull:media-jobs:1", "name") == "resize_image"
    assert messages(redis_client) == 1


def test_ids_count_in_any_case(api: Api) -> None:
    job_id = api.person.create_job()
    assert api.enqueue(job_id.upper()).json["jobId"] == job_id


def test_unknown_members_beside_params_are_ignored(api: Api) -> None:
    assert api.enqueue(api.person.create_job(), colour="green", webhook={"a": [1]}).status_code == 200


def test_null_is_as_good_as_left_out(api: Api) -> None:
    names = ("input_file_id", "input_url", "params", "creator_profile_id", "priority")
    assert api.enqueue(api.person.create_job(), **dict.fromkeys(names)).status_code == 200


def test_a_job_without_an_item_is_accepted_and_seen_by_its_sender_alone(api: Api, other_creator: Person) -> None:
    answer = api.enqueue(ANY_ID, input_file_id=str(uuid.uuid4()), params={"width": 10})
    assert answer.status_code == 200
    assert api.get(f"/api/queue/jobs/{ANY_ID}").json["state"] == "waiting"
    assert api.get(f"/api/queue/jobs/{ANY_ID}", person=other_creator).status_code == 404


def test_an_administrator_may_enqueue_for_anyone(api: Api, admin: Person) -> None:
    job_id = api.person.create_job()
    assert api.enqueue(job_id, person=admin).status_code == 200
    assert api.get(f"/api/queue/jobs/{job_id}").json["state"] == "waiting"


def test_the_stored_job_must_name_the_same_operation(api: Api) -> None:
    job_id = api.person.create_job("convert_image", params={"format": "webp"})
    answer = api.enqueue(job_id, "resize_image", params={"width": 1})
    assert (answer.status_code, answer.json["error"]) == (409, "operation_mismatch")


def test_row_08_somebody_elses_job_or_file_is_answered_as_one_that_does_not_exist(
    api: Api, other_creator: Person
) -> None:
    theirs, mine = other_creator.create_job(), api.person.create_job()
    answers = [
        api.enqueue(theirs),
        api.enqueue(mine, input_file_id=other_creator.upload()),
        api.enqueue(mine, input_file_id=str(uuid.uuid4())),
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert {answer.json["error"] for answer in answers} == {"not_found"}


@pytest.mark.parametrize(
    "make",
    [
        lambda _: b"",
        lambda _: b"{",
        lambda _: b"null x",
        lambda body: body[:-1],
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: body.decode().encode("utf-16"),
        lambda body: body.decode().encode("utf-16-le"),
        lambda body: body + body,
        lambda _: b"\xff\xfe\xfd",
        lambda _: b"{'jobId': 1}",
        lambda body: body.replace(b"resize_image", b"\\ud800"),
    ],
)
def test_row_12_a_body_that_is_no_json_is_malformed(api: Api, make: Any) -> None:
    answer = send_raw(api, make(a_job(api)))
    assert (answer.status_code, answer.json["error"]) == (400, "malformed")


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/jsonx",
    ],
)
def test_row_13_a_body_that_is_not_declared_as_json_is_refused(api: Api, content_type: str | None) -> None:
    answer = send_raw(api, a_job(api), content_type)
    assert (answer.status_code, answer.json["error"]) == (415, "unsupported_media_type")


def test_row_13_json_in_utf_8_may_say_so(api: Api) -> None:
    job_id = api.person.create_job()
    raw = json.dumps({"jobId": job_id, "operation": "resize_image"}).encode()
    assert send_raw(api, raw, "application/json; charset=UTF-8").status_code == 200


def test_row_14_a_body_of_more_than_a_megabyte_is_too_large(api: Api) -> None:
    assert send_raw(api, a_job(api, note="x" * 1_000_000)).status_code == 413


@pytest.mark.parametrize("depth", [33, 500, 900, 10_000, 100_000])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
def test_row_15_nesting_without_end_is_malformed(api: Api, depth: int, brackets: tuple[str, str]) -> None:
    nested = brackets[0] * depth + "1" + brackets[1] * depth
    raw = a_job(api, params="HERE").replace(b'"HERE"', nested.encode())
    answer = send_raw(api, raw)
    assert (answer.status_code, answer.json["error"]) == (400, "malformed")


def test_row_16_a_member_given_twice_is_malformed(api: Api) -> None:
    raw = a_job(api).replace(b"{", b'{"jobId": "x", ', 1)
    assert send_raw(api, raw).status_code == 400
    raw = a_job(api, params="HERE").replace(b'"HERE"', b'{"width": 1, "width": 2}')
    assert send_raw(api, raw).status_code == 400


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000, "0x10", "01", "+1"])
@pytest.mark.parametrize("member", ["priority", "params"])
def test_row_17_a_number_that_json_does_not_have_is_malformed(api: Api, number: str, member: str) -> None:
    raw = a_job(api, **{member: {"width": "HERE"} if member == "params" else "HERE"})
    assert send_raw(api, raw.replace(b'"HERE"', number.encode())).status_code == 400


def test_row_18_unknown_params_are_each_named(api: Api) -> None:
    answer = api.enqueue(api.person.create_job(), params={"width": 10, "wdith": 1, "depth": 2})
    assert answer.status_code == 422
    assert answer.json["errors"] == {"params.wdith": ["unknown parameter"], "params.depth": ["unknown parameter"]}


@pytest.mark.parametrize(
    "operation",
    ["sharpen", "Resize_Image", " resize_image", "", ["resize_image"], {"a": 1}, None, 7, True, "onboarding:extract"],
)
def test_row_19_an_unknown_operation_is_told_the_known_ones(api: Api, operation: Any) -> None:
    answer = api.enqueue(api.person.create_job(), operation)
    assert answer.status_code == 422
    (message,) = answer.json["errors"]["operation"]
    assert all(name in message for name in PUBLIC_OPERATIONS)


@pytest.mark.parametrize("width", [0, -1, 1.5, "100", 2**63, 100_000, True, None, [1], {}])
def test_row_20_a_width_that_is_none_is_refused(api: Api, width: Any) -> None:
    answer = api.enqueue(api.person.create_job(), params={"width": width})
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["params.width"])


@pytest.mark.parametrize(
    ("operation", "params", "field"),
    [
        ("crop_image", {"x": 0, "y": 0, "width": 0, "height": 5}, "params.width"),
        ("crop_image", {"x": -1, "y": 0, "width": 5, "height": 5}, "params.x"),
        ("convert_image", {"format": "webp", "quality": 0}, "params.quality"),
        ("convert_image", {"format": "webp", "quality": 101}, "params.quality"),
        ("convert_image", {"format": "php"}, "params.format"),
        ("convert_image", {"format": "exe"}, "params.format"),
        ("convert_image", {"format": "svg"}, "params.format"),
        ("convert_image", {"format": "pdf"}, "params.format"),
        ("convert_image", {}, "params.format"),
        ("convert_image", {"format": "webp", "background": "../../etc"}, "params.background"),
        ("apply_watermark", {"watermark_text": "a", "color": "url(http://a)"}, "params.color"),
        ("apply_watermark", {"watermark_text": "x" * 10_000}, "params.watermark_text"),
        ("apply_watermark", {"watermark_text": "a\0b"}, "params.watermark_text"),
        ("apply_watermark", {"watermark_text": "a", "opacity": True}, "params.opacity"),
    ],
)
def test_row_21_22_25_27_28_params_that_cannot_work_are_refused_at_the_request(
    api: Api, operation: str, params: dict[str, Any], field: str
) -> None:
    for job_id in (api.person.create_job(operation, params={}), ANY_ID):
        answer = api.enqueue(job_id, operation, params=params)
        assert answer.status_code == 422
        assert field in answer.json["errors"]


@pytest.mark.parametrize("params", [[], "x", 1, True])
def test_params_must_be_an_object(api: Api, params: Any) -> None:
    assert list(api.enqueue(api.person.create_job(), params=params).json["errors"]) == ["params"]


@pytest.mark.parametrize("body", [[], "x", 1, None, True, [{}]])
def test_a_body_must_be_an_object(api: Api, body: Any) -> None:
    assert send_raw(api, json.dumps(body).encode()).status_code == 422


@pytest.mark.parametrize("priority", [-1, 2_097_152, 1.5, 1.0, "1", True, [], 2**63, 1e300])
def test_a_priority_outside_its_range_or_type_is_refused(api: Api, priority: Any) -> None:
    answer = api.enqueue(api.person.create_job(), priority=priority)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["priority"])


@pytest.mark.parametrize("priority", [0, 10, 2_097_151])
def test_every_priority_in_its_range_is_accepted(api: Api, priority: int) -> None:
    assert api.enqueue(api.person.create_job(), priority=priority).status_code == 200


def test_a_media_operation_needs_its_file(api: Api, store: Any) -> None:
    job_id = api.person.create_job()
    store.as_service().update_item("media_jobs", job_id, {"input_file_id": None})
    assert list(api.enqueue(job_id).json["errors"]) == ["input_file_id"]


def test_nothing_is_touched_by_a_request_that_is_refused(api: Api, redis_client: redis.Redis, store: Any) -> None:
    job_id = api.person.create_job()
    api.enqueue(job_id, params={"width": 0})
    assert messages(redis_client) == 0
    assert store.as_service().count_items("media_job_runs") == 0


def test_row_40_another_body_for_a_waiting_job_is_told_what_differs(api: Api) -> None:
    job_id = api.person.create_job()
    api.enqueue(job_id)
    answer = api.enqueue(job_id, params={"width": 7}, priority=3)
    assert answer.status_code == 409
    assert set(answer.json["errors"]) == {"params", "priority"}


def test_row_41_the_same_body_for_a_waiting_job_gets_the_same_answer(api: Api, redis_client: redis.Redis) -> None:
    job_id = api.person.create_job()
    assert api.enqueue(job_id).json == api.enqueue(job_id).json
    assert messages(redis_client) == 1


@pytest.mark.parametrize(
    ("outcome", "code"), [(Completed({}), "already_completed"), (Failed("input", "Broken."), "use_retry")]
)
def test_row_42_after_the_end_the_same_job_is_refused(
    api: Api, services: Any, store: Any, outcome: Any, code: str
) -> None:
    job_id = api.person.create_job()
    api.enqueue(job_id)
    end(services, store, job_id, outcome)
    answer = api.enqueue(job_id)
    assert (answer.status_code, answer.json["error"]) == (409, code)


@pytest.mark.parametrize(
    "job_id",
    ["", "x" * 5000, "a\0b", "a\nb", 7, 1.5, None, True, [], {}, "e4b0f1c23d456789abcdef0123456789", f"{{{ANY_ID}}}",
     f"urn:uuid:{ANY_ID}", f"{ANY_ID}\n", f" {ANY_ID}", "٤" * 36],
)  # fmt: skip
def test_row_43_a_job_id_that_is_no_uuid_is_refused(api: Api, job_id: Any) -> None:
    answer = api.enqueue(job_id)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["jobId"])


def test_every_error_has_the_one_body(api: Api) -> None:
    answer = api.enqueue("x")
    assert set(answer.json) == {"ok", "error", "message", "errors", "request_id"}
    assert answer.json["ok"] is False
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
