"""The whole main job on a real Directus, driven over HTTP alone, as the web app drives it."""

from __future__ import annotations

import io
import subprocess
import uuid
from pathlib import Path

import requests

from tests.accounts import Account
from tests.directus.conftest import DirectusService, new_user_name, outputs_of


def directus(service: DirectusService, account: Account, method: str, path: str, **kwargs: object) -> requests.Response:
    """Send a request to Directus with somebody's own token, as the web app does."""
    headers = {"Authorization": f"Bearer {account.token}"}
    return requests.request(method, service.place.server.url + path, headers=headers, timeout=30, **kwargs)  # type: ignore[arg-type]


def upload(service: DirectusService, account: Account, photo: Path) -> str:
    """Upload a photograph to Directus; return the file's id."""
    parts = {"file": (photo.name, io.BytesIO(photo.read_bytes()), "image/jpeg")}
    answer = directus(service, account, "POST", "/files", files=parts)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"]["id"])


def create_item(service: DirectusService, account: Account, file_id: str) -> str:
    """Create the `media_jobs` item; return its id."""
    item = {"operation": "resize_image", "input_file_id": file_id, "params": {"width": 320}}
    answer = directus(service, account, "POST", "/items/media_jobs", json=item)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"]["id"])


def width_px(content: bytes) -> int:
    """Return the width of a picture, as exiftool reads it."""
    command = ["exiftool", "-s3", "-ImageWidth", "-"]
    return int(subprocess.run(command, input=content, capture_output=True, check=True).stdout)


def test_submit_poll_download_with_a_creators_own_token(service: DirectusService, photo: Path) -> None:
    creator = service.account(new_user_name())
    job_id = create_item(service, creator, upload(service, creator, photo))

    accepted = service.enqueue(creator.token, job_id, "resize_image")
    assert accepted.status == 200 and accepted.body["ok"] is True
    job = service.await_final(creator.token, job_id)

    assert job["state"] == "completed", job
    item = directus(service, creator, "GET", f"/items/media_jobs/{job_id}").json()["data"]
    assert (item["status"], item["progress"], item["bull_job_id"]) == ("completed", 100, accepted.body["bullJobId"])
    (file_id,) = outputs_of(job)
    downloaded = directus(service, creator, "GET", f"/assets/{file_id}")
    assert downloaded.status_code == 200
    assert width_px(downloaded.content) == 320


def test_a_creator_reads_his_own_output_and_not_anothers(service: DirectusService, photo: Path) -> None:
    creator, other = service.account(new_user_name()), service.account(new_user_name())
    job_id = create_item(service, creator, upload(service, creator, photo))
    assert service.enqueue(creator.token, job_id, "resize_image").status == 200
    (file_id,) = outputs_of(service.await_final(creator.token, job_id))

    assert directus(service, creator, "GET", f"/files/{file_id}").status_code == 200
    for path in (f"/assets/{file_id}", f"/files/{file_id}", f"/items/media_jobs/{job_id}"):
        hidden = directus(service, other, "GET", path)
        missing = directus(service, other, "GET", path.rpartition("/")[0] + f"/{uuid.uuid4()}")
        assert (hidden.status_code, missing.status_code) == (403, 403), path
    assert service.request("GET", f"/api/queue/jobs/{job_id}", other.token).status == 404


def test_another_creators_file_is_refused_as_an_unknown_one(service: DirectusService, photo: Path) -> None:
    creator, other = service.account(new_user_name()), service.account(new_user_name())
    foreign = upload(service, other, photo)
    answers = [
        service.enqueue(creator.token, create_item(service, creator, file_id), "resize_image")
        for file_id in (foreign, str(uuid.uuid4()))
    ]
    assert [answer.status for answer in answers] == [404, 404]
    bodies = [{**answer.body, "request_id": "", "message": ""} for answer in answers]
    assert bodies[0] == bodies[1]


def test_a_failed_job_is_retried(service: DirectusService, photo: Path, tmp_path: Path) -> None:
    creator = service.account(new_user_name())
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo.read_bytes()[:2000])
    job_id = create_item(service, creator, upload(service, creator, broken))
    assert service.enqueue(creator.token, job_id, "resize_image").status == 200
    assert service.await_final(creator.token, job_id)["state"] == "failed"

    retried = service.request("POST", f"/api/queue/retry/{job_id}", creator.token)

    assert retried.status == 200 and retried.body["jobId"] == job_id
    assert service.await_final(creator.token, job_id)["state"] == "failed"
