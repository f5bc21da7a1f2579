"""A worker stands still in the middle of a write until another one has ended its job; then the write goes out."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.test_points import SLOW, Points, check
from tests.chaos.test_workers import attempts_of
from tests.service import BIN, REPOSITORY, Service, await_true, make_service


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Points:
    return Points(tmp_path_factory.mktemp("points"))


@pytest.fixture(scope="module")
def service(points: Points, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An instance with two workers for media, in which faults can strike."""
    root = tmp_path_factory.mktemp("late")
    running = make_service(root / "var", FAULTS_DIR=str(points.folder))
    running.start()
    environ = Path(f"/proc/{running.worker_pids('media-jobs')[0]}/environ").read_text().strip("\0").split("\0")
    settings = dict(setting.split("=", 1) for setting in environ) | {"MEDIA_TMP_DIR": str(root / "second-tmp")}
    command = [str(BIN / "celery"), "-A", "tasks", "worker", "-Q", "media-jobs", "-c", "1", "-n", "second@%h"]
    with (root / "second.log").open("wb") as log:
        second = subprocess.Popen(command, cwd=REPOSITORY, env=settings, stdout=log, stderr=log)
    text = (root / "second.log").read_text
    await_true(lambda: " ready" in text(), 180, text)
    yield running
    second.terminate()
    second.wait(60)
    running.stop()


@pytest.fixture(scope="module")
def token(service: Service) -> str:
    return service.token("creator")


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("point", "times", "closed"),
    [
        pytest.param("records.update_item.media_jobs", 1, True, id="processing"),
        pytest.param("records.upload", 1, False, id="output"),
        pytest.param("records.upload", 1, True, id="output, closed"),
        pytest.param("records.create_item.media_job_results", 1, True, id="result"),
        pytest.param("records.update_item.media_jobs", 2, True, id="end"),
    ],
)
def test_f2_a_worker_that_wakes_up_in_a_write_when_its_job_has_ended_changes_nothing(
    service: Service, token: str, photo: Path, points: Points, point: str, times: int, *, closed: bool
) -> None:
    points.arm(point, "asleep", times=times)
    job_id = service.create(token, "convert_image", photo, SLOW)
    assert service.enqueue(token, job_id, "convert_image").status == 200
    await_true(lambda: points.struck(point), 90, lambda: f"{point} not reached:\n{service.log()[-3000:]}")
    child = [pid for pid, reached in points.lines() if reached == point][-1]
    main = _parent(child)
    await_true(lambda: _state(child) == _state(main) == "T", 30, lambda: "they do not stand still")
    try:
        job = service.await_final(token, job_id, within_s=180)
        if closed:
            await_true(lambda: not _is_open(service, job_id), 60, lambda: service.log()[-3000:])
    finally:
        since = len(points.lines())
        for pid in (main, child):
            os.kill(pid, signal.SIGCONT)
    await_true(
        lambda: (main, "broker.ack") in points.lines()[since:], 120, lambda: f"not over:\n{service.log()[-4000:]}"
    )
    check(service, job)
    assert attempts_of(service, job_id) == 2
    now = service.request("GET", f"/api/queue/jobs/{job_id}", token).body
    item = service.store.as_service().get_item("media_jobs", job_id)
    assert (now["state"], item["status"], item["progress"]) == ("completed", "completed", 100)


def _is_open(service: Service, job_id: str) -> bool:
    return bool(service.store.as_service().count_items("media_job_runs", {"job_id": job_id, "open": True}))


def _parent(pid: int) -> int:
    return int(_fields(pid)[1])


def _state(pid: int) -> str:
    return _fields(pid)[0]


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
