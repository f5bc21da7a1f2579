"""The runs of `bench/chaos/overhead.py`: sender and worker compute the same ones."""

from __future__ import annotations

import uuid

from geniequeue.jobs.job import Run, Spec, bull_job_id, run_id_of
from geniequeue.operations import SCRAPE_QUEUE

DONE = "done"
_NAMES = uuid.UUID("c3a1f1de-0b0e-4f7a-8d6e-0f6a3f6f2b55")


def run_of(place: int) -> Run:
    """Return the run that takes some place, from 1; the same for the sender and for the worker."""
    job_id = str(uuid.uuid5(_NAMES, str(place)))
    spec = Spec("resize_image", job_id, "nobody", {})
    return Run(run_id_of(job_id, 1), 1, SCRAPE_QUEUE, bull_job_id("bull", SCRAPE_QUEUE, str(place)), spec, "")
