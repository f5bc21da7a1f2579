"""Billing cycles: every moment lies in exactly one, and the day never drifts."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geniequeue.errors import MalformedSource
from geniequeue.quota.billing import MONTHS, Cycle, billing_cycle

MILLISECONDS = st.integers(-(10**12), 5 * 10**12)
MOMENTS = MILLISECONDS.map(lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms))
"""From 1938 to 2128, by the millisecond, which is all that the records keep."""

PERIODS = st.sampled_from(sorted(MONTHS))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def starts_of(start: str, period: str, first: str, count: int) -> list[str]:
    """Return the days on which so many cycles from `first` on start."""
    now, days = at(first), []
    for _ in range(count):
        cycle = billing_cycle(start, period, now)
        days.append(cycle.start.date().isoformat())
        now = cycle.end
    return days


def months_between(first: datetime, later: datetime) -> int:
    return (later.year - first.year) * 12 + later.month - first.month


@given(MOMENTS, PERIODS, MOMENTS)
def test_every_moment_lies_in_its_cycle(start: datetime, period: str, now: datetime) -> None:
    cycle = billing_cycle(start.isoformat(), period, now)
    assert cycle.start <= now < cycle.end
    assert cycle.start.tzinfo == cycle.end.tzinfo == UTC


@given(MOMENTS, PERIODS, MOMENTS)
def test_cycles_follow_each_other_without_a_gap(start: datetime, period: str, now: datetime) -> None:
    cycle = billing_cycle(start.isoformat(), period, now)
    after = billing_cycle(start.isoformat(), period, cycle.end)
    before = billing_cycle(start.isoformat(), period, cycle.start - timedelta(milliseconds=1))
    assert after.start == cycle.end
    assert before.end == cycle.start
    assert months_between(cycle.start, cycle.end) == MONTHS[period]


@given(MOMENTS, PERIODS, MOMENTS)
def test_a_cycle_starts_on_the_day_and_time_of_the_first_or_at_the_end_of_a_short_month(
    start: datetime, period: str, now: datetime
) -> None:
    begin = billing_cycle(start.isoformat(), period, now).start
    assert begin.day == min(start.day, monthrange(begin.year, begin.month)[1])
    assert begin.time() == start.time()
    assert period == "monthly" or begin.month == start.month


@given(MOMENTS, PERIODS, MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_offsets_change_nothing(start: datetime, period: str, now: datetime, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    shifted = billing_cycle(start.astimezone(zone).isoformat(), period, now.astimezone(zone))
    assert shifted == billing_cycle(start.isoformat(), period, now)


def test_the_31st_is_clamped_in_short_months_and_comes_back() -> None:
    days = starts_of("2026-01-31T10:30:00.000Z", "monthly", "2026-01-31T10:30:00Z", 5)
    assert days == ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]


def test_february_has_29_days_in_a_leap_year() -> None:
    days = starts_of("2027-12-31T00:00:00Z", "monthly", "2028-01-31T00:00:00Z", 3)
    assert days == ["2028-01-31", "2028-02-29", "2028-03-31"]


def test_a_year_from_the_leap_day_ends_on_the_28th_until_the_next_leap_year() -> None:
    days = starts_of("2024-02-29T00:00:00Z", "annual", "2024-02-29T00:00:00Z", 5)
    assert days == ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]


def test_a_cycle_ends_to_the_millisecond() -> None:
    start, last = "2026-01-15T10:30:00.500Z", at("2026-02-15T10:30:00.499Z")
    assert billing_cycle(start, "monthly", last).start == at(start)
    assert billing_cycle(start, "monthly", last + timedelta(milliseconds=1)).start == at("2026-02-15T10:30:00.500Z")


@pytest.mark.parametrize("start", [None, ""])
def test_without_a_start_the_calendar_month_counts(start: str | None) -> None:
    month = Cycle(at("2026-12-01T00:00:00Z"), at("2027-01-01T00:00:00Z"))
    assert billing_cycle(start, "annual", at("2026-12-31T23:59:59Z")) == month


def test_without_a_period_it_is_monthly() -> None:
    assert billing_cycle("2026-01-10", None, at("2026-03-09T00:00:00Z")).start == at("2026-02-10T00:00:00Z")


def test_a_time_without_an_offset_is_utc() -> None:
    now = at("2026-03-20T00:00:00Z")
    assert billing_cycle("2026-01-10T08:00:00", "monthly", now).start == at("2026-03-10T08:00:00Z")


@pytest.mark.parametrize(
    ("start", "period"),
    [
        ("yesterday", "monthly"),
        ("2026-02-30T00:00:00Z", "monthly"),
        ("0001-01-01T00:00:00+14:00", "monthly"),
        (1_769_000_000, "monthly"),
        ({"year": 2026}, "monthly"),
        ("2026-01-01T00:00:00Z", "weekly"),
        ("2026-01-01T00:00:00Z", 12),
        ("2026-01-01T00:00:00Z", ["monthly"]),
    ],
)
def test_what_makes_no_sense_is_named(start: object, period: object) -> None:
    with pytest.raises(MalformedSource, match="expected a subscription"):
        billing_cycle(start, period, at("2026-03-01T00:00:00Z"))
