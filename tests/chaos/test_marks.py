"""F4 with a mark: a worker dies while it issues a copy; one copy is on record, and it is the one that was released."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.test_points import Points, none_left, points  # noqa: F401 - fixtures
from tests.chaos.test_workers import attempts_of
from tests.core.leaks import small_sample
from tests.service import Service, await_true, make_service, output_path

OPERATION = "apply_steganographic_watermark"
STEPS = (
    "records.upload",  # of the asset's plane
    "records.create_item.watermark_assets",
    "records.create_item.watermark_issues",
    "records.create_item.media_job_outputs",
    "records.create_item.media_job_results",
)
"""What is the last thing that a process does not do; before the issue the next attempt draws an id of its own."""
ISSUED = STEPS[3:]


@pytest.fixture(scope="module")
def service(points: Points, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:  # noqa: F811
    """An instance in which faults can strike."""
    running = make_service(tmp_path_factory.mktemp("marks") / "var", FAULTS_DIR=str(points.folder))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def token(service: Service) -> str:
    return service.token("creator")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_sample(tmp_path_factory.mktemp("photo") / "photo.jpg", 640)


def test_f4_a_worker_killed_behind_its_issue_releases_the_copy_that_is_on_record(
    service: Service,
    token: str,
    small: Path,
    points: Points,  # noqa: F811
) -> None:
    _check(service, token, small, points, "records.create_item.media_job_outputs")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_f4_a_worker_killed_anywhere_issues_one_copy_and_releases_that_one(
    service: Service,
    token: str,
    small: Path,
    points: Points,  # noqa: F811
) -> None:
    for step in STEPS:
        _check(service, token, small, points, step)


def _check(service: Service, token: str, small: Path, points: Points, step: str) -> None:  # noqa: F811
    job, issued = _marked_with_fault(service, token, small, points, step)
    assert job["state"] == "completed", job
    assert attempts_of(service, job["jobId"]) == 2
    [row] = _rows(service, job["jobId"])
    if step in ISSUED:
        assert [each["trace_id"] for each in issued] == [row["trace_id"]]
    else:
        assert issued == []
    assert row["output_file_id"] == job["outputs"][0]["file_id"]
    assert [output["role"] for output in job["outputs"]] == ["output"]
    assert _traced(service, token, job) == [f"fan of {step}"]


def _marked_with_fault(
    service: Service,
    token: str,
    small: Path,
    points: Points,  # noqa: F811
    step: str,
) -> tuple[Any, list[dict[str, Any]]]:
    """Mark a copy while a fault strikes; return how that ended, and the rows that the first attempt had written."""
    job_id = service.create(token, OPERATION, small, {"fan_id": f"fan of {step}"})
    points.arm(step, "self")
    assert service.enqueue(token, job_id, OPERATION).status == 200
    await_true(lambda: points.struck(step), 120, lambda: f"{step} not reached:\n{service.log()[-3000:]}")
    issued = _rows(service, job_id)
    return service.await_final(token, job_id, within_s=180), issued


def _rows(service: Service, job_id: str) -> list[dict[str, Any]]:
    return service.store.as_service().list_items("watermark_issues", {"job_id": job_id})


def _traced(service: Service, token: str, job: Any) -> list[str]:
    """Return whose copy the released file is."""
    body = {"file_id": service.upload(token, output_path(job)), "asset_file_id": job["input_file_id"]}
    answer = service.request("POST", "/api/queue/trace", token, json=body)
    found = service.await_final(token, answer.body["jobId"], within_s=180)
    return [each["fan_id"] for each in found["trace"]["candidates"]]
