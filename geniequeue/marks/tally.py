"""How many traces were made: the bound on false accusations holds for a planned number of them."""

from __future__ import annotations

from geniequeue.operations import TRACING
from geniequeue.records.protocol import Records


def traces_made(service: Records) -> int:
    """Return how many traces were accepted, by one call; failed and retried ones count, so rather too many.

    Args:
        service: records with the service's rights.
    """
    return service.count_items("media_job_runs", {"operation": TRACING})
