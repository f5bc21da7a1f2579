"""Accept, retry and cancel on the real embedded store and a real Redis; the worker's part is played by the ledger."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from geniequeue.errors import LedgerUnavailable, RecordsUnavailable, RequestRefused
from geniequeue.jobs.closing import close_ended
from geniequeue.jobs.finish import finish
from geniequeue.jobs.job import Lease, Run
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.jobs.notes import LATE_S
from geniequeue.jobs.outcome import Cancelled, Completed, Failed
from geniequeue.jobs.producer import Producer
from geniequeue.jobs.request import MediaRequest, TraceRequest
from geniequeue.principal import Principal
from geniequeue.records.embedded import EmbeddedStore
from tests.core.quota.parts import quota_of

OPERATION = "resize_image"


class World:
    """A store, a ledger and a producer, with two creators and an admin."""

    def __init__(self, root: Path, redis_url: str) -> None:
        client = connect(redis_url)
        client.flushdb()
        self.root = root
        self.store = EmbeddedStore(root, "s" * 40)
        self.ledger = Ledger(client, "bull")
        self.quota = quota_of(client, self.store.as_service())
        self.producer = Producer(self.store, self.ledger, self.quota, "bull")
        self.records = self.store.as_service()
        self.creator, self.stranger = self.principal("creator"), self.principal("stranger")
        self.admin = self.principal("admin", admin=True)

    def principal(self, name: str, *, admin: bool = False) -> Principal:
        user = self.store.ensure_user(name, "pro", admin)
        return Principal(user.id, admin, self.store.mint_token(user, 600), "pro")

    def item(self, owner: Principal | None = None, **fields: Any) -> str:
        records = self.store.as_user((owner or self.creator).token)
        source = self.root / "source.bin"
        source.write_bytes(b"content")
        file_id = str(uuid.uuid4())
        records.upload(source, file_id=file_id, filename="a.jpg", mime="image/jpeg")
        data = {"operation": OPERATION, "input_file_id": file_id, "params": {"width": 10}, **fields}
        return str(records.create_item("media_jobs", data)["id"])

    def accept(self, job_id: str, who: Principal | None = None, **members: Any) -> str:
        request = MediaRequest(job_id, members.pop("operation", OPERATION), request_id="r", **members)
        return self.producer.accept(request, who or self.creator).bull_job_id

    def run_of(self, job_id: str) -> Run:
        run = self.producer.runs.latest(job_id)
        assert run is not None
        return run

    def work(self, job_id: str, outcome: Completed | Failed | Cancelled) -> None:
        run = self.run_of(job_id)
        lease = self.ledger.lease(run, worker="w", lease_s=30)
        assert isinstance(lease, Lease)
        finish(self.records, self.ledger, run, lease.attempt, outcome)

    def closed(self, job_id: str) -> bool:
        """Tell whether the job's latest run is closed once the ended ones are."""
        close_ended(self.records, self.ledger)
        return not self.run_of(job_id).open


@pytest.fixture
def world(tmp_path: Path, redis_url: str) -> World:
    return World(tmp_path, redis_url)


def refused(call: Callable[[], object]) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        call()
    return caught.value


def test_an_accepted_job_is_queued_in_the_records_and_waiting_in_the_ledger(world: World) -> None:
    job_id = world.item()
    bull = world.accept(job_id)
    item = world.records.get_item("media_jobs", job_id)
    assert (item["status"], item["bull_job_id"]) == ("queued", bull)
    entry = world.ledger.entry("media-jobs", bull.rsplit(":", 1)[1])
    assert entry is not None
    assert (entry.state, entry.name, entry.job_id) == ("waiting", OPERATION, job_id)


def test_a_job_is_accepted_with_three_scripts(world: World) -> None:
    world.accept(world.item())
    job_id, client = world.item(), world.ledger.client
    client.config_resetstat()
    world.accept(job_id)
    # number, unit of the quota, ledger with message
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == 3


def test_what_runs_is_frozen_with_all_defaults_filled_in(world: World) -> None:
    job_id = world.item()
    world.accept(job_id, priority=3)
    spec = world.run_of(job_id).spec
    assert (spec.params["fit"], spec.params["quality"], spec.priority) == ("inside", 85, 3)
    assert spec.owner_id == world.creator.user_id


def test_the_request_wins_over_the_item(world: World) -> None:
    job_id = world.item(priority=20)
    world.accept(job_id, params={"height": 7})
    spec = world.run_of(job_id).spec
    assert spec.params["height"] == 7
    assert "width" not in spec.params
    assert spec.priority == 20


def test_another_operation_than_the_stored_one_is_a_mismatch(world: World) -> None:
    job_id = world.item()
    error = refused(lambda: world.accept(job_id, operation="strip_metadata", params={}))
    assert (error.status, error.code) == (409, "operation_mismatch")


def test_somebody_elses_job_looks_like_one_that_does_not_exist(world: World) -> None:
    job_id = world.item()
    for call in (
        lambda: world.accept(job_id, world.stranger),
        lambda: world.producer.retry(job_id, world.stranger, "r"),
        lambda: world.producer.cancel(job_id, world.stranger),
    ):
        assert refused(call).status == 404
    assert world.producer.runs.latest(job_id) is None


def test_an_admin_acts_for_the_owner(world: World) -> None:
    job_id = world.item()
    world.accept(job_id, world.admin)
    assert world.run_of(job_id).spec.owner_id == world.creator.user_id


def test_row_8_another_creators_file_is_not_found(world: World) -> None:
    theirs = world.records.get_item("media_jobs", world.item(world.stranger))["input_file_id"]
    error = refused(lambda: world.accept(world.item(), input_file_id=theirs))
    assert (error.status, error.code) == (404, "not_found")


def test_another_creators_profile_is_not_found(world: World) -> None:
    profile = world.records.create_item("creator_profiles", {"user_id": world.stranger.user_id, "platform": "x"})
    assert refused(lambda: world.accept(world.item(), creator_profile_id=profile["id"])).status == 404


def test_row_18_an_unknown_param_is_refused_by_name_and_nothing_is_written(world: World) -> None:
    job_id = world.item()
    error = refused(lambda: world.accept(job_id, params={"width": 1, "evil": 1}))
    assert error.status == 422
    assert "evil" in str(error.errors)
    assert world.producer.runs.latest(job_id) is None


def test_a_hundred_equal_requests_at_once_make_one_run_and_one_message(world: World) -> None:
    job_id = world.item()
    with ThreadPoolExecutor(32) as pool:
        answers = set(pool.map(lambda _: world.accept(job_id), range(100)))
    assert len(answers) == 1
    assert world.ledger.counts()["media-jobs"].waiting == 1
    assert world.records.count_items("media_job_runs", {"job_id": job_id}) == 1


def test_after_redis_forgot_everything_the_records_still_know_that_the_job_is_done(world: World) -> None:
    job_id = world.item()
    world.accept(job_id)
    world.work(job_id, Completed())
    connect_again = world.ledger
    connect_again._redis.flushdb()
    assert refused(lambda: world.accept(job_id)).code == "already_completed"


def test_a_run_whose_request_died_before_the_ledger_is_finished_by_the_next_one(world: World) -> None:
    job_id = world.item()
    bull = world.accept(job_id)
    run = world.run_of(job_id)
    world.ledger._redis.flushdb()
    world.records.update_item("media_job_runs", run.id, {"accepted_at": "2020-01-01T00:00:00.000Z"})
    assert world.accept(job_id) == bull
    assert world.ledger.counts()["media-jobs"].waiting == 1


def test_nothing_is_written_when_redis_is_away(world: World) -> None:
    job_id = world.item()
    nowhere = connect("redis://127.0.0.1:1/0")
    away = Producer(world.store, Ledger(nowhere, "bull"), quota_of(nowhere, world.records), "bull")
    with pytest.raises(LedgerUnavailable):
        away.accept(MediaRequest(job_id, OPERATION), world.creator)
    with pytest.raises(LedgerUnavailable):
        away.trace(TraceRequest(world.records.get_item("media_jobs", job_id)["input_file_id"]), world.creator)
    assert world.records.count_items("media_jobs", {"operation": "trace_leak"}) == 0
    assert world.producer.runs.latest(job_id) is None
    assert world.records.get_item("media_jobs", job_id)["bull_job_id"] is None


def test_a_failed_job_is_retried_as_a_new_round_at_priority_5_with_growing_attempts(world: World) -> None:
    job_id = world.item()
    first = world.accept(job_id)
    world.work(job_id, Failed("tool", "no"))
    again = world.producer.retry(job_id, world.creator, "r2").bull_job_id
    assert again != first
    run = world.run_of(job_id)
    assert (run.round, run.spec.priority, run.spec.attempts_before) == (2, 5, 1)
    item = world.records.get_item("media_jobs", job_id)
    assert (item["status"], item["retry_count"], item["error_code"]) == ("queued", 1, None)
    world.work(job_id, Completed())
    assert world.records.get_item("media_job_results", run.id)["attempt"] == 2


def test_row_10_only_a_failed_job_can_be_retried(world: World) -> None:
    job_id = world.item()
    assert refused(lambda: world.producer.retry(job_id, world.creator, "r")).reason == "queued"
    world.accept(job_id)
    assert refused(lambda: world.producer.retry(job_id, world.creator, "r")).status == 409
    world.work(job_id, Completed())
    assert refused(lambda: world.producer.retry(job_id, world.creator, "r")).reason == "completed"


def test_two_retries_at_once_make_one_round(world: World) -> None:
    job_id = world.item()
    world.accept(job_id)
    world.work(job_id, Failed("tool", "no"))

    def retry(_: int) -> str:
        try:
            return world.producer.retry(job_id, world.creator, "r").bull_job_id
        except RequestRefused as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(retry, range(16)))
    assert len(answers - {"not_failed"}) == 1
    assert world.run_of(job_id).round == 2
    world.work(job_id, Completed({"outputs": []}))
    assert world.records.get_item("media_jobs", job_id)["status"] == "completed"


def test_a_retry_that_comes_late_does_not_write_queued_over_the_end(world: World) -> None:
    job_id = world.item()
    world.accept(job_id)
    world.work(job_id, Failed("tool", "no"))
    spec = replace(world.run_of(job_id).spec, attempts_before=1)
    run, created = world.producer.runs.create(spec, 2)
    assert created
    world.producer.runs.push(run)
    world.work(job_id, Completed({"outputs": []}))
    world.producer.runs.enqueue(run)
    item = world.records.get_item("media_jobs", job_id)
    assert (item["status"], item["result"], item["progress"]) == ("completed", {"outputs": []}, 100)


def test_row_8_a_retry_does_not_read_another_creators_file(world: World) -> None:
    theirs = world.records.get_item("media_jobs", world.item(world.stranger))["input_file_id"]
    job_id = world.item()
    world.records.update_item("media_jobs", job_id, {"status": "error", "input_file_id": theirs})
    assert refused(lambda: world.producer.retry(job_id, world.creator, "r")).status == 404
    assert world.producer.runs.latest(job_id) is None


def test_an_end_that_a_crash_kept_from_being_told_is_told_by_the_next_request(world: World) -> None:
    job_id = world.item()
    world.accept(job_id)
    run = world.run_of(job_id)
    world.work(job_id, Completed({"outputs": []}))
    world.records.update_item("media_jobs", job_id, {"status": "processing", "result": None})
    world.records.update_item("media_job_runs", run.id, {"open": True})
    world.ledger._redis.flushdb()
    assert refused(lambda: world.accept(job_id)).code == "already_completed"
    assert world.records.get_item("media_jobs", job_id)["status"] == "completed"
    assert world.closed(job_id)


def test_a_run_that_is_taken_over_counts_on_from_the_attempts_on_record(world: World) -> None:
    job_id = world.item()
    world.accept(job_id)
    run = world.run_of(job_id)
    output = {"id": str(uuid.uuid4()), "job_id": job_id, "attempt": 3, "file_id": str(uuid.uuid4()), "role": "output"}
    world.records.create_item(
        "media_job_outputs", {**output, "mime": "image/webp", "size_bytes": 1, "sha256": "0" * 64}
    )
    world.ledger._redis.flushdb()
    world.records.update_item("media_job_runs", run.id, {"accepted_at": "2020-01-01T00:00:00.000Z"})
    world.accept(job_id)
    assert world.ledger.lease(run, worker="w", lease_s=30) == Lease(attempt=4, tries=1)


def test_an_item_that_is_deleted_while_its_job_runs_does_not_keep_the_job_from_ending(world: World) -> None:
    job_id = world.item()
    world.accept(job_id)
    run = world.run_of(job_id)
    lease = world.ledger.lease(run, worker="w", lease_s=30)
    assert isinstance(lease, Lease)
    world.records.delete_item("media_jobs", job_id)
    assert finish(world.records, world.ledger, run, lease.attempt, Failed("input", "gone")).won
    assert world.ledger.counts()["media-jobs"].active == 0
    assert world.closed(job_id)


@pytest.mark.parametrize("priority", [-3, 2_097_152])
def test_a_priority_of_the_item_that_no_worker_serves_is_refused(world: World, priority: int) -> None:
    error = refused(lambda: world.accept(world.item(priority=priority)))
    assert (error.status, error.errors) == (
        422,
        {"priority": [f"expected a whole number from 0 to 2097151, got {priority}"]},
    )


def test_a_job_that_ended_while_it_was_cancelled_is_not_called_cancelled(world: World) -> None:
    job_id = world.item()
    world.accept(job_id)
    run = world.run_of(job_id)
    world.work(job_id, Completed())
    world.records.update_item("media_job_runs", run.id, {"open": True})
    assert refused(lambda: world.producer.cancel(job_id, world.creator)).code == "already_final"
    assert world.records.get_item("media_jobs", job_id)["status"] == "completed"


@pytest.mark.parametrize("outcome", [Completed(), Failed("tool", "no"), Cancelled()])
def test_a_run_that_has_ended_and_is_not_closed_yet_cannot_be_cancelled(
    world: World, outcome: Completed | Failed | Cancelled
) -> None:
    job_id = world.item()
    world.accept(job_id)
    world.work(job_id, outcome)
    run, item = world.run_of(job_id), world.records.get_item("media_jobs", job_id)
    assert run.open
    assert refused(lambda: world.producer.cancel(job_id, world.creator)).code == "already_final"
    assert not world.ledger.cancel_asked(run)
    assert world.records.get_item("media_jobs", job_id) == item


def test_a_run_that_has_ended_and_is_not_closed_yet_is_retried_like_a_closed_one(world: World) -> None:
    job_id = world.item()
    world.accept(job_id)
    world.work(job_id, Failed("tool", "no"))
    first = world.run_of(job_id)
    assert refused(lambda: world.accept(job_id)).code == "use_retry"
    world.producer.retry(job_id, world.creator, "r")
    assert world.run_of(job_id).round == 2
    close_ended(world.records, world.ledger)
    runs = world.records.list_items("media_job_runs", {"job_id": job_id}, sort=("round",))
    assert [(run["id"] == first.id, run["open"]) for run in runs] == [(True, False), (False, True)]


def test_ended_runs_are_closed_many_at_a_time_and_one_whose_row_is_gone_holds_up_none(world: World) -> None:
    jobs = [world.item() for _ in range(3)]
    for job_id in jobs:
        world.accept(job_id)
        world.work(job_id, Completed())
    world.records.delete_item("media_job_runs", world.run_of(jobs[0]).id)
    assert close_ended(world.records, world.ledger) == 3
    assert not any(world.run_of(job_id).open for job_id in jobs[1:])
    assert close_ended(world.records, world.ledger) == 0


def test_a_crash_before_runs_are_closed_leaves_them_for_the_next_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = world.item()
    world.accept(job_id)
    world.work(job_id, Completed())
    with monkeypatch.context() as broken, pytest.raises(RecordsUnavailable):
        broken.setattr(type(world.records), "update_items", _away)
        close_ended(world.records, world.ledger)
    assert world.run_of(job_id).open
    assert world.closed(job_id)


def _away(*_: object, **__: object) -> None:
    raise RecordsUnavailable("no answer")


@pytest.mark.parametrize("call", ["create_item", "update_item"])
def test_an_acceptance_that_the_records_did_not_answer_is_finished_by_the_same_request_some_seconds_later(
    world: World, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    job_id = world.item()
    with monkeypatch.context() as broken:
        done = getattr(type(world.records), call)
        broken.setattr(type(world.records), call, lambda *given: (done(*given), _away()))
        with pytest.raises(RecordsUnavailable):
            world.accept(job_id)
    run = world.run_of(job_id)
    assert world.ledger.current(job_id) is None
    assert refused(lambda: world.accept(job_id)).code == "being_accepted"
    world.ledger._redis.decrby(f"gq:given-up:{run.id}", LATE_S)
    assert world.accept(job_id) == run.bull_job_id
    assert world.ledger.counts()["media-jobs"].waiting == 1


def test_a_late_end_of_an_old_round_leaves_the_item_of_the_new_one_alone(world: World) -> None:
    job_id = world.item()
    world.accept(job_id)
    first = world.run_of(job_id)
    world.work(job_id, Failed("tool", "no"))
    world.producer.retry(job_id, world.creator, "r")
    finish(world.records, world.ledger, first, 1, Failed("tool", "no"))
    assert world.records.get_item("media_jobs", job_id)["status"] == "queued"


def test_a_job_without_an_item_is_not_called_accepted_after_it_failed(world: World) -> None:
    job_id = str(uuid.uuid4())
    bull = world.accept(job_id, params={"width": 1})
    data = world.ledger._redis.hget(bull, "data")
    run = world.ledger.run_without_item(json.loads(data)["runId"], bull)  # type: ignore[arg-type]
    assert run is not None
    lease = world.ledger.lease(run, worker="w", lease_s=30)
    assert isinstance(lease, Lease)
    finish(world.records, world.ledger, run, lease.attempt, Failed("input", "no item"))
    assert refused(lambda: world.accept(job_id, params={"width": 1})).code == "use_retry"


def test_a_job_that_failed_before_this_system_existed_can_be_retried(world: World) -> None:
    job_id = world.item()
    world.records.update_item("media_jobs", job_id, {"status": "failed"})
    world.producer.retry(job_id, world.creator, "r")
    assert world.run_of(job_id).round == 1


def test_a_waiting_job_is_cancelled_everywhere_at_once(world: World) -> None:
    job_id = world.item()
    bull = world.accept(job_id)
    assert world.producer.cancel(job_id, world.creator) == "cancelled"
    assert world.records.get_item("media_jobs", job_id)["status"] == "cancelled"
    entry = world.ledger.entry("media-jobs", bull.rsplit(":", 1)[1])
    assert entry is not None
    assert entry.state == "cancelled"
    assert world.ledger.lease(world.run_of(job_id), worker="w", lease_s=1) == "final"
    assert refused(lambda: world.producer.cancel(job_id, world.creator)).code == "already_final"
    assert refused(lambda: world.accept(job_id)).code == "already_cancelled"


def test_an_active_job_is_only_asked_to_stop(world: World) -> None:
    job_id = world.item()
    world.accept(job_id)
    run = world.run_of(job_id)
    assert isinstance(world.ledger.lease(run, worker="w", lease_s=30), Lease)
    assert world.producer.cancel(job_id, world.creator) == "cancelling"
    assert world.ledger.cancel_asked(run)


def test_a_job_without_an_item_is_kept_per_user_and_seen_by_nobody_else(world: World) -> None:
    job_id = str(uuid.uuid4())
    mine = world.accept(job_id, params={"width": 1})
    assert world.accept(job_id, params={"width": 1}) == mine
    assert world.accept(job_id, world.stranger, params={"width": 1}) != mine


def test_the_first_outcome_wins_and_the_late_one_is_told(world: World) -> None:
    job_id = world.item()
    world.accept(job_id)
    run = world.run_of(job_id)
    lease = world.ledger.lease(run, worker="w", lease_s=30)
    assert isinstance(lease, Lease)
    assert finish(world.records, world.ledger, run, lease.attempt, Failed("tool", "first")).won
    late = finish(world.records, world.ledger, replace(run), lease.attempt, Completed())
    assert not late.won
    assert late.outcome == Failed("tool", "first")
    assert world.records.get_item("media_jobs", job_id)["status"] == "failed"
