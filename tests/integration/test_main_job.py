"""The main job, driven as the web app drives it: store the file, create the item, POST, poll, read the output."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import pyvips

from tests.service import Service, await_true, last_json, output_path


def metadata_of(path: Path) -> dict[str, Any]:
    shown = subprocess.run(["exiftool", "-a", "-G1", "-u", "-j", str(path)], capture_output=True, check=True).stdout
    tags: dict[str, Any] = json.loads(shown)[0]
    return {
        name: value
        for name, value in tags.items()
        if not name.startswith(("SourceFile", "System:", "File:", "ExifTool:"))
    }


@pytest.mark.parametrize(
    ("operation", "params", "mime", "size"),
    [
        ("convert_image", {"format": "webp"}, "image/webp", (3840, 2160)),
        ("convert_image", {"format": "avif", "quality": 60}, "image/avif", (3840, 2160)),
        ("resize_image", {"width": 1080}, "image/jpeg", (1080, 608)),
        ("crop_image", {"aspect": "4:5"}, "image/jpeg", (1728, 2160)),
        ("strip_metadata", {}, "image/jpeg", (3840, 2160)),
        ("apply_watermark", {"watermark_text": "@otter 🦦"}, "image/jpeg", (3840, 2160)),
    ],
)
def test_a_photograph_comes_out_changed_and_verified(
    service: Service, token: str, photo: Path, operation: str, params: dict[str, Any], mime: str, size: tuple[int, int]
) -> None:
    job = service.run(token, operation, photo, params)
    assert job["state"] == "completed", job
    output = job["outputs"][0]
    assert (output["mime"], output["width_px"], output["height_px"]) == (mime, *size)
    content = output_path(job).read_bytes()
    assert (output["size_bytes"], output["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    image = pyvips.Image.new_from_file(str(output_path(job)), access="sequential")
    assert (image.width, image.height) == size
    assert image.avg() > 10
    assert job["progress"] == 100
    assert job["peak_memory_bytes"] > 10_000_000
    assert job["timings"]["ran_s"] >= 0


def test_the_record_says_what_the_api_says(service: Service, token: str, photo: Path) -> None:
    job = service.run(token, "resize_image", photo, {"width": 300})
    item = service.store.as_service().get_item("media_jobs", job["jobId"])
    assert item["status"] == "completed"
    assert item["progress"] == 100
    assert item["result"]["outputs"] == job["outputs"]
    assert item["bull_job_id"] == job["bullJobId"]
    rows = service.store.as_service().list_items("media_job_outputs", {"job_id": job["jobId"]})
    assert [row["sha256"] for row in rows] == [job["outputs"][0]["sha256"]]


def test_the_run_of_an_ended_job_is_closed_within_seconds(service: Service, token: str, photo: Path) -> None:
    job = service.run(token, "resize_image", photo, {"width": 310})
    records = service.store.as_service()

    def closed() -> bool:
        return [run["open"] for run in records.list_items("media_job_runs", {"job_id": job["jobId"]})] == [False]

    await_true(closed, 20, lambda: f"open still:\n{service.log()[-3000:]}")


def test_a_creator_can_read_his_output_and_nobody_elses(service: Service, token: str, photo: Path) -> None:
    from geniequeue.errors import RecordForbidden

    job = service.run(token, "resize_image", photo, {"width": 200})
    file_id = job["outputs"][0]["file_id"]
    assert service.store.as_user(token).get_file(file_id).filesize == job["outputs"][0]["size_bytes"]
    with pytest.raises(RecordForbidden):
        service.store.as_user(service.token("stranger")).get_file(file_id)


def test_the_source_has_gps_and_no_output_has(service: Service, token: str, photo: Path) -> None:
    assert any("GPS" in name for name in metadata_of(photo))
    for operation, params in (("strip_metadata", {}), ("resize_image", {"width": 500})):
        job = service.run(token, operation, photo, params)
        left = {name for name in metadata_of(output_path(job)) if not name.startswith(("ICC", "JFIF", "Composite"))}
        assert left == set()


def test_a_strip_leaves_the_pixels_bit_identical(service: Service, token: str, photo: Path) -> None:
    job = service.run(token, "strip_metadata", photo, {})
    before = pyvips.Image.new_from_file(str(photo))
    after = pyvips.Image.new_from_file(str(output_path(job)))
    assert (before - after).abs().max() == 0


def test_a_corrupt_file_fails_with_a_sentence_and_fails_again_when_retried(
    service: Service, token: str, photo: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo.read_bytes()[:200_000])
    job = service.run(token, "convert_image", broken, {"format": "webp"})
    assert (job["state"], job["error"]) == ("failed", "input")
    assert job["message"].endswith(".")
    assert "/" not in job["message"]
    answer = service.request("POST", f"/api/queue/retry/{job['jobId']}", token)
    assert answer.status == 200
    assert answer.body["bullJobId"] != job["bullJobId"]
    again = service.await_final(token, job["jobId"])
    assert (again["state"], again["error"], again["retry_count"]) == ("failed", "input", 1)


def test_submit_prints_one_json_object_and_copies_the_output(service: Service, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.webp"
    done = service.cli("submit", "convert_image", str(photo), "--param", "format=webp", "--wait", "--json",
                       "--output", str(target))  # fmt: skip
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert {"jobId", "bullJobId", "input_file_id", "state", "progress", "outputs", "error", "message"} <= set(job)
    assert job["outputs"][0]["path"] == str(target)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == job["outputs"][0]["sha256"]


def test_submit_of_a_broken_file_exits_with_1(service: Service, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jpg"
    empty.write_bytes(b"")
    done = service.cli("submit", "convert_image", str(empty), "--param", "format=webp", "--wait", "--json")
    assert done.returncode == 1, done.stderr
    assert last_json(done.stdout)["error"] == "input"


def test_item_only_stops_before_the_post(service: Service, token: str, photo: Path) -> None:
    done = service.cli("submit", "resize_image", str(photo), "--param", "width=100", "--item-only")
    job_id = done.stdout.strip()
    item = service.store.as_service().get_item("media_jobs", job_id)
    assert (item["status"], item["bull_job_id"]) == ("queued", None)


def test_every_log_line_of_a_job_carries_its_ids_from_request_to_end(service: Service, token: str, photo: Path) -> None:
    job_id = service.create(token, "resize_image", photo, {"width": 64})
    answer = service.enqueue(token, job_id, "resize_image")
    request_id = answer.headers["X-Request-ID"]
    service.await_final(token, job_id)
    lines = [json.loads(line) for line in service.log().splitlines() if line.startswith("{") and request_id in line]
    events = [line["event"] for line in lines]
    assert {"job accepted", "attempt started", "attempt ended"} <= set(events)
    worker = [line for line in lines if line["process"] == "media" and "attempt" in line]
    assert worker
    assert {(line["job_id"], line["operation"], line["attempt"]) for line in worker} == {(job_id, "resize_image", 1)}
