"""Rows 8 to 11 on a real Directus: other people's files and jobs, and retries of what cannot be retried."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from geniequeue.jobs.outcome import Cancelled, Completed, Failed
from tests.accounts import Account
from tests.api.test_enqueue import end
from tests.api.test_jobs import BAD_IDS
from tests.directus.conftest import PHOTO, new_user_name
from tests.directus.in_process import DirectusApi

RETRY = "/api/queue/retry/"


@pytest.fixture
def creator(directus_api: DirectusApi) -> Account:
    return directus_api.place.account(new_user_name())


@pytest.fixture
def other(directus_api: DirectusApi) -> Account:
    return directus_api.place.account(new_user_name())


def upload(account: Account, photo: Path = PHOTO) -> str:
    file_id = str(uuid.uuid4())
    account.records.upload(photo, file_id=file_id, filename=photo.name, mime="image/jpeg")
    return file_id


def create_job(account: Account, file_id: str | None = None) -> str:
    item = {"operation": "resize_image", "input_file_id": file_id or upload(account), "params": {"width": 64}}
    return str(account.records.create_item("media_jobs", item)["id"])


def told(answer: Any) -> dict[str, Any]:
    """Return what an answer tells but for the ids that the caller has sent himself."""
    return {"status": answer.status_code, **answer.json, "request_id": "", "message": ""}


def end_with(outcome: Any) -> Callable[[DirectusApi, str], None]:
    return lambda api, job_id: end(api.services, api.place.store, job_id, outcome)


def nothing_happens(_api: DirectusApi, _job_id: str) -> None:
    """Leave the job on its queue."""


def a_worker_begins(api: DirectusApi, job_id: str) -> None:
    """Take the job as a worker takes it."""
    api.services.ledger.lease(api.services.producer.runs.latest(job_id), worker="w", lease_s=30)
    api.place.store.as_service().update_item("media_jobs", job_id, {"status": "processing"})


def test_row_08_another_creators_file_is_answered_as_one_that_does_not_exist(
    directus_api: DirectusApi, creator: Account, other: Account
) -> None:
    theirs, nobodys = upload(other), str(uuid.uuid4())
    answers = [directus_api.enqueue(creator, create_job(creator, file_id)) for file_id in (theirs, nobodys)]
    assert answers[0].status_code == 404
    assert told(answers[0]) == told(answers[1])
    job_id = create_job(creator)
    body = {"jobId": job_id, "operation": "resize_image", "input_file_id": theirs}
    assert directus_api.request("POST", "/api/queue/media", creator.token, json=body).status_code == 404


def test_row_08_and_09_another_creators_job_is_answered_as_one_that_does_not_exist(
    directus_api: DirectusApi, creator: Account, other: Account
) -> None:
    job_id = create_job(other)
    assert directus_api.enqueue(other, job_id).status_code == 200
    end_with(Failed("input", "Broken."))(directus_api, job_id)

    for method, path in (("POST", RETRY + "{}"), ("GET", "/api/queue/jobs/{}"), ("POST", "/api/queue/jobs/{}/cancel")):
        theirs = directus_api.request(method, path.format(job_id), creator.token)
        nobodys = directus_api.request(method, path.format(uuid.uuid4()), creator.token)
        assert theirs.status_code == 404, path
        assert told(theirs) == told(nobodys), path
    assert directus_api.enqueue(creator, job_id).status_code == 404
    assert directus_api.request("POST", RETRY + job_id, other.token).status_code == 200


@pytest.mark.parametrize(
    ("happens", "status"),
    [
        (nothing_happens, "queued"),
        (a_worker_begins, "processing"),
        (end_with(Completed({})), "completed"),
        (end_with(Cancelled()), "cancelled"),
    ],
    ids=["queued", "running", "completed", "cancelled"],
)
def test_row_10_the_retry_of_a_job_that_has_not_failed_is_told_its_state(
    directus_api: DirectusApi, creator: Account, happens: Callable[[DirectusApi, str], None], status: str
) -> None:
    job_id = create_job(creator)
    assert directus_api.enqueue(creator, job_id).status_code == 200
    happens(directus_api, job_id)
    answer = directus_api.request("POST", RETRY + job_id, creator.token)
    assert (answer.status_code, answer.json["error"], answer.json["reason"]) == (409, "not_failed", status)


@pytest.mark.parametrize("bad", BAD_IDS)
def test_row_11_the_retry_of_what_is_no_id_is_not_found_and_directus_is_not_asked(
    directus_api: DirectusApi, creator: Account, bad: str
) -> None:
    answer = directus_api.request("POST", RETRY + bad, creator.token)
    assert (answer.status_code, answer.json["error"]) == (404, "not_found")
    assert directus_api.proxy.requests == []
