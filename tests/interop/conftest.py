"""BullMQ's clients on the ledger of the test, and jobs in it that were really accepted."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis

from geniequeue.jobs import keys
from geniequeue.jobs.closing import close_ended
from geniequeue.jobs.finish import finish
from geniequeue.jobs.holder import Holder
from geniequeue.jobs.job import Lease, Run
from geniequeue.jobs.leases import Leases
from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.outcome import Final
from geniequeue.jobs.producer import Producer
from geniequeue.jobs.reconciling import Reconciling
from geniequeue.jobs.request import MediaRequest
from geniequeue.jobs.restoring import Restoring
from geniequeue.jobs.sweeper import Sweeper
from geniequeue.operations import MEDIA_QUEUE
from geniequeue.principal import Principal
from geniequeue.records.embedded import EmbeddedStore
from geniequeue.records.protocol import Item
from tests.conftest import Person
from tests.core.quota.parts import quota_of
from tests.interop.node import BullMQ, installed, running

OPERATION = "resize_image"
WORKER = "media@here"
LONG_AGO = "2020-01-01T00:00:00.000Z"


class Jobs:
    """Jobs from POST to end; the worker's part is played by the ledger.

    Args:
        store: records and files.
        ledger: that the BullMQ client reads too.
        creator: whose jobs they are.
    """

    def __init__(self, store: EmbeddedStore, ledger: Ledger, creator: Person) -> None:
        self.ledger = ledger
        self.records = store.as_service()
        self.producer = Producer(store, ledger, quota_of(ledger.client, self.records), "bull")
        self._creator = creator
        self._principal = Principal(creator.user.id, admin=False, token=creator.token, tier="pro")

    def post(self, job_id: str, priority: int | None = None) -> Run:
        """Send a job as the API does."""
        self.producer.accept(MediaRequest(job_id, OPERATION, priority=priority, request_id="r"), self._principal)
        run = self.producer.runs.latest(job_id)
        assert run is not None
        return run

    def accept(self, priority: int | None = None) -> Run:
        """Create an item and send it."""
        return self.post(self._creator.create_job(OPERATION), priority)

    def retry(self, run: Run) -> Run:
        """Retry a failed job as its owner."""
        self.producer.retry(run.spec.job_id, self._principal, "r")
        again = self.producer.runs.latest(run.spec.job_id)
        assert again is not None
        return again

    def cancel(self, run: Run) -> str:
        """Cancel a job as its owner."""
        return self.producer.cancel(run.spec.job_id, self._principal)

    def ask_lease(self, run: Run) -> Lease | str:
        """Ask for the lease as a worker with the job's message does."""
        return self.ledger.lease(run, worker=WORKER, lease_s=30)

    def lease(self, run: Run) -> int:
        """Take the lease; return the number of the attempt."""
        lease = self.ask_lease(run)
        assert isinstance(lease, Lease), lease
        self.records.update_item("media_jobs", run.spec.job_id, {"status": "processing"})
        return lease.attempt

    def come_due(self, run: Run) -> None:
        """Let the time pass that a delayed job waits for."""
        self.ledger.client.zadd(self.ledger.queue_keys(run.queue).delayed(), {run.number: 1}, xx=True)

    def end(self, run: Run, attempt: int, outcome: Final) -> None:
        """End an attempt as a worker does."""
        finish(self.records, self.ledger, run, attempt, outcome)

    def ended(self, outcome: Final, priority: int | None = None) -> Run:
        """Return a job that has ended."""
        run = self.accept(priority)
        self.end(run, self.lease(run), outcome)
        return run

    def put_right(self) -> None:
        """Let the chores and the sweeper look, a minute after everything that happened."""
        client = self.ledger.client
        for job in client.scan_iter(f"bull:{MEDIA_QUEUE}:[0-9]*", _type="hash"):
            client.hset(job, "timestamp", 0)
        for row in self.records.list_items("media_job_runs", {"open": True}):
            self.records.update_item("media_job_runs", row["id"], {"accepted_at": LONG_AGO})
        client.set(keys.epoch(), 0)
        client.hset(keys.restored(), "all", 1)
        Restoring(self.records, self.ledger, self.producer.runs).restore()
        leases = Leases(self.ledger)
        Reconciling(self.records, self.ledger, leases).reconcile()
        Sweeper(self.ledger, leases, Holder.of_process(WORKER, os.getpid())).sweep()

    def item(self, run: Run) -> Item:
        """Return the job's item."""
        return self.records.get_item("media_jobs", run.spec.job_id)

    def results(self, run: Run) -> list[Item]:
        """Return what the records have of the job's ends: more than one per run would be a job that ran twice."""
        return self.records.list_items("media_job_results", {"id": run.id})

    def open(self, run: Run) -> bool:
        """Tell whether the records still owe the run an end, once the ended ones are closed."""
        close_ended(self.records, self.ledger)
        return bool(self.records.get_item("media_job_runs", run.id)["open"])


@pytest.fixture(scope="session")
def node_packages() -> None:
    """The npm packages of the lock file."""
    installed()


@pytest.fixture
def jobs(store: EmbeddedStore, ledger: Ledger, creator: Person) -> Jobs:
    """An empty ledger and empty records."""
    return Jobs(store, ledger, creator)


@pytest.fixture(params=["bullmq", "bullmq-5"])
def bullmq(
    request: pytest.FixtureRequest, node_packages: None, redis_client: redis.Redis, redis_url: str
) -> Iterator[BullMQ]:
    """A client of the media queue, of BullMQ 6 and of 5."""
    with running("client.mjs", REDIS_URL=redis_url, QUEUE=MEDIA_QUEUE, BULLMQ=request.param) as process:
        yield BullMQ(process)
