"""Whatever a fault or a race left undone, the records end as Redis has it."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from geniequeue.errors import RecordForbidden, RecordsUnavailable
from geniequeue.quota import Quota, Unit
from tests.conftest import Person
from tests.core.quota.parts import OPERATION, UNLIMITED_OPERATION, Clock, Faulty, Take, rows, taken


def test_a_rejected_token_is_remembered_until_an_unverified_unit_is_counted(
    records: Faulty, quota: Quota, take: Take, redis_client: redis.Redis
) -> None:
    assert not quota.is_rejected()
    records.fail(RecordForbidden("wrong token"))
    take()
    assert quota.is_rejected()
    assert 0 < redis_client.ttl("gq:quota:rejected") <= 180
    redis_client.delete("gq:quota:rejected")
    assert quota.settle() == 0
    assert quota.is_rejected()
    records.mend()
    assert quota.settle() == 1
    assert not quota.is_rejected()


def test_unverified_units_are_counted_once_when_the_records_are_back(
    records: Faulty, quota: Quota, take: Take, creator: Person
) -> None:
    records.fail(RecordsUnavailable("no answer"))
    job_id = str(uuid.uuid4())
    reservations = [take(job_id), take(job_id), take(), take()]
    assert [each.fresh for each in reservations] == [True, False, True, True]
    assert quota.settle() == 0
    records.mend()
    assert quota.settle() == 3
    assert {row["id"] for row in rows(records)} == {taken(each).id for each in reservations}
    assert quota.can_perform(creator.user.id, OPERATION).used == 3
    assert quota.settle() == 0


def test_an_unverified_unit_counts_in_the_cycle_in_which_it_was_taken(
    records: Faulty, quota: Quota, clock: Clock, take: Take
) -> None:
    records.fail(RecordsUnavailable("no answer"))
    clock.set("2026-02-28T23:59:59Z")
    unit = taken(take())
    records.mend()
    clock.set("2026-05-05T00:00:00Z")
    assert quota.settle() == 1
    assert [(row["id"], row["billing_cycle_start"]) for row in rows(records)] == [(unit.id, "2026-02-01T00:00:00.000Z")]


def test_an_unverified_unit_is_recorded_when_its_job_runs(records: Faulty, quota: Quota, take: Take) -> None:
    records.fail(RecordsUnavailable("no answer"))
    unit = taken(take())
    assert not quota.record(unit)
    records.mend()
    assert quota.record(unit)
    assert len(rows(records)) == 1
    assert quota.settle() == 0


def test_an_unverified_unit_can_be_given_back_before_and_after_it_was_counted(
    records: Faulty, quota: Quota, take: Take, creator: Person
) -> None:
    records.fail(RecordsUnavailable("no answer"))
    never_counted, counted_later, still_away = (taken(take()) for _ in range(3))
    assert not quota.give_back(still_away)
    records.mend()
    assert quota.give_back(never_counted)
    assert quota.record(counted_later)
    assert quota.give_back(counted_later)
    quota.settle()
    assert rows(records) == []
    assert quota.can_perform(creator.user.id, OPERATION).used == 0


def test_a_unit_given_back_while_the_records_are_away_is_deleted_later(
    records: Faulty, quota: Quota, take: Take, creator: Person
) -> None:
    unit = taken(take())
    quota.record(unit)
    records.fail(RecordsUnavailable("no answer"))
    assert not quota.give_back(unit)
    assert quota.can_perform(creator.user.id, OPERATION).used == 0
    records.mend()
    assert len(rows(records)) == 1
    assert quota.settle() == 1
    assert rows(records) == []


def test_a_unit_given_back_while_its_row_is_being_written_leaves_no_row(
    records: Faulty, quota: Quota, take: Take, creator: Person
) -> None:
    unit = taken(take())

    def give_back_meanwhile(name: str) -> None:
        if name == "create_item":
            records.mend()
            assert quota.give_back(unit)

    records.fault = give_back_meanwhile
    quota.settle()
    quota.settle()
    assert rows(records) == []
    assert quota.can_perform(creator.user.id, OPERATION).used == 0


def test_a_unit_given_back_after_it_was_found_unsettled_is_not_brought_back(
    records: Faulty, quota: Quota, take: Take, creator: Person
) -> None:
    units = [taken(take()) for _ in range(2)]

    def give_back_the_others(name: str) -> None:
        if name == "create_item":
            [written] = [row["id"] for row in rows(records)] or [None]
            records.mend()
            assert all(quota.give_back(unit) for unit in units if unit.id != written)

    records.fault = give_back_the_others
    quota.settle()
    quota.settle()
    assert rows(records) == []
    assert quota.can_perform(creator.user.id, OPERATION).used == 0


def test_a_unit_whose_row_the_service_may_not_delete_stays_to_be_settled(
    records: Faulty, quota: Quota, take: Take
) -> None:
    unit = taken(take())
    quota.record(unit)
    records.fail(RecordForbidden("not allowed"), "delete_item")
    assert not quota.give_back(unit)
    assert quota.is_rejected()
    records.mend()
    assert quota.settle() == 1
    assert rows(records) == []


def test_a_redis_that_forgets_while_a_row_is_being_written_ends_the_settling(
    records: Faulty, quota: Quota, take: Take, redis_client: redis.Redis
) -> None:
    unit = taken(take())
    records.fault = lambda name: redis_client.flushdb() and None if name == "create_item" else None
    assert not quota.record(unit)
    assert [row["id"] for row in rows(records)] == [unit.id]


def test_a_unit_that_can_never_be_counted_does_not_hold_up_the_others(
    records: Faulty, quota: Quota, take: Take, creator: Person
) -> None:
    records.fail(RecordsUnavailable("no answer"))
    quota.reserve("no account at all", OPERATION, str(uuid.uuid4()))
    unit = taken(take())
    records.mend()
    assert quota.settle() == 1
    assert [row["id"] for row in rows(records)] == [unit.id]


@pytest.mark.parametrize("seed", range(5))
def test_however_many_write_and_give_back_at_once_the_records_end_as_redis_has_it(
    records: Faulty, quota: Quota, take: Take, creator: Person, redis_client: redis.Redis, seed: int
) -> None:
    draw = random.Random(seed)
    jobs = [str(uuid.uuid4()) for _ in range(6)]
    steps = (quota.record, quota.give_back, lambda _unit: quota.settle())

    def step(given: tuple[str, Callable[[Unit], object]]) -> None:
        job_id, do = given
        do(taken(quota.reserve(creator.user.id, UNLIMITED_OPERATION, job_id)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(step, [(draw.choice(jobs), draw.choice(steps)) for _ in range(80)]))
    quota.settle()
    [key] = redis_client.keys("gq:quota:units:*")
    assert {row["id"] for row in rows(records)} == set(redis_client.zrangebyscore(key, 1, 1))
    assert redis_client.hlen("gq:quota:unsettled") == 0


def test_a_retry_goes_on_with_its_unit_when_nobody_can_say_whether_it_was_given_back(
    records: Faulty, quota: Quota, take: Take, redis_client: redis.Redis
) -> None:
    held = taken(take())
    quota.record(held)
    redis_client.flushdb()
    records.fail(RecordsUnavailable("no answer"))
    again = take(round_=2, held=held)
    assert (again.unit, again.unverified) == (held, True)


def test_what_nobody_recorded_is_settled(take: Take, quota: Quota, records: Faulty, creator: Person) -> None:
    units = [taken(take()) for _ in range(3)]
    assert quota.settle() == 3
    assert {row["id"] for row in rows(records)} == {unit.id for unit in units}
    assert quota.settle() == 0
