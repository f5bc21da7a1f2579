"""The open runs of the records, page by page: by queue, priority and number, which is by age.

A page begins after the last run of the one before, not at a count of runs: runs close while others are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from geniequeue.jobs.finish import iso
from geniequeue.jobs.numbers import operations_of
from geniequeue.jobs.runs import RUN_FIELDS
from geniequeue.operations import QUEUES
from geniequeue.records.protocol import Item, Records

AT_ONCE = 100
_FIELDS = (*RUN_FIELDS, "priority", "number")


@dataclass(frozen=True)
class Mark:
    """Where a page ended.

    Attributes:
        queue: place in `QUEUES`.
        priority, number: of the last run.
    """

    queue: int = 0
    priority: int = -1
    number: int = 0

    def __str__(self) -> str:
        return f"{self.queue} {self.priority} {self.number}"

    @classmethod
    def parse(cls, text: str) -> Mark:
        """Read a mark back; an empty text is the beginning."""
        return cls(*map(int, text.split()))


class OpenRuns:
    """Open runs in the records.

    Args:
        service: records with the service's rights.
        at_once: runs of a page.
    """

    def __init__(self, service: Records, at_once: int = AT_ONCE) -> None:
        self._service = service
        self._at_once = at_once

    def page(self, after: Mark, age_s: float) -> tuple[list[Item], Mark | None]:
        """Return the next runs that were accepted so long ago, and where they end; None at the end of all."""
        before = iso(datetime.now(UTC) - timedelta(seconds=age_s))
        rows: list[Item] = []
        for queue in range(after.queue, len(QUEUES)):
            begin = after if queue == after.queue else Mark(queue)
            rows += self._of_queue(begin, before, self._at_once - len(rows))
            if len(rows) == self._at_once:
                return rows, Mark(queue, rows[-1]["priority"], rows[-1]["number"])
        return rows, None

    def _of_queue(self, after: Mark, before: str, limit: int) -> list[Item]:
        operations = operations_of(QUEUES[after.queue])
        if not operations:
            return []
        where = {"open": True, "operation": {"_in": operations}, "accepted_at": {"_lte": before}}
        rows: list[Item] = []
        if after.priority >= 0:
            rows = self._list(where | {"priority": after.priority, "number": {"_gt": after.number}}, limit)
        if len(rows) < limit:
            beyond = {"priority": {"_gt": after.priority}, "number": {"_null": False}}
            rows += self._list(where | beyond, limit - len(rows))
        return rows

    def _list(self, where: dict[str, Any], limit: int) -> list[Item]:
        return self._service.list_items(
            "media_job_runs", where, sort=("priority", "number"), limit=limit, fields=_FIELDS
        )
