"""The numbers of jobs: each queue's go on above those on record, also in a Redis that was emptied or replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from geniequeue.jobs import keys
from geniequeue.jobs.job import Run
from geniequeue.jobs.ledger import Ledger, reachable
from geniequeue.log import get_logger
from geniequeue.operations import OPERATIONS
from geniequeue.records.protocol import Records

RENUMBERED_KEEP_S = 86_400
"""Longer than anybody takes from one step of pushing a run to the next."""

log = get_logger(__name__)


class Numbers:
    """Gives numbers; asks the records for the largest one only where Redis does not know it.

    Args:
        service: records with the service's rights.
        ledger: of the queues.
    """

    def __init__(self, service: Records, ledger: Ledger) -> None:
        self._service = service
        self._ledger = ledger

    def next(self, queue: str) -> str:
        """Return the next number of a queue."""
        while not (number := self._ledger.next_number(queue)):
            self.go_on(queue)
        return number

    def instead(self, run: Run) -> str:
        """Return the number that a run has instead of its own, which another job got; the same for whoever asks."""
        name, client = keys.renumbered(run.id, run.number), self._ledger.client
        number = self.next(run.queue)
        with reachable():
            client.set(name, number, nx=True, ex=RENUMBERED_KEEP_S)
            return cast("str | None", client.get(name)) or number

    def current_or_next(self, job_key: str, queue: str) -> tuple[Mapping[str, str] | None, str]:
        """Return what Redis knows of a job's latest run, or None and the next number of the queue."""
        known, number = self._ledger.current_or_number(job_key, queue)
        while known is None and not number:
            self.go_on(queue)
            known, number = self._ledger.current_or_number(job_key, queue)
        return known, number

    def go_on(self, queue: str) -> None:
        """Let the numbers of a queue go on above those on record."""
        largest = self._largest_on_record(queue)
        if self._ledger.number_from(queue, largest):
            log.info("numbers go on above those on record", queue=queue, largest=largest)

    def _largest_on_record(self, queue: str) -> int:
        rows = self._service.list_items(
            "media_job_runs",
            {"operation": {"_in": operations_of(queue)}, "number": {"_null": False}},
            sort=("-number",),
            limit=1,
            fields=("number",),
        )
        return int(rows[0]["number"]) if rows else 0


def operations_of(queue: str) -> list[str]:
    """Return the names of the operations that a queue serves."""
    return [operation.name for operation in OPERATIONS.values() if operation.queue == queue]
