"""A process is killed before each side effect of an attempt, and of an acceptance; the invariants hold whatever is cut.

The points are named in `geniequeue/faults.py` and listed here; a test holds the list against what one run reaches.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.test_workers import attempts_of, main_and_child, redis_of, standing_still, start_slow_job
from tests.service import Service, await_true, make_service

ATTEMPT = (
    "redis.lease",
    "records.update_item.media_jobs",  # processing; the second time the end
    "redis.progress",
    "sandbox.run",
    "records.create_item.media_job_outputs",
    "records.upload",
    "records.create_item.media_job_results",
    "redis.end",
    "redis.finish",
)
"""What an attempt does in its pool child, in the order of the first time."""
STEPS = (*((point, 1) for point in ATTEMPT), ("records.update_item.media_jobs", 2))
"""Which of them, and which time, is the last thing that a process does not do."""
MAIN = ("broker.ack", "redis.renew")
"""What the worker's main process does for it."""
CLOSING = "records.update_items.media_job_runs"
"""What some worker's main process does for all that ended lately."""
CLOSING_IN_VAIN = ("records.delete_file", "records.delete_item.media_job_outputs", CLOSING)
"""What it does for a job of which an attempt has announced an output in vain."""
ACCEPTANCE = (
    "redis.number",
    "redis.take",
    "records.create_item.media_job_runs",
    "records.update_item.media_jobs",
    "redis.accept",
)
"""What the API does to accept a job."""
SLOW = {"format": "webp", "quality": 90}
FEATURE = "media_modifications"


class Points:
    """Where a fault is to strike, and what was reached."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lines(self) -> list[tuple[int, str]]:
        """Return process and point, in the order in which they were reached."""
        lines = [line.split() for line in (self.folder / "trace").read_text().splitlines()]
        return [(int(pid), point) for pid, _, point in lines]

    def processes(self) -> set[int]:
        return {pid for pid, _ in self.lines()}

    def count(self, point: str) -> int:
        return [told for _, told in self.lines()].count(point)

    def arm(self, point: str, victim: str, role: str = "worker", times: int = 1) -> None:
        """Let a process die when it, or another one of its role, reaches a point for the n-th time from now."""
        (self.folder / f"{role} {point}").write_text(f"{victim} {times}")

    def struck(self, point: str, role: str = "worker") -> bool:
        return not (self.folder / f"{role} {point}").exists()

    def reached(self, pid: int) -> list[str]:
        """Return the points that a process has reached, each once."""
        return list(dict.fromkeys(point for told, point in self.lines() if told == pid))


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Points:
    return Points(tmp_path_factory.mktemp("points"))


@pytest.fixture(scope="module")
def service(points: Points, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An instance in which faults can strike."""
    running = make_service(tmp_path_factory.mktemp("faults") / "var", FAULTS_DIR=str(points.folder))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def token(service: Service) -> str:
    return service.token("creator")


@pytest.fixture(autouse=True)
def none_left(points: Points) -> Iterator[None]:
    """A fault that did not strike must not strike in another test."""
    yield
    for fault in points.folder.iterdir():
        if fault.name != "trace":
            fault.unlink()


def test_the_lists_of_points_are_what_one_run_reaches(
    service: Service, token: str, photo: Path, points: Points
) -> None:
    main, child = main_and_child(service)
    job = service.run(token, "convert_image", photo, SLOW)
    assert job["state"] == "completed"
    await_true(lambda: set(MAIN) <= set(points.reached(main)), 30, lambda: str(points.reached(main)))
    assert set(points.reached(child)) == set(ATTEMPT)
    reached = lambda: {point for pid in points.processes() - {main, child} for point in points.reached(pid)}  # noqa: E731
    assert set(ACCEPTANCE) <= reached()
    await_true(lambda: CLOSING in reached() | set(points.reached(main)), 30, lambda: str(reached()))


@pytest.mark.parametrize("steps", [STEPS[::4], pytest.param(STEPS, marks=pytest.mark.long)], ids=["some", "all"])
def test_f50_a_child_that_dies_before_any_of_its_steps_costs_nothing(
    service: Service, token: str, photo: Path, points: Points, steps: Sequence[tuple[str, int]]
) -> None:
    _check_all(service, [_run_with_fault(service, token, photo, points, *step, "self") for step in steps])


@pytest.mark.long
@pytest.mark.timeout(600)
def test_f50_a_worker_that_dies_before_any_step_of_its_child_costs_nothing(
    service: Service, token: str, photo: Path, points: Points
) -> None:
    _check_all(service, [_run_with_fault(service, token, photo, points, *step, "parent") for step in STEPS])


def test_f5_a_worker_that_dies_before_it_acknowledges_costs_nothing(
    service: Service, token: str, photo: Path, points: Points
) -> None:
    job = _run_with_fault(service, token, photo, points, "broker.ack", 1, "self")
    service.wait_ready()
    check(service, job)
    assert attempts_of(service, job["jobId"]) == 1


def test_f4_an_output_that_was_stored_is_not_made_again(
    service: Service, token: str, photo: Path, points: Points
) -> None:
    log_begin, encodes = len(service.log()), points.count("sandbox.run")
    job = _run_with_fault(service, token, photo, points, "records.create_item.media_job_results", 1, "self")
    check(service, job)
    assert attempts_of(service, job["jobId"]) == 2
    assert "outputs of an earlier attempt adopted" in service.log()[log_begin:]
    assert points.count("sandbox.run") == encodes + 1
    assert (job["input"]["format_in"], job["attempts"]) == ("jpeg", 2)


@pytest.mark.long
def test_f50_requests_that_die_before_any_of_their_steps_lose_no_job(
    service: Service, token: str, photo: Path, points: Points
) -> None:
    """The web app hears nothing, and does not ask again; what was begun is finished by the workers alone."""
    jobs = {}
    for point in ACCEPTANCE:
        points.arm(point, "self", "api")
        jobs[point] = service.create(token, "resize_image", photo, {"width": 50})
        await_true(lambda: _dies(service, token, jobs[point], points, point), 30, lambda: f"{point} not reached")  # noqa: B023
        service.wait_ready()
    for point, job_id in jobs.items():
        if ACCEPTANCE.index(point) <= ACCEPTANCE.index("records.create_item.media_job_runs"):
            # nothing was accepted, so the same request again is the first one
            assert service.enqueue(token, job_id, "resize_image").status == 200
        check(service, service.await_final(token, job_id, within_s=120))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_f50_deaths_on_the_way_to_a_second_attempt_and_in_it_cost_nothing(
    service: Service, token: str, photo: Path, points: Points
) -> None:
    """A child dies before its upload; then its worker before it puts the job back, or the next child at its start."""
    for point in ("redis.putback", "records.update_item.media_job_runs"):
        points.arm(point, "self")
        job = _run_with_fault(service, token, photo, points, "records.upload", 1, "self")
        assert points.struck(point), point
        service.wait_ready()
        check(service, job)
        assert attempts_of(service, job["jobId"]) >= 2


@pytest.mark.long
@pytest.mark.timeout(600)
def test_f50_deaths_where_a_job_is_put_off_and_where_it_is_sent_again_cost_nothing(
    service: Service, token: str, photo: Path, points: Points
) -> None:
    """Its folder vanishes under it, which is a transient failure; then its child dies, or who leads the sweepers."""
    for point in ("redis.delay", "redis.resend"):
        job_id = start_slow_job(service, token, photo)
        with standing_still(service):
            points.arm(point, "self")
            [folder] = (service.folder / "media-tmp").glob("job-*")
            shutil.rmtree(folder)
        await_true(lambda: points.struck(point), 120, lambda: f"{point} not reached:\n{service.log()[-3000:]}")  # noqa: B023
        job = service.await_final(token, job_id, within_s=180)
        service.wait_ready()
        check(service, job)
        assert attempts_of(service, job_id) == 2


@pytest.mark.long
@pytest.mark.timeout(600)
def test_f50_deaths_of_whoever_closes_a_job_leave_nothing_behind(
    service: Service, token: str, photo: Path, points: Points
) -> None:
    for point in CLOSING_IN_VAIN:
        points.arm(point, "self")
    job = _run_with_fault(service, token, photo, points, "records.upload", 1, "self")
    for point in CLOSING_IN_VAIN:
        await_true(lambda: points.struck(point), 180, lambda: f"{point} not reached:\n{service.log()[-3000:]}")  # noqa: B023
    service.wait_ready()
    check(service, job)


def _dies(service: Service, token: str, job_id: str, points: Points, point: str) -> bool:
    """Send a job, of which nothing is heard; tell whether it has died at the point, and not for want of a process."""
    with pytest.raises(OSError):
        service.enqueue(token, job_id, "resize_image")
    return points.struck(point, "api")


def _run_with_fault(
    service: Service, token: str, photo: Path, points: Points, point: str, times: int, victim: str
) -> dict[str, Any]:
    """Run a job while a fault strikes; return how it ended."""
    points.arm(point, victim, times=times)
    job_id = service.create(token, "convert_image", photo, SLOW)
    assert service.enqueue(token, job_id, "convert_image").status == 200
    await_true(lambda: points.struck(point), 60, lambda: f"{point} not reached:\n{service.log()[-3000:]}")
    job: dict[str, Any] = service.await_final(token, job_id)
    return job


def _check_all(service: Service, jobs: list[dict[str, Any]]) -> None:
    service.wait_ready()
    for job in jobs:
        check(service, job)


def check(service: Service, job: dict[str, Any]) -> None:
    """Check the invariants of a job that was to complete."""
    records, job_id = service.store.as_service(), job["jobId"]
    assert job["state"] == "completed", job
    runs = records.list_items("media_job_runs", {"job_id": job_id})
    assert len(runs) == 1
    closed = lambda: not records.get_item("media_job_runs", runs[0]["id"])["open"]  # noqa: E731
    await_true(closed, 60, lambda: f"not closed:\n{service.log()[-3000:]}")
    # one output set, and no file that no job owns
    named = [output["file_id"] for output in job["outputs"]]
    assert [row["file_id"] for row in records.list_items("media_job_outputs", {"job_id": job_id})] == named
    assert _stored_files(service) == _owned_files(service)
    result = records.get_item("media_job_results", runs[0]["id"])
    assert (result["outcome"], [each["file_id"] for each in result["result"]["outputs"]]) == ("completed", named)
    # attempts only grow, and the ledger agrees
    assert 1 <= result["attempt"] <= attempts_of(service, job_id)
    client, number = redis_of(service), job["bullJobId"].rsplit(":", 1)[1]
    assert client.zscore("bull:media-jobs:completed", number) is not None
    assert client.lpos("bull:media-jobs:active", number) is None
    assert client.zscore("bull:media-jobs:prioritized", number) is None
    # the quota counted once
    unit = runs[0]["spec"]["unit"]["id"]
    counted = lambda: [r["id"] for r in records.list_items("user_usage_counts", {"id": unit})] == [unit]  # noqa: E731
    await_true(counted, 30, lambda: f"not counted:\n{service.log()[-3000:]}")
    tmp = service.folder / "media-tmp"
    await_true(lambda: not list(tmp.glob("job-*")), 20, lambda: f"left: {list(tmp.iterdir())}")


def _stored_files(service: Service) -> set[str]:
    """Return the ids of all files that lie in the store."""
    return {path.name.split(".")[0] for path in (service.folder / "records" / "files").rglob("*") if path.is_file()}


def _owned_files(service: Service) -> set[str]:
    """Return the files that some job names as its input or its output."""
    records = service.store.as_service()
    inputs = {row["input_file_id"] for row in records.list_items("media_jobs", limit=-1)}
    return inputs | {row["file_id"] for row in records.list_items("media_job_outputs", limit=-1)}
