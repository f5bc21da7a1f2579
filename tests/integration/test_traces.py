"""From a copy for a fan to the evidence against him, through the whole service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import pyvips

from tests.core import videos
from tests.core.leaks import SAMPLE, cropped_half_size, small_sample
from tests.service import Service, output_path

FANS = ("fan-7 Zoë ✿", "fan-8")


@pytest.fixture(scope="module")
def photo_small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample at 1200 pixels, so that the suite stays quick."""
    return small_sample(tmp_path_factory.mktemp("photo") / "otter.jpg", 1200)


class Copies:
    """An asset, and a copy of it for each fan."""

    def __init__(self, service: Service, token: str, picture: Path) -> None:
        self.asset = service.upload(token, picture)
        self.jobs = [mark(service, token, self.asset, fan) for fan in FANS]


def mark(service: Service, token: str, file_id: str, fan_id: str, **params: Any) -> Any:
    item = {
        "operation": "apply_steganographic_watermark",
        "input_file_id": file_id,
        "params": {"fan_id": fan_id, **params},
    }
    job_id = service.store.as_user(token).create_item("media_jobs", item)["id"]
    answer = service.enqueue(token, job_id, "apply_steganographic_watermark")
    assert answer.status == 200, answer.body
    return service.await_final(token, job_id, within_s=180)


def trace(service: Service, token: str, path: Path, **members: Any) -> Any:
    answer = service.request(
        "POST", "/api/queue/trace", token, json={"file_id": service.upload(token, path), **members}
    )
    assert answer.status == 200, answer.body
    assert answer.headers["Location"] == f"/api/queue/jobs/{answer.body['jobId']}"
    return service.await_final(token, answer.body["jobId"], within_s=180)


@pytest.fixture(scope="module")
def copies(service: Service, token: str, photo_small: Path) -> Copies:
    made = Copies(service, token, photo_small)
    assert [job["state"] for job in made.jobs] == ["completed", "completed"], made.jobs
    return made


def test_a_leak_is_traced_to_its_fan_and_the_evidence_holds(
    service: Service, token: str, copies: Copies, tmp_path: Path
) -> None:
    leak = cropped_half_size(output_path(copies.jobs[0]), tmp_path / "leak.jpg", quality=50)
    job = trace(service, token, leak, asset_file_id=copies.asset)
    assert job["state"] == "completed", job
    answer = job["trace"]
    assert answer["verdict"] == "match"
    [named] = answer["candidates"]
    assert (named["fan_id"], named["copy_file_id"]) == (FANS[0], copies.jobs[0]["outputs"][0]["file_id"])
    assert named["score"] > answer["threshold"] > 6
    assert named["false_accusation"] < 1e-9
    assert (answer["copies"], answer["asset_file_id"]) == (2, copies.asset)
    assert answer["registration"]["accepted"]
    assert [output["role"] for output in job["outputs"]] == ["evidence", "evidence_picture"]
    shown = pyvips.Image.new_from_file(str(output_path(job, 1)))
    assert (shown.width, shown.height) == (job["outputs"][1]["width_px"], job["outputs"][1]["height_px"])
    done = service.cli("trace", "--verify", str(output_path(job)), "--json")
    assert done.returncode == 0, done.stderr
    verified = json.loads(done.stdout)
    assert verified["trusted"]
    assert verified["claims"]["answer"] == answer
    key = service.request("GET", "/api/queue/trace/key", token).body
    assert (key["algorithm"], key["public_key"]) == ("Ed25519", verified["public_key"])
    forged = tmp_path / "forged.json"
    forged.write_bytes(output_path(job).read_bytes().replace(b"fan-7", b"fan-8"))
    assert service.cli("trace", "--verify", str(forged)).returncode == 1


def test_no_name_and_no_key_is_in_a_log_in_redis_or_in_the_copy(
    service: Service, token: str, copies: Copies, tmp_path: Path
) -> None:
    from geniequeue.config import load_settings
    from geniequeue.jobs.ledger import connect

    job = trace(service, token, output_path(copies.jobs[0]), asset_file_id=copies.asset)
    assert job["trace"]["verdict"] == "match"
    settings = load_settings(service.environ)
    key = settings.mark_keys.current
    assert key is not None
    client = connect(settings.redis_url)
    kept = [client.dump(name) for name in client.scan_iter()]
    texts = [service.log().encode(), output_path(copies.jobs[0]).read_bytes(), *(each or b"" for each in kept)]
    row = service.store.as_service().list_items("watermark_issues", {"job_id": copies.jobs[0]["jobId"]})[0]
    secrets = [FANS[0].encode(), b"fan-7", key.secret.hex().encode(), row["trace_id"].encode()]
    secrets += [key.marking.hex().encode()]
    assert [secret for secret in secrets for text in texts if secret in text] == []


def test_the_command_line_finds_the_asset_by_itself(service: Service, copies: Copies, tmp_path: Path) -> None:
    done = service.cli("trace", str(output_path(copies.jobs[1])), "--json", "--output", str(tmp_path / "evidence"))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)["trace"]
    assert (answer["verdict"], answer["candidates"][0]["fan_id"]) == ("match", FANS[1])
    assert {path.name for path in (tmp_path / "evidence").iterdir()} == {"evidence.json", "evidence.png"}


def test_row_67_an_unmarked_picture_accuses_nobody(
    service: Service, token: str, copies: Copies, photo_small: Path
) -> None:
    job = trace(service, token, photo_small, asset_file_id=copies.asset)
    assert (job["trace"]["verdict"], job["trace"]["candidates"]) == ("inconclusive", [])
    assert "score" not in json.dumps(job["trace"])
    content = output_path(job).read_text()
    assert not any(name in content for name in (*FANS, "fan-7"))


def test_row_66_a_copy_is_not_marked_again_unless_that_is_allowed_and_then_its_chain_is_named(
    service: Service, token: str, copies: Copies
) -> None:
    first = copies.jobs[0]["outputs"][0]["file_id"]
    refused = mark(service, token, first, "fan-9")
    assert (refused["state"], refused["error"], refused["reason"]) == ("failed", "input", "already_marked")
    second = mark(service, token, first, "fan-9", allow_marked=True)
    assert second["state"] == "completed", second
    answer = trace(service, token, output_path(second), asset_file_id=copies.asset)["trace"]
    assert answer["verdict"] == "match"
    assert [each["fan_id"] for each in answer["candidates"][0]["chain"]] == [FANS[0], "fan-9"]
    # from now on the first copy's mark alone names nobody
    earlier = trace(service, token, output_path(copies.jobs[0]), asset_file_id=copies.asset)["trace"]
    assert (earlier["verdict"], earlier["candidates"]) == ("inconclusive", [])


def test_row_8_an_asset_of_somebody_else_is_as_good_as_none(
    service: Service, token: str, copies: Copies, photo_small: Path
) -> None:
    stranger = service.token("stranger")
    body = {"file_id": service.upload(stranger, output_path(copies.jobs[1]))}
    answer = service.request("POST", "/api/queue/trace", stranger, json={**body, "asset_file_id": copies.asset})
    assert (answer.status, answer.body["error"]) == (404, "not_found")
    # without naming it he learns nothing either, though the leak is a copy
    job = trace(service, stranger, output_path(copies.jobs[1]))
    assert (job["trace"]["verdict"], job["trace"]["candidates"]) == ("no_marked_asset", [])
    admin = service.token("root", admin=True)
    job = trace(service, admin, output_path(copies.jobs[1]), asset_file_id=copies.asset)
    assert job["trace"]["candidates"][0]["fan_id"] == FANS[1]


def test_of_two_assets_with_the_same_picture_the_one_is_named_whose_copy_leaked(
    service: Service, token: str, copies: Copies, photo_small: Path
) -> None:
    twin = service.upload(token, photo_small)
    job = mark(service, token, twin, "fan of the twin")
    assert job["state"] == "completed", job
    wrong = trace(service, token, output_path(job), asset_file_id=copies.asset)["trace"]
    assert (wrong["verdict"], wrong["candidates"]) == ("inconclusive", [])
    found = trace(service, token, output_path(job))["trace"]
    assert [each["fan_id"] for each in found["candidates"]] == ["fan of the twin"]
    assert found["asset_file_id"] == twin


def zoomed(path: Path, seconds: int) -> None:
    """Write a video that goes into the sample photograph."""
    small = small_sample(path.with_name("photo.png"), 1200)
    zoom = "zoompan=z='1.2+0.004*on':x='3*on':y='2*on':d=1:s=480x270:fps=25,format=yuv420p"
    source = ["-loop", "1", "-framerate", "25", "-t", str(seconds), "-i", small]
    videos.ffmpeg(*source, "-vf", zoom, "-preset", "veryfast", path)


def test_a_video_goes_the_same_way(service: Service, token: str, tmp_path: Path) -> None:
    clip, leak = tmp_path / "clip.mp4", tmp_path / "leak.mp4"
    pan = [
        "-loop",
        "1",
        "-framerate",
        "25",
        "-t",
        "3",
        "-i",
        SAMPLE,
        "-vf",
        "crop=2560:1440:x='12*n':y='6*n',scale=480:270",
    ]
    videos.ffmpeg(*pan, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", clip)
    asset = service.upload(token, clip)
    job = mark(service, token, asset, "fan of a video")
    assert job["state"] == "completed", job
    videos.ffmpeg("-ss", "0.5", "-i", output_path(job), "-c:v", "libx264", "-crf", "26", leak)
    traced = trace(service, token, leak, asset_file_id=asset)
    assert traced["state"] == "completed", traced
    assert [each["fan_id"] for each in traced["trace"]["candidates"]] == ["fan of a video"]
    assert [output["role"] for output in traced["outputs"]] == ["evidence", "evidence_picture"]
    against = trace(service, token, SAMPLE, asset_file_id=asset)
    assert (against["state"], against["reason"]) == ("failed", "type_not_allowed")


def test_a_teaser_is_marked_under_its_own_id(service: Service, token: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    zoomed(clip, 4)
    job = service.run(token, "create_teaser", clip, {"duration": 2, "clips": 1, "mark": True}, within_s=180)
    assert job["state"] == "completed", job
    assert (len(job["outputs"]), job["outputs"][0]["duration_s"]) == (1, pytest.approx(2, abs=0.1))
    found = trace(service, token, output_path(job))["trace"]
    assert [each["fan_id"] for each in found["candidates"]] == [f"teaser {job['jobId']}"]
    plain = service.run(token, "create_teaser", clip, {"duration": 2, "clips": 1}, within_s=180)
    assert service.store.as_service().count_items("watermark_issues", {"job_id": plain["jobId"]}) == 0
