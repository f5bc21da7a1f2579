"""F21 to F29: what goes wrong between the running service and Directus, and what must not come of it.

Whatever happens: no job is lost, none is completed without its output, none has two results.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from geniequeue.jobs.keys import given_up
from geniequeue.jobs.notes import LATE_S
from geniequeue.records.directus import DirectusStore
from tests.accounts import Account
from tests.directus.conftest import DirectusService, await_end, entry_of, new_user_name, redis_of
from tests.directus_fixture import SERVICE_TOKEN
from tests.fault_proxy import Fault, http_answer
from tests.service import await_true

RUN, JOB, ASSET = "GET /items/media_job_runs/", "PATCH /items/media_jobs/", "GET /assets/"
OUTPUT, FILE, RESULT = "POST /items/media_job_outputs", "POST /files", "POST /items/media_job_results"

HTML = http_answer(200, b"<html>Welcome to nginx</html>")
TRUNCATED = http_answer(200, b'{"data": {"id": "', "Content-Length: 900")
OTHER_SHAPE = http_answer(200, b'{"data": {"id": 7}}')


def refusal(status: int, code: str, *headers: str) -> bytes:
    """Return a refusal as Directus words it."""
    return http_answer(
        status, json.dumps({"errors": [{"message": "no", "extensions": {"code": code}}]}).encode(), *headers
    )


@dataclass
class World:
    """The running service, its Directus behind the proxy, and somebody with a photograph."""

    service: DirectusService
    creator: Account
    photo: Path
    log_begin: int = field(init=False)

    def __post_init__(self) -> None:
        self.log_begin = len(self.service.log())

    @property
    def proxy(self) -> Any:
        return self.service.proxy

    def item(self, width: int = 80) -> str:
        """Create a job's item, without the proxy."""
        return self.service.create(self.creator.token, "resize_image", self.photo, {"width": width})

    def post(self, job_id: str) -> Any:
        """Send the job."""
        return self.service.enqueue(self.creator.token, job_id, "resize_image")

    @contextmanager
    def accepted(self) -> Iterator[str]:
        """Accept a job that runs when the block is over, so that the block can arm what goes wrong then."""
        job_id = self.item()
        self.service.hold_workers()
        try:
            answer = self.post(job_id)
            assert answer.status == 200, answer.body
            self.proxy.behave()
            yield job_id
        finally:
            self.service.hold_workers(hold=False)

    def completed(self, job_id: str) -> dict[str, Any]:
        """Wait for the end and check that the job is completed once, with an output that is whole."""
        item = await_end(self.service, job_id)
        assert item["status"] == "completed", (item, self.service.log()[-3000:])
        (output,) = item["result"]["outputs"]
        assert self.rows("media_job_outputs", job_id=job_id) == [output["file_id"]]
        assert self.files() == {
            output["file_id"]: output["size_bytes"],
            item["input_file_id"]: self.photo.stat().st_size,
        }
        assert len(self.rows("media_job_results", id=self.rows("media_job_runs", job_id=job_id)[0])) == 1
        return item

    def failed(self, job_id: str) -> dict[str, Any]:
        """Wait for the end and check that the job has failed because of the record store and left nothing."""
        item = await_end(self.service, job_id)
        assert (item["status"], item["error_code"]) == ("failed", "upstream"), item
        self.nothing_left(item)
        return item

    def nothing_left(self, item: Mapping[str, Any]) -> None:
        """Check that a job leaves no output, no half of one, and no word of one."""
        outputs = lambda: self.rows("media_job_outputs", job_id=item["id"])  # noqa: E731
        await_true(lambda: not outputs(), 10, lambda: f"left: {outputs()}")
        assert list(self.files()) == [item["input_file_id"]]

    def logged(self, text: str) -> int:
        """Return how often a text was logged since the test began."""
        return self.service.log()[self.log_begin :].count(text)

    def rows(self, collection: str, **where: str) -> list[str]:
        """Return the ids of items."""
        records = self.service.store.as_service()
        return [row["id"] for row in records.list_items(collection, where, fields=("id",))]

    def files(self) -> dict[str, int]:
        """Return the sizes on disk of what Directus stores, half files included; as many as it has records."""
        sizes = {path.stem: path.stat().st_size for path in self.service.place.server.uploads.iterdir()}
        count = self.service.place.server.sql("SELECT count(*) FROM directus_files").strip()
        assert count == str(len(sizes))
        return sizes

    def item_of(self, job_id: str) -> dict[str, Any]:
        """Return the job's item."""
        return self.service.store.as_service().get_item("media_jobs", job_id)

    def entry(self, job_id: str) -> Any:
        """Return the job in the ledger."""
        return entry_of(self.service, self.item_of(job_id))

    def times(self, *calls: str) -> list[float]:
        """Return when calls that begin so have come."""
        return [at for line, at in zip(self.proxy.requests, self.proxy.times, strict=True) if line.startswith(calls)]


@dataclass
class Rotation:
    """A new token of the service account, which an operator sets in Directus and then writes into the file."""

    service: DirectusService
    account: str
    old: str = SERVICE_TOKEN
    new: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def path(self) -> Path:
        return Path(self.service.environ["DIRECTUS_TOKEN_FILE"])

    def change_in_directus(self) -> None:
        """Set the new token: the old one is refused at once."""
        self.service.place.request("PATCH", f"/users/{self.account}", {"token": self.new})
        self.service.place.store = DirectusStore(self.service.place.server.url, self.new)

    def write_file(self) -> None:
        """Tell the service."""
        self.path.write_text(self.new + "\n")

    def undo(self) -> None:
        """Go back to the token that other tests know."""
        self.service.place.request("PATCH", f"/users/{self.account}", {"token": self.old})
        self.service.place.store = DirectusStore(self.service.place.server.url, self.old)
        self.path.write_text(self.old)


@pytest.fixture
def rotation(watched: DirectusService) -> Iterator[Rotation]:
    rotation = Rotation(watched, watched.place.store.as_service().me().id)
    yield rotation
    rotation.undo()


@pytest.fixture
def world(watched: DirectusService, photo: Path) -> World:
    watched.place.empty()
    return World(watched, watched.account(new_user_name()), photo)


def away(status: int) -> bytes:
    """Return what a proxy before Directus says when that is not there."""
    return http_answer(status, b"<html>Bad Gateway</html>")


def test_f21_a_status_that_cannot_be_written_is_kept_until_it_can_be(world: World) -> None:
    with world.accepted() as job_id:
        world.proxy.arm(*[Fault(RESULT, answer=away(500))] * 4)
        world.proxy.arm(*[Fault(JOB, answer=answer) for answer in (HTML, away(502), away(503))])
    item = world.completed(job_id)
    assert item["result"]["attempts"] == 1
    assert not world.proxy.faults


def test_f22_an_answer_that_comes_too_late_or_drips_holds_nobody_up(world: World) -> None:
    drip = http_answer(200, b'{"data": ' + b" " * 10_000 + b"1}")
    with world.accepted() as job_id:
        world.proxy.arm(Fault(OUTPUT, answer=drip, drip_s=0.005), Fault(RESULT, delay_s=30.0))
    world.completed(job_id)
    times = world.proxy.times
    for call, began, next_began in zip(world.proxy.requests, times, times[1:], strict=False):
        assert next_began - began < 3.0 + 4.0, call


def test_f23_a_job_waits_while_the_services_token_is_refused_and_runs_with_the_new_one(
    world: World, rotation: Rotation
) -> None:
    with world.accepted() as job_id:
        world.proxy.arm(Fault(RUN, delay_s=1.0))
    await_true(lambda: world.proxy.seen(RUN), 30, world.service.log)
    rotation.change_in_directus()

    await_true(lambda: world.entry(job_id).state == "delayed", 30, world.service.log)
    assert world.entry(job_id).tries == 0
    await_true(lambda: world.logged("the record store refuses the service"), 10, world.service.log)
    assert world.logged("the record store refuses the service") == 1
    assert world.service.request("GET", "/readyz").status == 503
    rotation.write_file()

    assert world.completed(job_id)["result"]["attempts"] == 1
    world.service.wait_ready()
    assert rotation.old not in world.service.log() and rotation.new not in world.service.log()


def test_f23_finished_work_is_kept_while_a_new_token_is_written(world: World, rotation: Rotation) -> None:
    with world.accepted() as job_id:
        world.proxy.arm(Fault(FILE, delay_s=1.0))
    await_true(lambda: world.proxy.seen(FILE), 30, world.service.log)
    rotation.change_in_directus()
    await_true(lambda: world.proxy.seen(RESULT), 30, world.service.log)
    rotation.write_file()
    assert world.completed(job_id)["result"]["attempts"] == 1
    assert world.proxy.requests.count(f"{ASSET}{world.item_of(job_id)['input_file_id']}") == 1


FORBIDDEN = refusal(403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("calls", "named"),
    [
        ([OUTPUT], "create in media_job_outputs"),
        ([FILE], "create in directus_files"),
        ([ASSET, "GET /files"], "read in directus_files"),
    ],
)
def test_f24_a_right_that_is_missing_is_named_and_not_tried_again(world: World, calls: list[str], named: str) -> None:
    with world.accepted() as job_id:
        world.proxy.lasting += [Fault(call, answer=FORBIDDEN) for call in calls]
    item = world.failed(job_id)
    assert named in item["error_message"]
    assert item["result"]["reason"] == "records_refused"
    assert world.entry(job_id).tries == 1


@pytest.mark.parametrize("call", ["GET /items/media_jobs", "POST /items/media_job_runs"])
def test_f24_a_right_that_is_missing_at_the_door_is_no_missing_job(world: World, call: str) -> None:
    job_id = world.item()
    world.proxy.lasting.append(Fault(call, answer=FORBIDDEN))
    answer = world.post(job_id)
    assert (answer.status, answer.body["error"]) == (503, "records_unavailable")
    await_true(lambda: world.logged("right to "), 10, world.service.log)
    world.proxy.lasting.clear()
    assert world.post(job_id).status == 200
    world.completed(job_id)


def test_f24_a_job_whose_item_may_not_be_written_waits_and_its_end_is_told_when_it_may(world: World) -> None:
    with world.accepted() as job_id:
        world.proxy.lasting.append(Fault(JOB, answer=FORBIDDEN))
    await_true(lambda: world.entry(job_id).state == "delayed", 30, world.service.log)
    assert world.item_of(job_id)["status"] == "queued"
    world.proxy.lasting.clear()
    assert "update an item of media_jobs" in world.failed(job_id)["error_message"]


def test_f25_a_pause_that_directus_asks_for_is_kept_by_the_whole_process(world: World) -> None:
    with world.accepted() as job_id:
        world.proxy.arm(Fault(JOB, answer=refusal(429, "REQUESTS_EXCEEDED", "Retry-After: 2")))
    world.completed(job_id)
    refused_at = world.times(JOB)[0]
    assert min(at for at in world.times(RUN, JOB, ASSET) if at > refused_at) - refused_at > 1.9


def test_f26_wrong_answers_all_the_way_do_no_harm(world: World) -> None:
    with world.accepted() as job_id:
        world.proxy.arm(Fault(RUN, answer=HTML), Fault(JOB, answer=TRUNCATED), Fault(ASSET, answer=HTML))
        world.proxy.arm(Fault(OUTPUT, answer=OTHER_SHAPE), Fault(RESULT, answer=OTHER_SHAPE), Fault(JOB, answer=HTML))
    assert world.completed(job_id)["result"]["attempts"] == 1
    assert not world.proxy.faults


def test_f26_a_directus_that_never_answers_right_is_named_after_all_tries(world: World) -> None:
    with world.accepted() as job_id:
        world.proxy.lasting.append(Fault(ASSET, answer=HTML))
    item = world.failed(job_id)
    assert "record store" in item["error_message"]
    assert "read directus_files" in item["error_message"]
    assert world.entry(job_id).tries == 3


@pytest.mark.parametrize("fault", ["cut", "longer", "shorter", "gzip"])
def test_f27_an_input_that_does_not_come_as_it_is_is_fetched_again(world: World, fault: str) -> None:
    content = world.photo.read_bytes()
    half = content[: len(content) // 2]
    faults = {
        "cut": Fault(ASSET, cut_answer_after=len(half)),
        "longer": Fault(ASSET, answer=http_answer(200, half, f"Content-Length: {len(content)}")),
        "shorter": Fault(ASSET, answer=http_answer(200, half)),
        "gzip": Fault(ASSET, answer=http_answer(200, gzip.compress(b"0" * 50_000_000), "Content-Encoding: gzip")),
    }
    with world.accepted() as job_id:
        world.proxy.arm(faults[fault])
    assert world.completed(job_id)["result"]["attempts"] == 1
    assert len(world.times(ASSET)) == 2


def test_f28_an_upload_that_is_cut_leaves_no_half_file_and_no_second_one(world: World) -> None:
    with world.accepted() as job_id:
        world.proxy.arm(Fault(FILE, cut_request_after=2_000))
    assert world.completed(job_id)["result"]["attempts"] == 1


@pytest.mark.parametrize("status", [408, 413])
def test_f29_an_output_that_directus_does_not_take_is_not_offered_again(world: World, status: int) -> None:
    with world.accepted() as job_id:
        world.proxy.lasting.append(Fault(FILE, answer=refusal(status, "CONTENT_TOO_LARGE")))
    assert world.failed(job_id)["result"]["reason"] == "upstream_limit"
    assert (world.entry(job_id).tries, len(world.times(FILE))) == (1, 1)


def test_answers_lost_after_directus_did_what_was_asked_make_nothing_twice(world: World) -> None:
    with world.accepted() as job_id:
        world.proxy.arm(*[Fault(call, cut_answer_after=0) for call in (JOB, OUTPUT, FILE, RESULT, JOB)])
    assert world.completed(job_id)["result"]["attempts"] == 1
    assert not world.proxy.faults
    assert len(world.times(FILE)) == 1


def test_a_result_is_kept_while_directus_is_away_and_written_when_it_is_back(world: World) -> None:
    with world.accepted() as job_id:
        world.proxy.arm(Fault(FILE, cut_request_after=2_000, then_away=True))
    await_true(lambda: world.logged("waiting for the store"), 30, world.service.log)
    assert world.entry(job_id).state == "active"
    world.proxy.come_back()
    assert world.completed(job_id)["result"]["attempts"] == 1
    assert len(world.times(ASSET)) == 1


def test_a_job_is_cancelled_while_its_result_waits_for_directus(world: World) -> None:
    with world.accepted() as job_id:
        world.proxy.lasting.append(Fault(RESULT, answer=away(503)))
    await_true(lambda: len(world.times(RESULT)) > 4, 30, world.service.log)
    answer = world.service.request("POST", f"/api/queue/jobs/{job_id}/cancel", world.creator.token)
    assert (answer.status, answer.body["state"]) == (200, "cancelling")
    # by itself, or with its pool child, which is killed where it hears of the cancel too late
    heeded = lambda: world.logged("stopped while its end") or world.logged("killing the pool child")  # noqa: E731
    await_true(heeded, 30, world.service.log)
    world.proxy.lasting.clear()
    item = await_end(world.service, job_id)
    assert item["status"] == "cancelled"
    world.nothing_left(item)


def test_a_worker_that_stops_while_an_end_waits_to_be_told_leaves_the_rest_to_the_next(world: World) -> None:
    with world.accepted() as job_id:
        world.proxy.arm(Fault(RESULT), *[Fault(JOB, answer=away(503))] * 100)
    await_true(lambda: len(world.times(JOB)) > 5, 30, world.service.log)
    os.kill(world.service.worker_pids("media-jobs")[0], signal.SIGTERM)
    await_true(lambda: world.entry(job_id).state == "delayed", 30, world.service.log)
    world.proxy.faults.clear()
    assert world.completed(job_id)["result"]["attempts"] == 1
    assert len(world.times(ASSET)) == 1
    world.service.wait_ready()


def test_nothing_is_half_accepted_while_directus_is_down(world: World) -> None:
    job_id = world.item()
    world.proxy.go_away()
    began = time.monotonic()
    answer = world.post(job_id)
    assert time.monotonic() - began < 5
    assert (answer.status, answer.body["error"]) == (503, "records_unavailable")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert world.rows("media_job_runs", job_id=job_id) == []
    assert world.item_of(job_id)["bull_job_id"] is None
    world.proxy.come_back()
    assert world.post(job_id).status == 200
    world.completed(job_id)


def test_what_an_outage_cut_off_half_accepted_is_finished_by_the_same_request(world: World) -> None:
    job_id = world.item()
    world.proxy.arm(Fault(JOB, cut_answer_after=0, then_away=True))
    began = time.monotonic()
    answer = world.post(job_id)
    assert time.monotonic() - began < 5
    assert (answer.status, answer.body["error"]) == (503, "records_unavailable")
    (run_id,) = world.rows("media_job_runs", job_id=job_id)
    world.proxy.come_back()
    again = world.post(job_id)
    assert (again.status, again.body["error"], again.headers["Retry-After"]) == (503, "being_accepted", str(LATE_S))
    redis_of(world.service).decrby(given_up(run_id), LATE_S)
    assert world.post(job_id).status == 200
    world.completed(job_id)
    assert world.rows("media_job_runs", job_id=job_id) == [run_id]


def test_a_directus_that_never_answers_a_request_is_told_within_five_seconds(world: World) -> None:
    job_id = world.item()
    world.proxy.lasting.append(Fault("GET /items/media_jobs/", delay_s=8.0))
    began = time.monotonic()
    answer = world.post(job_id)
    assert time.monotonic() - began < 5
    assert answer.status == 503
    assert "Retry-After" in answer.headers
