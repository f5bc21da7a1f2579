"""What a caller is told when Directus is slow in several calls of one request, or refuses a token it just took."""

from __future__ import annotations

import io
import time

import requests

from tests.accounts import Account
from tests.directus.conftest import PHOTO, new_user_name
from tests.directus.in_process import DirectusApi
from tests.directus.sign_in import log_in, log_out
from tests.fault_proxy import Fault

WITHIN_S = 5.0
STATS = "/api/queue/stats"


def new_job(api: DirectusApi, creator: Account) -> str:
    """Upload a photograph and create an item as the web app does; return its id."""
    headers = {"Authorization": f"Bearer {creator.token}"}
    parts = {"file": ("otter.jpg", io.BytesIO(PHOTO.read_bytes()), "image/jpeg")}
    file = requests.post(f"{api.place.server.url}/files", headers=headers, files=parts, timeout=30).json()["data"]
    item = {"operation": "resize_image", "input_file_id": file["id"], "params": {"width": 320}}
    return str(creator.records.create_item("media_jobs", item)["id"])


def test_a_request_is_answered_in_time_however_many_of_its_calls_hang(directus_api: DirectusApi) -> None:
    creator = directus_api.place.account(new_user_name())
    job_id = new_job(directus_api, creator)
    assert directus_api.get(STATS, creator.token).status_code == 200
    slow = ("GET /items/media_jobs/", "GET /files/")
    hanging = ("GET /items/user_usage_counts", "POST /items/media_job_runs")
    directus_api.proxy.lasting.extend(
        [*(Fault(call, delay_s=1.0) for call in slow), *(Fault(call, delay_s=20.0) for call in hanging)]
    )

    began = time.monotonic()
    answer = directus_api.enqueue(creator, job_id)

    assert time.monotonic() - began < WITHIN_S
    assert (answer.status_code, answer.json["error"]) == (503, "records_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_token_that_was_taken_back_a_moment_ago_is_refused_as_one(directus_api: DirectusApi) -> None:
    name = new_user_name()
    creator = directus_api.place.account(name)
    job_id = new_job(directus_api, creator)
    session = log_in(directus_api.place, name, "session")
    assert directus_api.get(STATS, session).status_code == 200
    log_out(directus_api.place, session)

    body = {"jobId": job_id, "operation": "resize_image"}
    answers = [
        directus_api.request("POST", "/api/queue/media", session, json=body),
        directus_api.get("/api/queue/jobs", session),
    ]

    assert [(answer.status_code, answer.json["error"]) for answer in answers] == [(401, "invalid_token")] * 2
    assert all("WWW-Authenticate" in answer.headers for answer in answers)
