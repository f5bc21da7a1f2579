"""Every number that is counted for `/metrics`, defined once, and kept in one hash in Redis.

In Redis, and not in prometheus_client's own counters or its files for many processes: what counts are several web
processes and pool children that live for twenty jobs, on any number of hosts; each file would know one host, and
outlive its process. Scripts that move a job count in the same step, so no crash makes a number wrong, counting costs no
call of its own, and whichever web process is asked tells the same. An emptied Redis begins at 0, which Prometheus takes
for a restart.

A field of the hash is a number's name and the values of its labels, joined by `|`; a histogram has one field for each
bound, named by its power of two, and one for the sum.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import redis
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from geniequeue.errors import LedgerUnavailable

SECONDS = range(-4, 14)
"""Bounds of times as powers of two: 0.0625 s to 2.3 h; as in the scripts."""

BYTES = range(24, 33)
"""Bounds of memory as powers of two: 16 MiB to 4 GiB; as in the scripts."""

_COUNT = re.compile(r"[0-9]{1,19}")
_SUM = re.compile(r"[0-9]{1,19}(\.[0-9]{1,19})?")


def key() -> str:
    """Hash of all numbers; the last key of each script that counts."""
    return "gq:metrics"


@dataclass(frozen=True)
class Counted:
    """One number.

    Attributes:
        field: first part of its fields in the hash.
        name: as Prometheus sees it, without `_total`.
        bounds: of a histogram, as powers of two; None for a counter.
    """

    field: str
    name: str
    text: str
    labels: tuple[str, ...]
    bounds: range | None = None

    def family(self, fields: Iterable[tuple[list[str], str]]) -> Metric:
        """Return it with all its values.

        Args:
            fields: label values and number of each of its fields.
        """
        if self.bounds is None:
            return self._counter(fields)
        return self._histogram(self.bounds, fields)

    def _counter(self, fields: Iterable[tuple[list[str], str]]) -> Metric:
        family = CounterMetricFamily(self.name, self.text, labels=self.labels)
        for labels, number in fields:
            if len(labels) == len(self.labels) and _COUNT.fullmatch(number):
                family.add_metric(labels, int(number))
        return family

    def _histogram(self, bounds: range, fields: Iterable[tuple[list[str], str]]) -> Metric:
        family = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        series: defaultdict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
        for (*labels, part), number in fields:
            if len(labels) == len(self.labels) and (_SUM if part == "sum" else _COUNT).fullmatch(number):
                series[tuple(labels)][part] = number
        for values, parts in series.items():
            total, buckets = 0, []
            for power in (*bounds, bounds.stop):
                total += int(parts.get(str(power), 0))
                buckets.append((str(2.0**power) if power in bounds else "+Inf", float(total)))
            family.add_metric(list(values), buckets, float(parts.get("sum", 0)))
        return family


QUOTA_UNVERIFIED = Counted(
    "quota_unverified",
    "geniequeue_quota_unverified",
    "Jobs let through because the quota could not be asked, by cause.",
    ("cause",),
)

COUNTED = (
    Counted(
        "jobs",
        "geniequeue_jobs",
        "Jobs that ended; `code` is the error of a failed one.",
        ("operation", "outcome", "code"),
    ),
    Counted(
        "wait_s",
        "geniequeue_job_wait_seconds",
        "Time from acceptance to the first attempt.",
        ("operation",),
        SECONDS,
    ),
    Counted(
        "run_s",
        "geniequeue_job_run_seconds",
        "Time from the start to the end of the attempt that ended a job.",
        ("operation",),
        SECONDS,
    ),
    Counted(
        "peak_memory_bytes",
        "geniequeue_job_peak_memory_bytes",
        "Largest resident size of the work of completed jobs.",
        ("operation",),
        BYTES,
    ),
    Counted("attempts", "geniequeue_attempts", "Attempts that began.", ("operation",)),
    Counted(
        "put_off",
        "geniequeue_attempts_put_off",
        "Attempts that are tried again later; `counted` where it cost the job a try.",
        ("operation", "counted"),
    ),
    Counted(
        "put_back",
        "geniequeue_attempts_put_back",
        "Attempts whose job went back to the front: `lost` with their worker, `handed_back` by a stopping worker, "
        "`timeout` or `killed`, `lease_over` though the worker lives; `by` the sweeper where no worker did it.",
        ("operation", "by", "why"),
    ),
    Counted(
        "resent",
        "geniequeue_messages_resent",
        "Messages sent again: for a job that was `due` after a delay, or whose `message_lost`.",
        ("operation", "why"),
    ),
    Counted(
        "messages_dropped",
        "geniequeue_messages_dropped",
        "Messages that had nothing to do: duplicates of a job that is leased, final, delayed, stale or unknown.",
        ("operation", "why"),
    ),
    QUOTA_UNVERIFIED,
)


class Numbers:
    """The numbers in one Redis; every method raises `LedgerUnavailable` when it cannot be reached.

    Args:
        client: connection with decoded responses.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def count(self, counted: Counted, *labels: str) -> None:
        """Count one more, where no script does it."""
        try:
            self._redis.hincrby(key(), "|".join((counted.field, *labels)), 1)
        except redis.RedisError as error:
            raise LedgerUnavailable(f"Redis: {error}") from error

    def read(self) -> Mapping[str, str]:
        """Return every field with its number."""
        try:
            return cast("dict[str, str]", self._redis.hgetall(key()))
        except redis.RedisError as error:
            raise LedgerUnavailable(f"Redis: {error}") from error


def families(fields: Mapping[str, str]) -> list[Metric]:
    """Return what the fields of the hash tell; those of another version, and what is no number, are left out."""
    known: defaultdict[str, list[tuple[list[str], str]]] = defaultdict(list)
    for field, number in fields.items():
        name, *labels = field.split("|")
        if labels:
            known[name].append((labels, number))
    return [counted.family(known[counted.field]) for counted in COUNTED]
