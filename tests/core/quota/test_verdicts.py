"""Who is let in, and how many at once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from geniequeue.errors import LedgerUnavailable
from geniequeue.jobs.ledger import connect
from geniequeue.quota import Quota, QuotaRefused, Reservation, Verdict
from geniequeue.records.embedded import EmbeddedStore
from tests.conftest import Person
from tests.core.quota.parts import (
    FEATURE,
    OPERATION,
    STARTER_LIMIT,
    UNLIMITED_OPERATION,
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


def test_jobs_are_allowed_until_the_limit_is_reached(quota: Quota, creator: Person, take: Take) -> None:
    assert [take().verdict.used for _ in range(STARTER_LIMIT)] == [1, 2, 3, 4, 5]
    refused = take()
    assert (refused.verdict.decision, refused.verdict.left, refused.unit) == ("limit_reached", 0, None)
    assert quota.can_perform(creator.user.id, OPERATION) == refused.verdict


def test_looking_takes_nothing(quota: Quota, creator: Person) -> None:
    verdicts = [quota.can_perform(creator.user.id, OPERATION) for _ in range(10)]
    assert {(verdict.decision, verdict.used, verdict.left) for verdict in verdicts} == {("allowed", 0, 5)}


def test_a_feature_with_limit_0_is_not_in_the_tier(quota: Quota, creator: Person) -> None:
    assert quota.usage(creator.user.id).verdicts["ai_clip_ops"].decision == "not_in_tier"


def test_unlimited_is_never_refused_but_counted(
    take: Take, quota: Quota, use: Use, records: Faulty, creator: Person
) -> None:
    for _ in range(20):
        use(taken(take(operation=UNLIMITED_OPERATION)))
    assert quota.settle() == 20
    assert len(rows(records)) == 20
    verdict = quota.usage(creator.user.id).verdicts["watermark_ops"]
    assert (verdict.decision, verdict.limit, verdict.used, verdict.left) == ("allowed", -1, 20, None)


def test_usage_says_what_is_left_of_every_feature(quota: Quota, creator: Person, take: Take) -> None:
    take()
    usage = quota.usage(creator.user.id)
    assert usage.tier == "starter"
    left = {feature: verdict.left for feature, verdict in usage.verdicts.items()}
    assert left == {FEATURE: 4, "watermark_ops": None, "ai_clip_ops": 0, "profile_scrapes": 5, "posts_published": 5}


def test_taking_twice_for_the_same_job_counts_once(take: Take) -> None:
    run_id = str(uuid.uuid4())
    assert taken(take(run_id)).id == taken(take(run_id)).id == run_id
    assert take(run_id).verdict.used == 1


def test_of_fifty_at_once_against_one_that_is_left_exactly_one_comes_in(
    new_process: Callable[[], Quota], subscribe: Subscribe, use: Use, records: Faulty, creator: Person
) -> None:
    for _ in range(STARTER_LIMIT - 1):
        add_row(records, creator.user.id)
    processes = [new_process() for _ in range(2)]

    def reserve(number: int) -> Reservation:
        return processes[number % 2].reserve(creator.user.id, OPERATION, str(uuid.uuid4()))

    with ThreadPoolExecutor(50) as pool:
        reservations = list(pool.map(reserve, range(50)))
    won = [reservation for reservation in reservations if reservation.verdict.allowed]
    assert len(won) == 1
    assert not any(reservation.unverified for reservation in reservations)
    assert {r.verdict.decision for r in reservations if r is not won[0]} == {"limit_reached"}
    use(taken(won[0]))
    assert processes[0].settle() == 1
    assert len(rows(records)) == STARTER_LIMIT


def test_a_better_tier_counts_within_half_a_minute(take: Take, clock: Clock, subscribe: Subscribe) -> None:
    for _ in range(STARTER_LIMIT):
        take()
    subscribe(tier="creator")
    assert not take().verdict.allowed
    clock.now_s += 31
    assert (take().verdict.limit, take().verdict.used) == (30, 7)


def test_an_account_that_is_not_there_is_a_starter(quota: Quota) -> None:
    reservation = quota.reserve(str(uuid.uuid4()), OPERATION, str(uuid.uuid4()))
    assert (reservation.verdict.limit, reservation.unverified, quota.is_rejected()) == (5, False, False)


def test_row_45_the_refusal_has_exactly_the_three_documented_members(take: Take) -> None:
    for _ in range(STARTER_LIMIT):
        take()
    refused = QuotaRefused(take().verdict)
    assert refused.status == 403
    assert refused.body == {
        "error": "tier_limit_reached",
        "reason": "limit_reached",
        "message": "You have reached your plan limit for this feature. Upgrade to continue.",
    }
    not_in_tier = QuotaRefused(Verdict("not_in_tier", "ai_clip_ops")).body
    assert (set(not_in_tier), not_in_tier["reason"]) == ({"error", "reason", "message"}, "not_in_tier")


def test_without_redis_nobody_is_let_through(records: Faulty, creator: Person) -> None:
    away = quota_of(connect("redis://127.0.0.1:1/0"), records)
    with pytest.raises(LedgerUnavailable):
        away.reserve(creator.user.id, OPERATION, str(uuid.uuid4()))


def test_a_creator_reads_his_own_usage_and_nobody_elses(
    store: EmbeddedStore, records: Faulty, creator: Person, other_creator: Person
) -> None:
    add_row(records, creator.user.id)
    assert len(store.as_user(creator.token).list_items("user_usage_counts")) == 1
    assert store.as_user(other_creator.token).list_items("user_usage_counts") == []
