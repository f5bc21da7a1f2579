"""F43: whatever happens to the records, the job is let through and said to be unverified."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from geniequeue.config import Settings
from geniequeue.errors import RecordInvalid, RecordsError, RecordsUnavailable, RightMissing, ServiceTokenRefused
from geniequeue.metrics import Numbers
from geniequeue.quota import Quota
from geniequeue.records.embedded import EmbeddedStore
from tests.conftest import Person
from tests.core.quota.parts import LATER_S, OPERATION, Clock, Faulty, Take, Use, quota_of, rows, taken


def counted(client: redis.Redis, cause: str) -> int:
    return int(Numbers(client).read().get(f"quota_unverified|{cause}", 0))


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RecordsUnavailable("no answer"), "unreachable"),
        (ServiceTokenRefused("wrong token"), "rejected"),
        (RightMissing("no right"), "rejected"),
        (RecordInvalid("unknown field"), "refused"),
    ],
)
@pytest.mark.parametrize("method", ["get_user", "list_items"])
def test_f43_a_fault_lets_the_job_through_with_a_warning_and_a_count(
    redis_client: redis.Redis, records: Faulty, take: Take, error: RecordsError, cause: str, method: str
) -> None:
    records.fail(error, method, "me")
    with capture_logs() as lines:
        reservation = take()
    assert (reservation.verdict.decision, reservation.unverified) == ("allowed", True)
    assert counted(redis_client, cause) == 1
    [line] = [line for line in lines if line["log_level"] == "warning"]
    assert (line["cause"], line["error"]) == (cause, str(error))


def test_f43_a_damaged_database_lets_the_job_through(
    store: EmbeddedStore, settings: Settings, redis_client: redis.Redis, creator: Person
) -> None:
    quota = quota_of(redis_client, store.as_service())
    store.close()
    for path in Path(settings.var_dir / "records").glob("records.sqlite3*"):
        path.write_text("<html>502 Bad Gateway</html>" * 500)
    assert quota.reserve(creator.user.id, OPERATION, str(uuid.uuid4())).unverified


@pytest.fixture
def stalled(records: Faulty) -> Iterator[threading.Event]:
    """Make the records wait for this event before they answer."""
    go_on = threading.Event()
    records.fault = lambda _name: go_on.wait(30) and None
    yield go_on
    go_on.set()


def test_f43_records_slower_than_the_budget_let_the_job_through(
    redis_client: redis.Redis, records: Faulty, stalled: threading.Event, creator: Person
) -> None:
    quota = quota_of(redis_client, records, budget_s=0.05)
    assert quota.reserve(creator.user.id, OPERATION, str(uuid.uuid4())).unverified
    assert counted(redis_client, "slow") == 1


def test_f43_an_answer_that_comes_too_late_takes_no_second_unit(
    redis_client: redis.Redis, records: Faulty, stalled: threading.Event, use: Use, clock: Clock, creator: Person
) -> None:
    quota = quota_of(redis_client, records, budget_s=0.05, clock=clock)
    reservation = quota.reserve(creator.user.id, OPERATION, str(uuid.uuid4()))
    stalled.set()
    use(taken(reservation))
    assert quota.settle() == 1
    assert [row["id"] for row in rows(records)] == [taken(reservation).id]
    assert quota.can_perform(creator.user.id, OPERATION).used == 1


@pytest.mark.parametrize(
    "nonsense",
    [{"subscription_start": "soon"}, {"subscription_period": "weekly"}, {"subscription_tier": 7}],
    ids=str,
)
def test_f43_an_account_that_makes_no_sense_is_let_through_and_counted_once_it_does(
    records: Faulty, redis_client: redis.Redis, clock: Clock, use: Use, creator: Person, nonsense: dict[str, Any]
) -> None:
    class Nonsense:
        """Records in which somebody wrote nonsense."""

        spoilt = True

        def __getattr__(self, name: str) -> Any:
            return getattr(records, name)

        def get_user(self, user_id: str) -> Any:
            user = records.get_user(user_id)
            return replace(user, **{"subscription_start": "2026-01-01", **nonsense}) if self.spoilt else user

    spoilt = Nonsense()
    quota = quota_of(redis_client, spoilt, clock=clock)
    reservation = quota.reserve(creator.user.id, OPERATION, str(uuid.uuid4()))
    assert reservation.unverified
    assert counted(redis_client, "malformed") == 1
    use(taken(reservation))
    assert quota.settle() == 0
    spoilt.spoilt = False
    clock.now_s += LATER_S
    later = quota_of(redis_client, spoilt, clock=clock)
    assert later.settle() == 1
    assert len(rows(records)) == 1


def test_f43_a_row_that_makes_no_sense_lets_the_job_through(records: Faulty, take: Take, creator: Person) -> None:
    row = {"user_id": creator.user.id, "feature": "media_modifications", "count": 2_000_000_000}
    records.create_item("user_usage_counts", {**row, "billing_cycle_start": "2026-02-05T00:00:00Z"})
    assert take().unverified


def test_records_that_are_away_are_no_rejected_token(records: Faulty, quota: Quota, take: Take) -> None:
    records.fail(RecordsUnavailable("no answer"))
    take()
    assert not quota.is_rejected()


def test_a_warm_quota_asks_the_records_nothing(records: Faulty, take: Take) -> None:
    take()
    assert records.calls == 2
    take()
    assert records.calls == 2


def test_usage_is_not_made_up_when_the_records_are_away(records: Faulty, quota: Quota, creator: Person) -> None:
    records.fail(RecordsUnavailable("no answer"))
    with pytest.raises(RecordsUnavailable):
        quota.usage(creator.user.id)


def test_looking_fails_open_too_and_notes_nothing(
    records: Faulty, quota: Quota, creator: Person, redis_client: redis.Redis
) -> None:
    records.fail(RecordsUnavailable("no answer"))
    assert quota.can_perform(creator.user.id, OPERATION).allowed
    assert redis_client.hlen("gq:quota:unsettled") == 0
