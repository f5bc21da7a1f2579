"""How many jobs of a queue have ended, as the records tell it: what the counters go on from in an emptied Redis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from geniequeue.jobs.ledger import Ledger, reachable
from geniequeue.jobs.numbers import operations_of
from geniequeue.records.protocol import Records


def go_on(service: Records, ledger: Ledger, queue: str) -> None:
    """Raise the counters of a queue to what is on record; none is lowered.

    Jobs that end in the milliseconds between the two looks are counted twice or not at all.
    """
    counts = ledger.queue_keys(queue).counts()
    for name, recorded in tallies(service, queue).items():
        with reachable():
            counted = int(cast("str | None", ledger.client.hget(counts, name)) or 0)
            if recorded > counted:
                ledger.client.hincrby(counts, name, recorded - counted)


def tallies(service: Records, queue: str) -> Mapping[str, int]:
    """Return how many rounds of a queue's jobs have ended, by outcome; jobs whose item was deleted are missing."""
    if not (operations := operations_of(queue)):
        return {}

    def ended(status: Any) -> int:
        where = {"operation": {"_in": operations}, "status": status, "bull_job_id": {"_null": False}}
        return service.count_items("media_jobs", where)

    # each later round was preceded by one that failed
    retried = service.count_items("media_job_runs", {"operation": {"_in": operations}, "round": {"_gt": 1}})
    return {
        "completed": ended("completed"),
        "failed": ended({"_in": ["failed", "error"]}) + retried,
        "cancelled": ended("cancelled"),
    }
