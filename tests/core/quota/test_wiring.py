"""What a job uses of its owner's quota, from POST to its end, whatever happens in between."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from geniequeue.errors import RecordForbidden, RecordsUnavailable, RequestRefused
from geniequeue.jobs.finish import finish
from geniequeue.jobs.job import Lease, run_id_of
from geniequeue.jobs.outcome import Cancelled, Completed, Failed, Final
from geniequeue.jobs.producer import Producer
from geniequeue.principal import Principal
from geniequeue.quota import QuotaRefused
from geniequeue.records.protocol import Records
from tests.core.quota.parts import LATER_S, OPERATION, STARTER_LIMIT, Clock, Faulty, quota_of, rows
from tests.core.test_producer import World

RETURNED = ("tool", "verify", "timeout", "oom", "lost", "upstream", "internal", "poison")
KEPT = ("input", "policy")


@dataclass
class Store:
    """The store of a world, whose service can be made to fail."""

    world: World
    service: Faulty

    def as_service(self) -> Any:
        return self.service

    def as_user(self, token: str) -> Records:
        return self.world.store.as_user(token)

    def ping(self) -> None:
        self.world.store.ping()


class Plan(World):
    """A world whose creator is a starter: five units a month.

    Attributes:
        clock: of the quota.
        source: what the quota reads and writes, which can be made to fail.
        accepting: the records of the producer, which can be made to fail.
    """

    def __init__(self, root: Path, redis_url: str) -> None:
        super().__init__(root, redis_url)
        self.store.ensure_user("creator", "starter")
        with closing(sqlite3.connect(root / "records.sqlite3")) as database, database:
            database.execute("UPDATE directus_users SET subscription_start = NULL")
        # the end of a job is noted by the time of day, so that this clock must not be behind it
        self.clock = Clock(datetime.now(UTC).isoformat())
        self.clock.now_s += 10
        self.source, self.accepting = Faulty(self.records), Faulty(self.records)
        self.quota = quota_of(self.ledger.client, self.source, clock=self.clock)
        self.producer = Producer(Store(self, self.accepting), self.ledger, self.quota, "bull")

    @property
    def used(self) -> int:
        """Units that count now."""
        used = self.quota.can_perform(self.creator.user_id, OPERATION).used
        assert used is not None
        return used

    def accepted(self) -> str:
        """Return a job that waits on its queue."""
        job_id = self.item()
        self.accept(job_id)
        return job_id

    def fill(self) -> None:
        """Use all that is left."""
        while self.quota.reserve(self.creator.user_id, OPERATION, str(uuid.uuid4())).verdict.allowed:
            pass

    def ended(self, outcome: Final) -> str:
        """Return a job that ran and ended."""
        job_id = self.accepted()
        self.work(job_id, outcome)
        return job_id

    def retry(self, job_id: str) -> None:
        self.producer.retry(job_id, self.creator, "r")

    def settled(self) -> set[str]:
        """Return the ids of all units in the records, everything being settled."""
        self.quota.settle()
        return {row["id"] for row in rows(self.records)}


@pytest.fixture
def plan(tmp_path: Path, redis_url: str) -> Plan:
    return Plan(tmp_path, redis_url)


def refused(call: Callable[[], object]) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        call()
    return caught.value


def test_a_job_takes_one_unit_that_its_run_holds(plan: Plan) -> None:
    job_id = plan.accepted()
    run = plan.run_of(job_id)
    assert run.spec.unit is not None
    assert (run.spec.unit.id, run.spec.unit.user_id, run.spec.quota) == (run.id, plan.creator.user_id, None)
    assert plan.used == 1
    assert plan.records.get_item("media_jobs", job_id)["quota"] is None


def test_accepting_a_job_of_somebody_known_asks_the_records_nothing_for_the_quota(plan: Plan) -> None:
    plan.accepted()
    before = plan.source.calls
    plan.work(plan.accepted(), Completed())
    assert plan.source.calls == before


def test_a_hundred_equal_requests_take_one_unit(plan: Plan) -> None:
    job_id = plan.item()
    with ThreadPoolExecutor(32) as pool:
        assert len(set(pool.map(lambda _: plan.accept(job_id), range(100)))) == 1
    assert plan.used == 1


def test_a_job_whose_item_is_deleted_while_it_is_accepted_keeps_no_unit(plan: Plan) -> None:
    job_id = plan.item()

    def delete_item(name: str) -> None:
        if name == "update_item":
            plan.accepting.mend()
            plan.records.delete_item("media_jobs", job_id)

    plan.accepting.fault = delete_item
    with pytest.raises(RecordForbidden):
        plan.accept(job_id)
    run = plan.producer.runs.latest(job_id)
    assert run is not None
    assert plan.producer.runs.result_of(run)["outcome"] == "failed"
    assert plan.used == 0
    assert plan.settled() == set()


def test_a_full_plan_refuses_and_nothing_is_written(plan: Plan) -> None:
    plan.fill()
    job_id = plan.item()
    error = refused(lambda: plan.accept(job_id))
    assert isinstance(error, QuotaRefused)
    assert (error.status, error.reason) == (403, "limit_reached")
    assert plan.producer.runs.latest(job_id) is None
    assert plan.records.get_item("media_jobs", job_id)["bull_job_id"] is None
    assert plan.ledger.counts()["media-jobs"].waiting == 0


def test_a_job_that_has_its_unit_is_answered_again_when_the_plan_is_full(plan: Plan) -> None:
    job_id = plan.item()
    bull = plan.accept(job_id)
    plan.fill()
    assert plan.accept(job_id) == bull


def test_the_owner_pays_also_where_an_administrator_sends_his_job(plan: Plan) -> None:
    plan.accept(plan.item(), plan.admin)
    assert plan.used == 1
    plan.fill()
    assert refused(lambda: plan.accept(plan.item(), plan.admin)).status == 403


def test_a_request_that_is_refused_for_another_reason_takes_nothing(plan: Plan) -> None:
    assert refused(lambda: plan.accept(plan.item(), input_file_id=str(uuid.uuid4()))).status == 404
    assert refused(lambda: plan.accept(plan.item(), params={"evil": 1})).status == 422
    assert plan.used == 0


def test_a_job_without_an_item_takes_nothing_and_is_refused_by_a_full_plan(plan: Plan) -> None:
    plan.accept(str(uuid.uuid4()), params={"width": 1})
    assert plan.used == 0
    plan.fill()
    assert refused(lambda: plan.accept(str(uuid.uuid4()), params={"width": 1})).status == 403


@pytest.mark.parametrize("outcome", [Completed(), *(Failed(code, "no") for code in KEPT)], ids=str)
def test_a_job_that_brought_something_or_was_wrong_keeps_its_unit(plan: Plan, outcome: Final) -> None:
    job_id = plan.ended(outcome)
    assert plan.used == 1
    assert plan.settled() == {run_id_of(job_id, 1)}


@pytest.mark.parametrize("code", RETURNED)
def test_a_job_that_failed_for_another_reason_gives_its_unit_back(plan: Plan, code: str) -> None:
    plan.ended(Failed(code, "no"))
    assert plan.used == 0
    assert plan.settled() == set()


def test_a_job_cancelled_while_it_waits_gives_its_unit_back(plan: Plan) -> None:
    job_id = plan.accepted()
    assert plan.producer.cancel(job_id, plan.creator) == "cancelled"
    assert plan.used == 0


def test_a_job_cancelled_while_it_waits_for_its_next_try_gives_its_unit_back(plan: Plan) -> None:
    job_id = plan.accepted()
    run = plan.run_of(job_id)
    lease = plan.ledger.lease(run, worker="w", lease_s=30)
    assert isinstance(lease, Lease)
    assert plan.ledger.delay(run, lease.attempt, after_s=60, reason="upstream")
    assert plan.producer.cancel(job_id, plan.creator) == "cancelled"
    assert plan.used == 0


def test_a_job_cancelled_while_it_runs_keeps_its_unit(plan: Plan) -> None:
    plan.ended(Cancelled())
    assert plan.used == 1


def test_a_retry_of_a_job_that_kept_its_unit_does_not_count_twice(plan: Plan) -> None:
    job_id = plan.ended(Failed("input", "no"))
    plan.fill()
    plan.retry(job_id)
    assert plan.run_of(job_id).spec.unit == plan.producer.runs.latest(job_id).spec.unit  # type: ignore[union-attr]
    assert plan.used == STARTER_LIMIT
    plan.work(job_id, Completed())
    assert plan.used == STARTER_LIMIT
    assert plan.settled() == {run_id_of(job_id, 1)}


def test_a_retry_takes_a_unit_again_that_was_given_back(plan: Plan) -> None:
    job_id = plan.ended(Failed("tool", "no"))
    plan.retry(job_id)
    assert plan.used == 1
    plan.work(job_id, Completed())
    assert plan.used == 1
    assert plan.settled() == {run_id_of(job_id, 2)}


def test_a_full_plan_refuses_the_retry_of_a_job_whose_unit_was_given_back(plan: Plan) -> None:
    job_id = plan.ended(Failed("tool", "no"))
    plan.fill()
    assert isinstance(refused(lambda: plan.retry(job_id)), QuotaRefused)
    assert plan.records.get_item("media_jobs", job_id)["status"] == "failed"
    assert plan.run_of(job_id).round == 1


def test_the_unit_that_a_retry_went_on_with_comes_back_when_the_retry_fails(plan: Plan) -> None:
    job_id = plan.ended(Failed("input", "no"))
    assert plan.settled() == {run_id_of(job_id, 1)}
    plan.retry(job_id)
    plan.work(job_id, Failed("tool", "no"))
    assert plan.used == 0
    assert plan.settled() == set()


def test_a_late_end_of_an_old_round_leaves_the_unit_of_the_new_one_alone(plan: Plan) -> None:
    job_id = plan.ended(Failed("input", "no"))
    first = plan.run_of(job_id)
    plan.retry(job_id)
    plan.work(job_id, Failed("tool", "no"))
    finish(plan.records, plan.ledger, first, 1, Failed("input", "no"))
    assert plan.used == 0


def test_sixteen_retries_at_once_take_one_unit(plan: Plan) -> None:
    job_id = plan.ended(Failed("tool", "no"))

    def retry(_: int) -> None:
        try:
            plan.retry(job_id)
        except RequestRefused as error:
            assert error.code == "not_failed"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(retry, range(16)))
    assert plan.used == 1


def test_a_crash_after_the_result_was_written_gives_the_unit_back_once(plan: Plan) -> None:
    job_id = plan.accepted()
    run = plan.run_of(job_id)
    result = {"id": run.id, "attempt": 1, "outcome": "failed", "error_code": "tool", "result": {"message": "no"}}
    plan.records.create_item("media_job_results", {**result, "finished_at": "2026-02-10T12:00:00.000Z"})
    assert plan.used == 1
    assert refused(lambda: plan.accept(job_id)).code == "use_retry"
    assert plan.used == 0
    for _ in range(2):
        finish(plan.records, plan.ledger, run, 1, Completed())
    assert plan.used == 0
    assert plan.settled() == set()


def test_a_request_that_could_not_create_its_run_keeps_the_unit_for_the_next_try(plan: Plan) -> None:
    job_id = plan.item()
    plan.accepting.fail(RecordsUnavailable("no answer"), "create_item")
    with pytest.raises(RecordsUnavailable):
        plan.accept(job_id)
    plan.accepting.mend()
    plan.fill()
    plan.accept(job_id)
    assert plan.used == STARTER_LIMIT


def test_a_request_that_could_not_create_its_run_and_never_comes_again_costs_nothing(plan: Plan) -> None:
    plan.accepting.fail(RecordsUnavailable("no answer"), "create_item")
    with pytest.raises(RecordsUnavailable):
        plan.accept(plan.item())
    assert plan.used == 1
    plan.clock.now_s += LATER_S
    assert plan.settled() == set()
    assert plan.used == 0


def test_a_unit_taken_for_a_job_that_has_ended_already_is_given_back(plan: Plan) -> None:
    job_id = plan.ended(Failed("tool", "no"))
    assert plan.settled() == set()
    plan.ledger.client.flushdb()
    assert refused(lambda: plan.accept(job_id)).code == "use_retry"
    assert plan.used == 0


def test_a_unit_that_redis_forgot_is_taken_again_by_the_next_request_for_its_job(plan: Plan) -> None:
    job_id = plan.accepted()
    plan.records.update_item("media_job_runs", plan.run_of(job_id).id, {"accepted_at": "2020-01-01T00:00:00.000Z"})
    plan.ledger.client.flushdb()
    assert plan.used == 0
    plan.accept(job_id)
    assert plan.used == 1
    plan.work(job_id, Completed())
    assert plan.settled() == {run_id_of(job_id, 1)}


def test_a_unit_of_a_run_that_redis_forgot_counts_when_the_run_ends(plan: Plan) -> None:
    job_id = plan.accepted()
    plan.ledger.client.flushdb()
    finish(plan.records, plan.ledger, plan.run_of(job_id), 1, Completed())
    assert plan.used == 1
    assert plan.settled() == {run_id_of(job_id, 1)}


def test_f43_an_unverified_job_says_so_and_is_counted_when_the_source_is_back(plan: Plan) -> None:
    plan.source.fail(RecordsUnavailable("no answer"))
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        job_id = plan.accepted()
    [warning] = [line for line in lines if line["log_level"] == "warning"]
    assert (warning["job_id"], warning["operation"], warning["cause"]) == (job_id, OPERATION, "unreachable")
    assert plan.records.get_item("media_jobs", job_id)["quota"] == "unverified"
    plan.work(job_id, Completed())
    assert rows(plan.records) == []
    plan.source.mend()
    assert plan.settled() == {run_id_of(job_id, 1)}
    assert plan.used == 1


def test_f43_an_unverified_job_that_fails_for_another_reason_is_never_counted(plan: Plan) -> None:
    plan.source.fail(RecordsUnavailable("no answer"))
    job_id = plan.accepted()
    plan.work(job_id, Failed("tool", "no"))
    plan.source.mend()
    assert plan.settled() == set()
    plan.retry(job_id)
    assert plan.records.get_item("media_jobs", job_id)["quota"] is None
    assert plan.used == 1


def test_a_run_of_an_older_version_holds_no_unit_and_ends_all_the_same(plan: Plan) -> None:
    job_id = plan.accepted()
    run = plan.run_of(job_id)
    spec = {name: value for name, value in run.spec.as_json().items() if name not in ("unit", "quota")}
    plan.records.update_item("media_job_runs", run.id, {"spec": spec})
    assert plan.run_of(job_id).spec.unit is None
    plan.work(job_id, Completed())
    assert plan.records.get_item("media_jobs", job_id)["status"] == "completed"


def test_fifty_jobs_at_once_against_one_unit_that_is_left(plan: Plan) -> None:
    for _ in range(STARTER_LIMIT - 1):
        plan.accepted()
    jobs = [plan.item() for _ in range(50)]

    def accept(job_id: str) -> str | None:
        try:
            return plan.accept(job_id)
        except QuotaRefused:
            return None

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(accept, jobs))
    assert len([answer for answer in answers if answer]) == 1
    assert plan.used == STARTER_LIMIT


def test_somebody_elses_jobs_do_not_count(plan: Plan) -> None:
    stranger: Principal = plan.stranger
    plan.accept(plan.item(stranger), stranger)
    assert plan.used == 0
