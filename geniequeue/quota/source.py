"""What the quota reads from the records and writes there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from geniequeue.accounts import Accounts
from geniequeue.errors import MalformedSource, RecordForbidden
from geniequeue.quota.billing import Cycle, billing_cycle
from geniequeue.quota.budget import Caller
from geniequeue.quota.verdict import Unit
from geniequeue.records.protocol import Filter, Item, Records, User
from geniequeue.records.values import normal_timestamp

AT_ONCE = 50
"""Rows of one call: a Directus whose QUERY_LIMIT_MAX is lower is none that doctor calls well."""
ERASE_TRIES = 3
"""Others may delete and write a row again between a refusal and the look whether it is there."""
USAGE = "user_usage_counts"
RUNS = "media_job_runs"
MAX_COUNT = 10_000
"""Most units that one row may stand for; rows of ours stand for one, those of an older system for several."""


@dataclass(frozen=True)
class Plan:
    """What somebody has subscribed to.

    Attributes:
        tier: as stored; None where never set.
        cycle: the billing cycle in question.
    """

    tier: str | None
    cycle: Cycle


class Source:
    """The records, as the quota sees them.

    Every method raises `RecordForbidden` or `ServiceTokenRefused` where the service is not let in, `RecordsUnavailable`
    where the records do not answer, `MalformedSource` where they answer what makes no sense.

    Args:
        records: with the service's rights.
        accounts: of everybody; whoever sends a job was looked up there a moment ago.
    """

    def __init__(self, records: Records, accounts: Accounts) -> None:
        self._records = records
        self._accounts = accounts

    def plan(self, unit: Unit, call: Caller) -> Plan:
        """Return what whoever pays for a unit had subscribed to when it was taken."""
        user = self._accounts.known(unit.user_id) or call(lambda: self._account(unit.user_id))
        tier, start, period = (
            (user.subscription_tier, user.subscription_start, user.subscription_period) if user else (None, None, None)
        )
        if not isinstance(tier, str | None):
            raise MalformedSource(f"expected a word as tier of an account, got {tier!r:.40}; correct it")
        return Plan(tier, billing_cycle(start, period, datetime.fromisoformat(unit.at)))

    def taken(self, unit: Unit, cycle: Cycle, call: Caller) -> list[str]:
        """Return an id for each unit of the user and feature of `unit` that is counted in a cycle."""
        since, until = normal_timestamp(cycle.start), normal_timestamp(cycle.end)
        where = {
            "user_id": unit.user_id,
            "feature": unit.feature,
            "billing_cycle_start": {"_gte": since, "_lt": until},
        }
        rows: list[Item] = []
        while len(rows) % AT_ONCE == 0:
            offset = len(rows)
            page = call(lambda: self._page(where, offset))  # noqa: B023 - called at once
            if not page:
                break
            rows += page
        return [unit_id for row in rows for unit_id in _unit_ids(row)]

    def _page(self, where: Filter, offset: int) -> list[Item]:
        fields = ("id", "count")
        return self._records.list_items(USAGE, where, sort=("id",), limit=AT_ONCE, offset=offset, fields=fields)

    def counted(self, unit_ids: Sequence[str]) -> frozenset[str]:
        """Return which units have a row."""
        return self._existing(USAGE, unit_ids)

    def accepted(self, unit_ids: Sequence[str]) -> frozenset[str]:
        """Return the units whose run was accepted; it has the same id."""
        return self._existing(RUNS, unit_ids)

    def write(self, units: Sequence[tuple[Unit, Cycle]]) -> None:
        """Count units, all of them or, where one is counted already, none.

        Raises:
            RecordNotUnique: one is counted already.
            RecordInvalid: one cannot be counted.
        """
        self._records.create_items(USAGE, [_row(unit, cycle) for unit, cycle in units])

    def erase(self, unit_id: str) -> None:
        """Count a unit no longer that is counted."""
        for tries_left in reversed(range(ERASE_TRIES)):
            try:
                self._records.delete_item(USAGE, unit_id)
            except RecordForbidden:
                # another process was faster, or the service may not: a store does not tell which
                if not self.counted([unit_id]):
                    return
                if not tries_left:
                    raise
            else:
                return

    def check(self) -> None:
        """Raise unless the service may read accounts and usage."""
        self._records.me()
        self._records.list_items(USAGE, limit=1, fields=("id",))

    def _existing(self, collection: str, ids: Sequence[str]) -> frozenset[str]:
        if not ids:
            return frozenset()
        rows = self._records.list_items(collection, {"id": {"_in": list(ids)}}, limit=len(ids), fields=("id",))
        return frozenset(str(row["id"]) for row in rows)

    def _account(self, user_id: str) -> User | None:
        """Return an account, None for one that is not there: not for one that the service may not read."""
        user = self._accounts.get(user_id)
        if user is None:
            self._records.me()
        return user


def _row(unit: Unit, cycle: Cycle) -> Item:
    start = normal_timestamp(cycle.start)
    return {
        "id": unit.id,
        "user_id": unit.user_id,
        "feature": unit.feature,
        "billing_cycle_start": start,
        "count": 1,
    }


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
