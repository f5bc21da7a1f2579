"""Our worker with an empty job and records that answer at once, for `bench/chaos/overhead.py`.

Everything of ours stays on the way: message, lease, fencing, ledger, keeper, sweeper, log lines, events for Flower.
What is left out are the calls to a record store, and the sandbox. The job is a run of the scrape queue, whose worker
loads no media library. Environment: as the worker's, and JOBS, how many runs there will be.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

from bench.chaos.leased_runs import DONE, run_of
from geniequeue.errors import RecordForbidden
from geniequeue.jobs.broker import TASK_NAMES
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.jobs.outcome import Completed
from geniequeue.jobs.request import row_of
from geniequeue.operations import SCRAPE_QUEUE
from geniequeue.records.protocol import Item, Records
from tasks.attempt import Attempt
from tasks.base import JobTask
from tasks.celery_app import app
from tasks.services import Services

# before any pool child is forked, so that none of them has to do it
ROWS = {run.id: row_of(run) for run in map(run_of, range(1, int(os.environ["JOBS"]) + 1))}


class EmptyRecords:
    """The record-store calls of an attempt, each answered from the memory of the process."""

    def get_item(self, collection: str, item_id: str, fields: Sequence[str] | None = None) -> Item:
        """Return a run's row; nothing else exists."""
        del fields
        if collection != "media_job_runs":
            raise RecordForbidden(collection)
        return ROWS[item_id]

    def create_item(self, collection: str, data: Mapping[str, Any]) -> Item:
        """Keep nothing."""
        del collection
        return dict(data)

    def update_item(self, collection: str, item_id: str, data: Mapping[str, Any]) -> Item:
        """Change nothing."""
        del collection
        return {"id": item_id, **data}


class EmptyJob(JobTask):
    """A job that does nothing, and says so when its end is told."""

    abstract = False
    name = TASK_NAMES[SCRAPE_QUEUE]

    def run(self, run_id: str, bull_job_id: str, request_id: str, version: int) -> None:
        """Run the attempt, then say that it is over."""
        super().run(run_id, bull_job_id, request_id, version)
        self._services().ledger.client.lpush(DONE, 1)

    def perform(self, attempt: Attempt) -> Completed:
        """Do nothing."""
        del attempt
        return Completed({})

    def _services(self) -> Services:
        return _services(os.getpid())


@cache
def _services(pid: int) -> Services:
    del pid
    settings = app.conf.geniequeue
    records = cast("Records", EmptyRecords())
    client = connect(settings.redis_url)
    nobody = cast("Any", None)
    ledger = Ledger(client, settings.ledger_prefix)
    others = dict.fromkeys(("leases", "runs", "quota", "restoring", "reconciling"), nobody)
    return Services(settings=settings, records=records, ledger=ledger, **others)


app.register_task(EmptyJob())
