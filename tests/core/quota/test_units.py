"""A unit is counted once, in one cycle, and only as long as it is not given back."""

from __future__ import annotations

import uuid
from typing import Any

import redis

from geniequeue.quota import Quota, Unit
from tests.conftest import Person
from tests.core.quota.parts import (
    FEATURE,
    OPERATION,
    STARTER_LIMIT,
    Clock,
    Faulty,
    Subscribe,
    Take,
    Use,
    add_row,
    quota_of,
    rows,
    taken,
)


def test_only_the_call_that_takes_a_unit_is_told_so(take: Take, quota: Quota) -> None:
    run_id = str(uuid.uuid4())
    assert [take(run_id).fresh for _ in range(2)] == [True, False]
    quota.give_back(taken(take(run_id)))
    assert [take(run_id).fresh for _ in range(2)] == [True, False]


def test_a_job_that_has_its_unit_is_let_in_again_when_the_limit_is_reached(take: Take) -> None:
    runs = [str(uuid.uuid4()) for _ in range(STARTER_LIMIT)]
    assert all(take(run_id).verdict.allowed for run_id in runs + runs)
    assert not take().verdict.allowed


def test_what_the_records_count_counts_after_redis_forgot(
    take: Take, quota: Quota, use: Use, redis_client: redis.Redis, records: Faulty, creator: Person
) -> None:
    unit = taken(take())
    use(unit)
    assert quota.settle() == 1
    redis_client.flushdb()
    assert quota.can_perform(creator.user.id, OPERATION).used == 1
    use(unit)
    quota.settle()
    assert len(rows(records)) == 1
    assert quota.can_perform(creator.user.id, OPERATION).used == 1


def test_a_unit_that_redis_forgot_before_it_was_written_is_counted_when_its_job_ends(
    take: Take, quota: Quota, use: Use, redis_client: redis.Redis, records: Faulty, creator: Person
) -> None:
    unit = taken(take())
    redis_client.flushdb()
    use(unit)
    assert quota.can_perform(creator.user.id, OPERATION).used == 1
    assert quota.settle() == 1
    assert [row["id"] for row in rows(records)] == [unit.id]


def test_rows_of_an_older_system_count_for_several(quota: Quota, records: Faulty, creator: Person) -> None:
    add_row(records, creator.user.id, count=3)
    add_row(records, creator.user.id, count=0)
    add_row(records, creator.user.id, cycle_start="2026-01-01T00:00:00.000Z", count=9)
    add_row(records, creator.user.id, feature="profile_scrapes", count=9)
    assert quota.can_perform(creator.user.id, OPERATION).used == 3


def test_a_unit_is_written_once_however_often_its_job_ends(
    take: Take, quota: Quota, use: Use, records: Faulty, creator: Person
) -> None:
    unit = taken(take())
    for _ in range(3):
        use(unit)
        quota.settle()
    assert rows(records) == [
        {
            "id": unit.id,
            "user_id": creator.user.id,
            "feature": FEATURE,
            "billing_cycle_start": "2026-02-01T00:00:00.000Z",
            "count": 1,
        }
    ]


def test_a_unit_given_back_is_free_at_once_and_gone_from_the_records_soon(
    take: Take, quota: Quota, use: Use, records: Faulty, creator: Person
) -> None:
    unit = taken(take())
    use(unit)
    quota.settle()
    for _ in range(2):
        quota.give_back(unit)
        assert quota.can_perform(creator.user.id, OPERATION).used == 0
        quota.settle()
        assert rows(records) == []


def test_a_unit_given_back_is_taken_again_by_the_same_run(
    take: Take, quota: Quota, use: Use, records: Faulty, creator: Person
) -> None:
    run_id = str(uuid.uuid4())
    quota.give_back(taken(take(run_id)))
    again = take(run_id)
    assert again.verdict.used == 1
    use(taken(again))
    quota.settle()
    assert len(rows(records)) == 1


def test_a_retry_uses_the_unit_it_still_holds_also_in_the_next_cycle(
    take: Take, quota: Quota, use: Use, clock: Clock, records: Faulty, creator: Person
) -> None:
    held = taken(take())
    use(held)
    quota.settle()
    clock.set("2026-03-02T00:00:00Z")
    assert take(held=held).unit == held
    assert quota.can_perform(creator.user.id, OPERATION).used == 0
    use(held)
    quota.settle()
    assert len(rows(records)) == 1


def test_a_retry_takes_a_new_unit_where_the_last_was_given_back(
    take: Take, quota: Quota, use: Use, creator: Person, records: Faulty
) -> None:
    first = taken(take())
    quota.give_back(first)
    second = taken(take(held=first))
    assert second.id != first.id
    use(second)
    quota.give_back(first)
    quota.settle()
    assert [row["id"] for row in rows(records)] == [second.id]
    assert quota.can_perform(creator.user.id, OPERATION).used == 1


def test_whether_a_unit_is_still_held_is_read_from_the_records_where_redis_forgot(
    take: Take, quota: Quota, use: Use, redis_client: redis.Redis
) -> None:
    kept, returned = taken(take()), taken(take())
    use(kept)
    quota.give_back(returned)
    quota.settle()
    redis_client.flushdb()
    assert take(held=kept).unit == kept
    assert taken(take(held=returned)).id != returned.id


def test_the_next_cycle_starts_at_nothing(take: Take, clock: Clock, subscribe: Subscribe) -> None:
    subscribe(start="2026-01-31T10:00:00.000Z")
    clock.set("2026-02-28T09:59:59Z")
    for _ in range(STARTER_LIMIT):
        take()
    assert not take().verdict.allowed
    clock.set("2026-02-28T10:00:00Z")
    assert take().verdict.used == 1


def test_a_unit_is_given_back_to_the_cycle_it_was_taken_from(
    take: Take, quota: Quota, clock: Clock, creator: Person
) -> None:
    clock.set("2026-02-28T23:59:00Z")
    unit = taken(take())
    clock.set("2026-03-01T00:10:00Z")
    take()
    quota.give_back(unit)
    assert quota.can_perform(creator.user.id, OPERATION).used == 1
    clock.set("2026-02-28T23:59:30Z")
    assert quota.can_perform(creator.user.id, OPERATION).used == 0


def test_reading_the_records_while_a_unit_is_given_back_does_not_bring_it_back(
    redis_client: redis.Redis, records: Faulty, clock: Clock, quota: Quota, use: Use, creator: Person, take: Take
) -> None:
    unit = taken(take())
    use(unit)
    quota.settle()
    redis_client.flushdb()

    class GivesBackMeanwhile:
        """Records whose list is old by the time it arrives."""

        def __getattr__(self, name: str) -> Any:
            return getattr(records, name)

        def list_items(self, *args: Any, **kwargs: Any) -> Any:
            found = records.list_items(*args, **kwargs)
            quota.give_back(unit)
            return found

    late = quota_of(redis_client, GivesBackMeanwhile(), clock=clock)
    assert late.can_perform(creator.user.id, OPERATION).used == 0


def test_a_set_of_units_goes_away_a_week_after_its_cycle(
    redis_client: redis.Redis, take: Take, creator: Person
) -> None:
    take()
    [key] = redis_client.keys("gq:quota:units:*")
    assert key == f"gq:quota:units:{creator.user.id}:{FEATURE}:2026-02-01T00:00:00.000Z"
    days = redis_client.ttl(key) / 86_400
    assert 18.5 + 7 - 0.01 < days <= 18.5 + 7


def test_a_unit_survives_its_way_through_json(take: Take) -> None:
    unit = taken(take())
    assert Unit.from_json(unit.as_json()) == unit
