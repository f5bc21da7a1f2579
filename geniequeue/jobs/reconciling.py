"""Jobs that have ended, but wait again because a tool of BullMQ retried them.

They go back to where they were: a further round costs a unit of the owner's quota and gets a number of its own, so it
is asked for at our API, by the owner or an administrator.
"""

from __future__ import annotations

import json
from datetime import datetime

from geniequeue.errors import RecordForbidden
from geniequeue.jobs.finish import outcome_of
from geniequeue.jobs.leases import Leases, Queued
from geniequeue.jobs.ledger import Ledger, reachable
from geniequeue.jobs.messages import Messages
from geniequeue.jobs.stored import final_fields
from geniequeue.log import get_logger
from geniequeue.operations import QUEUES
from geniequeue.records.protocol import Item, Records
from geniequeue.scripts import Scripts

log = get_logger(__name__)


class Reconciling:
    """Compares ended jobs that wait with the records.

    Args:
        service: records with the service's rights.
    """

    def __init__(self, service: Records, ledger: Ledger, leases: Leases) -> None:
        self._service = service
        self._ledger = ledger
        self._leases = leases
        self._messages = Messages(ledger, leases)
        self._scripts = Scripts(ledger.client, "geniequeue.jobs", ("putaway",))

    def reconcile(self) -> int:
        """Put back what has ended, send what the records still owe; return how many jobs that were."""
        return sum(self._reconcile(job) for queue in QUEUES for job in self._messages.retried(queue))

    def _reconcile(self, job: Queued) -> bool:
        result = self._result_of(job)
        if result is None:
            return self._leases.resend(job) == "sent"
        log.warning(
            "a job that has ended was retried with a tool of BullMQ, it is put back; retry it through the API",
            **{"bull_job_id": job.run.bull_job_id, "job_id": job.run.spec.job_id, "outcome": result["outcome"]},
        )
        return self._put_away(job, result) == "away"

    def _result_of(self, job: Queued) -> Item | None:
        try:
            return self._service.get_item("media_job_results", job.run.id)
        except RecordForbidden:
            return None

    def _put_away(self, job: Queued, result: Item) -> str:
        k, number = self._ledger.queue_keys(job.run.queue), job.run.number
        name, returned, reason = final_fields(outcome_of(result))
        ended_ms = int(datetime.fromisoformat(result["finished_at"]).timestamp() * 1000)
        names = [
            *(job.index, k.job(number), k.lock(number), k.prioritized(), k.wait(), k.paused()),
            *(k.completed(), k.failed(), k.events()),
        ]
        with reachable():
            return str(self._scripts.call("putaway", names, [number, name, json.dumps(returned), reason, ended_ms]))
