"""The numbers of `GET /stats`: from the ledger, `active` from the workers where they answered lately."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class QueueCounts:
    """Numbers of one queue at one instant; completed, failed and cancelled never fall."""

    waiting: int
    active: int
    completed: int
    failed: int
    delayed: int
    cancelled: int


@dataclass(frozen=True)
class TaxonomyFigures:
    """Use of the taxonomy cache since it was first built; `size` is the number of entries now."""

    hits: int
    misses: int
    size: int


@dataclass(frozen=True)
class Overview:
    """What one look at Redis tells.

    Attributes:
        counts: of the ledger, by queue.
        active: tasks by queue as the workers last said; a queue whose workers did not answer lately is left out.
        taxonomy: of all processes together.
    """

    counts: Mapping[str, QueueCounts]
    active: Mapping[str, int]
    taxonomy: TaxonomyFigures

    def stats(self) -> Mapping[str, QueueCounts]:
        """Return the numbers of every queue as its workers see them."""
        return {
            queue: replace(counts, active=self.active.get(queue, counts.active))
            for queue, counts in self.counts.items()
        }
