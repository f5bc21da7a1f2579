"""The numbers of `GET /stats`: from the ledger, `active` from the workers where they answered lately."""

from __future__ import annotations

from typing import TypedDict

from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.snapshot import Snapshot


class QueueStats(TypedDict):
    """Numbers of one queue; completed and failed never fall."""

    waiting: int
    active: int
    completed: int
    failed: int
    delayed: int


def queue_stats(ledger: Ledger, snapshot: Snapshot) -> dict[str, QueueStats]:
    """Return the numbers of every queue; waits for no worker."""
    active = snapshot.active()
    return {
        queue: QueueStats(
            waiting=counts.waiting,
            active=active.get(queue, counts.active),
            completed=counts.completed,
            failed=counts.failed,
            delayed=counts.delayed,
        )
        for queue, counts in ledger.counts().items()
    }
