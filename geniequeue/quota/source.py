"""What the quota reads from the records and writes there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from geniequeue.cache import ExpiringCache
from geniequeue.errors import RecordForbidden, RecordNotUnique
from geniequeue.quota.billing import Cycle, MalformedSource
from geniequeue.quota.budget import Caller
from geniequeue.quota.verdict import Unit
from geniequeue.records.protocol import Item, Records
from geniequeue.records.values import normal_timestamp

USAGE = "user_usage_counts"
SUBSCRIPTION_TTL_S = 30.0
MAX_CACHED = 4096
MAX_COUNT = 10_000
"""Most units that one row may stand for; rows of ours stand for one, those of an older system for several."""


@dataclass(frozen=True)
class Subscription:
    """What an account says about its plan, as stored; None where never set."""

    tier: str | None
    start: str | None
    period: str | None


class Source:
    """The records, as the quota sees them.

    Args:
        records: with the service's rights.
        clock: seconds since 1970.
    """

    def __init__(self, records: Records, clock: Callable[[], float]) -> None:
        self._records = records
        self._subscriptions: ExpiringCache[str, Subscription] = ExpiringCache(MAX_CACHED, SUBSCRIPTION_TTL_S, clock)

    def subscription(self, user_id: str, call: Caller) -> Subscription:
        """Return somebody's plan, at most half a minute old; an account that is not there has none.

        Raises:
            RecordForbidden: the service is not let in, or may not read accounts.
            RecordsUnavailable, MalformedSource: the records do not answer, or not with an account.
        """
        return self._subscriptions.get(user_id, lambda: call(lambda: self._read_subscription(user_id)))

    def taken(self, unit: Unit, cycle: Cycle, call: Caller) -> list[str]:
        """Return an id for each unit of the user and feature of `unit` that is counted in a cycle.

        Raises:
            RecordForbidden, RecordsUnavailable, MalformedSource: as for `subscription`.
        """
        since, until = normal_timestamp(cycle.start), normal_timestamp(cycle.end)
        where = {
            "user_id": unit.user_id,
            "feature": unit.feature,
            "billing_cycle_start": {"_gte": since, "_lt": until},
        }
        rows = call(lambda: self._records.list_items(USAGE, where, limit=-1, fields=("id", "count")))
        return [unit_id for row in rows for unit_id in _unit_ids(row)]

    def has_row(self, unit: Unit) -> bool:
        """Tell whether a unit is counted in the records."""
        return bool(self._records.list_items(USAGE, {"id": unit.id}, limit=1, fields=("id",)))

    def write(self, unit: Unit, cycle: Cycle) -> None:
        """Count a unit; again changes nothing."""
        row = {
            "id": unit.id,
            "user_id": unit.user_id,
            "feature": unit.feature,
            "billing_cycle_start": normal_timestamp(cycle.start),
            "count": 1,
        }
        try:
            self._records.create_item(USAGE, row)
        except RecordNotUnique:
            return

    def erase(self, unit: Unit) -> None:
        """Count a unit no longer; again changes nothing."""
        try:
            self._records.delete_item(USAGE, unit.id)
        except RecordForbidden:
            # no such row, unless the service itself is refused: a store does not tell which
            if self.has_row(unit):
                raise

    def _read_subscription(self, user_id: str) -> Subscription:
        try:
            user = self._records.get_user(user_id)
        except RecordForbidden:
            self._check_own_rights()
            return Subscription(None, None, None)
        tier, start, period = user.subscription_tier, user.subscription_start, user.subscription_period
        if not all(value is None or isinstance(value, str) for value in (tier, start, period)):
            raise MalformedSource("expected words in the subscription of an account, got something else; correct it")
        return Subscription(tier, start, period)

    def _check_own_rights(self) -> None:
        """Raise `RecordForbidden` unless the service is let in and may read accounts: then one is just not there."""
        me = self._records.me()
        if not me.admin:
            self._records.get_user(me.id)


def _unit_ids(row: Item) -> Iterator[str]:
    """Name every unit that a row stands for."""
    row_id, count = row.get("id"), row.get("count")
    if not isinstance(row_id, str) or type(count) is not int or count > MAX_COUNT:
        raise MalformedSource(
            f"expected rows of {USAGE} with an id and a count up to {MAX_COUNT}, got {count!r:.40}; correct the row",
            collection=USAGE,
            action="read",
        )
    yield from (f"{row_id}:{number}" if number else row_id for number in range(count))
