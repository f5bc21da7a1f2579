"""Whatever a fault or a race left undone, the records end as Redis has it."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from geniequeue.errors import RecordForbidden, RecordsUnavailable
from geniequeue.quota import Quota, Unit, settling
from tests.conftest import Person
from tests.core.quota.parts import (
    LATER_S,
    OPERATION,
    UNLIMITED_OPERATION,
    Clock,
    Faulty,
    Take,
    Use,
    accept,
    rows,
    taken,
)

WAIT_S = 10.0


def test_units_of_jobs_that_ended_are_written_with_one_call(
    records: Faulty, quota: Quota, take: Take, use: Use
) -> None:
    units = [taken(take(operation=UNLIMITED_OPERATION)) for _ in range(30)]
    for unit in units:
        use(unit)
    before = records.calls
    assert quota.settle() == 30
    assert records.calls == before + 1
    assert {row["id"] for row in rows(records)} == {unit.id for unit in units}
    assert quota.settle() == 0


def test_more_than_one_call_takes_are_written_too(quota: Quota, take: Take, use: Use, records: Faulty) -> None:
    number = settling.AT_ONCE + 3
    for _ in range(number):
        use(taken(take(operation=UNLIMITED_OPERATION)))
    assert quota.settle() == number
    assert records.count_items("user_usage_counts") == number


def test_a_unit_that_was_written_before_is_settled_beside_new_ones(
    records: Faulty, quota: Quota, take: Take, use: Use, redis_client: redis.Redis
) -> None:
    old = taken(take())
    use(old)
    quota.settle()
    redis_client.flushdb()
    use(old)
    units = [old, *(taken(take()) for _ in range(2))]
    for unit in units[1:]:
        use(unit)
    assert quota.settle() == 3
    assert {row["id"] for row in rows(records)} == {unit.id for unit in units}


def test_a_reserved_unit_waits_for_its_job(quota: Quota, take: Take, records: Faulty, clock: Clock) -> None:
    take()
    clock.now_s += LATER_S - 2
    before = records.calls
    assert quota.settle() == 0
    assert records.calls == before


def test_a_unit_of_a_job_that_waits_for_long_is_written(
    quota: Quota, take: Take, records: Faulty, clock: Clock, creator: Person
) -> None:
    unit = taken(take())
    accept(records, unit)
    clock.now_s += LATER_S
    assert quota.settle() == 1
    assert [row["id"] for row in rows(records)] == [unit.id]
    assert quota.can_perform(creator.user.id, OPERATION).used == 1


def test_a_unit_is_given_back_where_the_request_died_before_its_run_was_accepted(
    quota: Quota, take: Take, records: Faulty, clock: Clock, creator: Person
) -> None:
    dead, accepted = taken(take()), taken(take())
    accept(records, accepted)
    clock.now_s += LATER_S
    assert quota.settle() == 2
    assert [row["id"] for row in rows(records)] == [accepted.id]
    assert quota.can_perform(creator.user.id, OPERATION).used == 1
    assert take(dead.id).fresh


def test_the_same_request_again_keeps_a_unit_from_being_given_back(
    quota: Quota, take: Take, clock: Clock, creator: Person
) -> None:
    unit = taken(take())
    clock.now_s += LATER_S - 2
    assert not take(unit.id).fresh
    clock.now_s += LATER_S - 2
    assert quota.settle() == 0
    assert quota.can_perform(creator.user.id, OPERATION).used == 1


def test_the_same_request_again_while_its_unit_is_settled_keeps_it(
    quota: Quota, take: Take, records: Faulty, clock: Clock, creator: Person
) -> None:
    unit = taken(take())
    clock.now_s += LATER_S

    def ask_again(name: str) -> None:
        if name == "list_items":
            records.mend()
            assert not take(unit.id).fresh

    records.fault = ask_again
    assert quota.settle() == 0
    assert quota.can_perform(creator.user.id, OPERATION).used == 1


def test_a_job_accepted_after_its_unit_was_given_back_counts_when_it_ends(
    quota: Quota, take: Take, use: Use, records: Faulty, clock: Clock, creator: Person
) -> None:
    unit = taken(take())
    clock.now_s += LATER_S
    quota.settle()
    accept(records, unit)
    use(unit)
    assert quota.can_perform(creator.user.id, OPERATION).used == 1
    quota.settle()
    assert [row["id"] for row in rows(records)] == [unit.id]


def test_a_rejected_service_is_remembered_until_it_is_let_in_again(
    records: Faulty, quota: Quota, take: Take, redis_client: redis.Redis
) -> None:
    assert not quota.is_rejected()
    records.fail(RecordForbidden("wrong token"))
    take()
    assert quota.is_rejected()
    assert 0 < redis_client.ttl("gq:quota:rejected") <= 180
    redis_client.expire("gq:quota:rejected", 5)
    with pytest.raises(RecordForbidden):
        quota.settle()
    assert redis_client.ttl("gq:quota:rejected") > 5
    records.mend()
    quota.settle()
    assert not quota.is_rejected()


def test_unverified_units_are_counted_once_when_the_records_are_back(
    records: Faulty, quota: Quota, take: Take, use: Use, creator: Person
) -> None:
    records.fail(RecordsUnavailable("no answer"))
    run_id = str(uuid.uuid4())
    reservations = [take(run_id), take(run_id), take(), take()]
    assert [each.fresh for each in reservations] == [True, False, True, True]
    units = {taken(each).id: taken(each) for each in reservations}
    for unit in units.values():
        use(unit)
    with pytest.raises(RecordsUnavailable):
        quota.settle()
    records.mend()
    assert quota.settle() == 3
    assert {row["id"] for row in rows(records)} == set(units)
    assert quota.can_perform(creator.user.id, OPERATION).used == 3
    assert quota.settle() == 0


def test_an_unverified_unit_of_a_job_that_still_waits_is_counted_too(
    records: Faulty, quota: Quota, take: Take, creator: Person, clock: Clock
) -> None:
    records.fail(RecordsUnavailable("no answer"))
    unit = taken(take())
    records.mend()
    accept(records, unit)
    clock.now_s += LATER_S
    assert quota.settle() == 1
    assert quota.can_perform(creator.user.id, OPERATION).used == 1


def test_an_unverified_unit_counts_in_the_cycle_in_which_it_was_taken(
    records: Faulty, quota: Quota, clock: Clock, take: Take, use: Use
) -> None:
    records.fail(RecordsUnavailable("no answer"))
    clock.set("2026-02-28T23:59:59Z")
    unit = taken(take())
    records.mend()
    clock.set("2026-05-05T00:00:00Z")
    use(unit)
    assert quota.settle() == 1
    assert [(row["id"], row["billing_cycle_start"]) for row in rows(records)] == [(unit.id, "2026-02-01T00:00:00.000Z")]


def test_an_unverified_unit_can_be_given_back_before_and_after_it_was_counted(
    records: Faulty, quota: Quota, take: Take, use: Use, creator: Person
) -> None:
    records.fail(RecordsUnavailable("no answer"))
    never_counted, counted_before = taken(take()), taken(take())
    quota.give_back(never_counted)
    use(counted_before)
    records.mend()
    assert quota.settle() == 2
    assert [row["id"] for row in rows(records)] == [counted_before.id]
    quota.give_back(counted_before)
    assert quota.settle() == 1
    assert rows(records) == []
    assert quota.can_perform(creator.user.id, OPERATION).used == 0


def test_a_unit_given_back_while_the_records_are_away_is_deleted_later(
    records: Faulty, quota: Quota, take: Take, use: Use, creator: Person
) -> None:
    unit = taken(take())
    use(unit)
    quota.settle()
    records.fail(RecordsUnavailable("no answer"))
    quota.give_back(unit)
    assert quota.can_perform(creator.user.id, OPERATION).used == 0
    with pytest.raises(RecordsUnavailable):
        quota.settle()
    records.mend()
    assert len(rows(records)) == 1
    assert quota.settle() == 1
    assert rows(records) == []


def test_a_unit_given_back_while_its_row_is_being_written_leaves_no_row(
    records: Faulty, quota: Quota, take: Take, use: Use, creator: Person
) -> None:
    unit = taken(take())
    use(unit)

    def give_back_meanwhile(name: str) -> None:
        if name == "create_items":
            records.mend()
            quota.give_back(unit)

    records.fault = give_back_meanwhile
    assert quota.settle() == 0
    assert quota.settle() == 1
    assert rows(records) == []
    assert quota.can_perform(creator.user.id, OPERATION).used == 0


def test_a_unit_taken_again_while_its_row_is_being_deleted_is_written_again(
    records: Faulty, quota: Quota, take: Take, use: Use
) -> None:
    unit = taken(take())
    use(unit)
    quota.settle()
    quota.give_back(unit)

    def take_meanwhile(name: str) -> None:
        if name == "delete_item":
            records.mend()
            use(taken(take(unit.id)))

    records.fault = take_meanwhile
    assert quota.settle() == 0
    assert quota.settle() == 1
    assert [row["id"] for row in rows(records)] == [unit.id]


def test_a_row_deleted_after_another_process_found_it_written_is_written_again(
    records: Faulty, quota: Quota, new_process: Callable[[], Quota], take: Take, use: Use
) -> None:
    unit = taken(take())
    use(unit)
    quota.settle()
    quota.give_back(unit)

    def overtake(name: str) -> None:
        if name == "delete_item":
            records.mend()
            use(taken(take(unit.id)))
            assert new_process().settle() == 1

    records.fault = overtake
    assert quota.settle() == 0
    assert rows(records) == []
    assert quota.settle() == 1
    assert [row["id"] for row in rows(records)] == [unit.id]


def test_a_row_deleted_while_another_process_has_found_it_written_is_written_again(
    records: Faulty, quota: Quota, new_process: Callable[[], Quota], take: Take, use: Use
) -> None:
    unit, other = taken(take()), taken(take())
    use(unit)
    quota.settle()
    quota.give_back(unit)
    written, deleted = threading.Event(), threading.Event()

    def wait_for_the_deletion(name: str) -> None:
        if name == "list_items":  # asked for the other unit's row, so the first one was found written by now
            records.mend()
            written.set()
            assert deleted.wait(WAIT_S)

    with ThreadPoolExecutor(1) as pool:

        def overtake(name: str) -> None:
            if name == "delete_item":
                records.fault = wait_for_the_deletion
                use(taken(take(unit.id)))
                quota.give_back(other)
                pool.submit(new_process().settle)
                assert written.wait(WAIT_S)

        records.fault = overtake
        assert quota.settle() == 0
        assert rows(records) == []
        deleted.set()
    quota.settle()
    assert [row["id"] for row in rows(records)] == [unit.id]


def test_a_unit_whose_row_the_service_may_not_delete_stays_to_be_settled(
    records: Faulty, quota: Quota, take: Take, use: Use
) -> None:
    unit = taken(take())
    use(unit)
    quota.settle()
    records.fail(RecordForbidden("not allowed"), "delete_item")
    quota.give_back(unit)
    with pytest.raises(RecordForbidden):
        quota.settle()
    assert quota.is_rejected()
    records.mend()
    assert quota.settle() == 1
    assert rows(records) == []


def test_a_redis_that_forgets_while_a_row_is_being_written_ends_the_settling(
    records: Faulty, quota: Quota, take: Take, use: Use, redis_client: redis.Redis
) -> None:
    unit = taken(take())
    use(unit)
    records.fault = lambda name: redis_client.flushdb() and None if name == "create_items" else None
    assert quota.settle() == 0
    assert [row["id"] for row in rows(records)] == [unit.id]


def test_a_unit_that_can_never_be_counted_does_not_hold_up_the_others(
    records: Faulty, quota: Quota, take: Take, use: Use, creator: Person
) -> None:
    records.fail(RecordsUnavailable("no answer"))
    use(taken(quota.reserve("no account at all", OPERATION, str(uuid.uuid4()))))
    unit = taken(take())
    use(unit)
    records.mend()
    assert quota.settle() == 1
    assert [row["id"] for row in rows(records)] == [unit.id]
    before = records.calls
    assert quota.settle() == 0
    assert records.calls == before


@pytest.mark.parametrize("seed", range(5))
def test_however_many_write_and_give_back_at_once_the_records_end_as_redis_has_it(
    records: Faulty, quota: Quota, use: Use, creator: Person, redis_client: redis.Redis, seed: int
) -> None:
    draw = random.Random(seed)
    runs = [str(uuid.uuid4()) for _ in range(6)]
    steps = (use, quota.give_back, lambda _unit: quota.settle())

    def step(given: tuple[str, Callable[[Unit], object]]) -> None:
        run_id, do = given
        do(taken(quota.reserve(creator.user.id, UNLIMITED_OPERATION, run_id)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(step, [(draw.choice(runs), draw.choice(steps)) for _ in range(80)]))
    for run_id in runs:
        use(taken(quota.reserve(creator.user.id, UNLIMITED_OPERATION, run_id)))
    quota.give_back(taken(quota.reserve(creator.user.id, UNLIMITED_OPERATION, runs[0])))
    quota.settle()
    [key] = redis_client.keys("gq:quota:units:*")
    assert {row["id"] for row in rows(records)} == set(redis_client.zrangebyscore(key, 1, 1)) == set(runs[1:])
    assert redis_client.hlen("gq:quota:unsettled") == redis_client.zcard("gq:quota:due") == 0


def test_a_retry_goes_on_with_its_unit_when_nobody_can_say_whether_it_was_given_back(
    records: Faulty, quota: Quota, take: Take, use: Use, redis_client: redis.Redis
) -> None:
    held = taken(take())
    use(held)
    quota.settle()
    redis_client.flushdb()
    records.fail(RecordsUnavailable("no answer"))
    again = take(held=held)
    assert (again.unit, again.unverified) == (held, True)


def test_two_processes_that_settle_the_same_unit_at_once_are_done_with_it(
    records: Faulty, quota: Quota, new_process: Callable[[], Quota], take: Take, use: Use
) -> None:
    unit = taken(take())
    use(unit)

    def settle_too(name: str) -> None:
        if name == "create_items":
            records.mend()
            assert new_process().settle() == 1

    records.fault = settle_too
    quota.settle()
    assert quota.settle() == 0
    assert [row["id"] for row in rows(records)] == [unit.id]
