"""A job that reads several files: each is checked with the caller's own rights."""

from __future__ import annotations

import uuid

from geniequeue.jobs.job import Spec
from geniequeue.jobs.request import input_files
from tests.api.conftest import Api
from tests.conftest import Person


def join(api: Api, ids: list[str], **fields: object) -> tuple[int, dict[str, object]]:
    item = {"params": {"input_file_ids": ids}, **fields}
    job_id = str(
        api.person.store.as_user(api.person.token).create_item("media_jobs", {"operation": "join_videos", **item})["id"]
    )
    answer = api.enqueue(job_id, "join_videos")
    return answer.status_code, answer.json


def test_clips_of_ones_own_are_accepted_without_an_input_beside_them(api: Api) -> None:
    status, body = join(api, [api.person.upload(), api.person.upload()])
    assert status == 200, body


def test_a_clip_of_somebody_else_is_as_good_as_none(api: Api, other_creator: Person) -> None:
    for foreign in (other_creator.upload(), str(uuid.uuid4())):
        status, body = join(api, [api.person.upload(), foreign])
        assert (status, body["error"]) == (404, "not_found")
        assert "params.input_file_ids.1" in str(body["message"])


def test_a_list_of_clips_is_required(api: Api) -> None:
    for params in ({}, {"input_file_ids": []}, {"input_file_ids": "x"}, {"input_file_ids": [None]}):
        job_id = api.person.create_job("join_videos", params=params)
        answer = api.enqueue(job_id, "join_videos")
        assert answer.status_code == 422
        assert any("input_file_ids" in name for name in answer.json["errors"])


def test_one_clip_alone_is_refused_before_it_is_queued(api: Api) -> None:
    clip = api.person.upload()
    for fields in ({}, {"input_file_id": clip}):
        status, body = join(api, [clip], **fields)
        assert status == 422
        assert "at least 2 files" in str(body["errors"])
    status, body = join(api, [clip], input_file_id=api.person.upload())
    assert status == 200, body


def _spec(input_id: str | None, ids: list[str]) -> Spec:
    return Spec("join_videos", "job", "owner", {"input_file_ids": ids}, input_file_id=input_id)


def test_the_input_comes_first_unless_the_list_says_where() -> None:
    assert list(input_files(_spec(None, ["a", "b"])).values()) == ["a", "b"]
    assert list(input_files(_spec("x", ["a", "b"])).values()) == ["x", "a", "b"]
    assert list(input_files(_spec("b", ["a", "b"])).values()) == ["a", "b"]
    assert list(input_files(_spec("a", ["a", "a"])).values()) == ["a", "a"]
