"""Billing cycles: which one a moment lies in. Pure, and in UTC alone.

Cycle n starts n periods after the subscription did, on the same day and at the same time, or on the last day of a
month that is too short. Each is counted from the first start, never from the one before, so that a day lost in
February comes back in March.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from geniequeue.errors import MalformedSource

MONTHS: Mapping[str, int] = {"monthly": 1, "annual": 12}


@dataclass(frozen=True)
class Cycle:
    """One billing cycle; `end` is the start of the next."""

    start: datetime
    end: datetime


def billing_cycle(subscription_start: object, period: object, now: datetime) -> Cycle:
    """Return the cycle that `now` lies in.

    Args:
        subscription_start: ISO 8601 as stored, UTC where it names no offset; None or empty for the calendar month.
        period: `monthly` or `annual`; None or empty for monthly.
        now: an aware time.

    Raises:
        MalformedSource: start or period is something else.
    """
    now = now.astimezone(UTC)
    try:
        if subscription_start in (None, ""):
            return _cycle(datetime(now.year, now.month, 1, tzinfo=UTC), 1, now)
        return _cycle(_moment(subscription_start), _months(period), now)
    except (ValueError, OverflowError, TypeError):
        raise MalformedSource(
            f"expected a subscription that starts at an ISO 8601 time and is {' or '.join(MONTHS)}, "
            f"got {subscription_start!r:.80} and {period!r:.80}; correct it in the account",
            collection="directus_users",
            action="read",
        ) from None


def _moment(stored: object) -> datetime:
    """Read a stored time, down to the millisecond, which is all that the records keep."""
    if not isinstance(stored, str):
        raise TypeError
    moment = datetime.fromisoformat(stored)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _months(period: object) -> int:
    if period in (None, ""):
        return MONTHS["monthly"]
    if not isinstance(period, str) or period not in MONTHS:
        raise ValueError
    return MONTHS[period]


def _cycle(first: datetime, months: int, now: datetime) -> Cycle:
    passed = (now.year - first.year) * 12 + now.month - first.month
    number = passed // months
    if _later(first, number * months) > now:
        number -= 1
    return Cycle(_later(first, number * months), _later(first, (number + 1) * months))


def _later(moment: datetime, months: int) -> datetime:
    """Return the same day so many months later, or the last day of that month where it is too short."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)
