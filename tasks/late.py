"""What an attempt does that wakes up and finds that its job belongs to another one.

It looked before each write whether it was the newest; but it may have slept between the look and the write. So what it
may have written over is written again, and a file that it stored after its row was removed is removed.
"""

from __future__ import annotations

from contextlib import suppress

from geniequeue.errors import LedgerUnavailable, RecordForbidden, RecordsError
from geniequeue.jobs.finish import ended_as, tell_item
from geniequeue.log import get_logger
from tasks.attempt import Attempt

log = get_logger(__name__)


def undo_late_writes(attempt: Attempt) -> None:
    """Put right what a stale attempt may have written; where that cannot be done now, it is told."""
    try:
        _tell_standing_end(attempt)
        _remove_files_without_row(attempt)
    except (RecordsError, LedgerUnavailable) as error:
        log.error("writes of a stale attempt may stand", error=str(error), files=attempt.stored)


def _tell_standing_end(attempt: Attempt) -> None:
    """Write the end of the job's latest run into the item; one that has not ended writes its own."""
    runs = attempt.services.runs
    latest = runs.latest(attempt.run.spec.job_id)
    result = runs.result_of(latest) if latest is not None else None
    if latest is not None and result is not None:
        tell_item(attempt.services.records, latest, ended_as(result))


def _remove_files_without_row(attempt: Attempt) -> None:
    records = attempt.services.records
    rows = records.list_items("media_job_outputs", {"id": {"_in": attempt.stored}}, fields=("id",))
    for file_id in set(attempt.stored) - {row["id"] for row in rows}:
        with suppress(RecordForbidden):  # it is gone
            records.delete_file(file_id)
            log.info("a file that came too late was removed", file_id=file_id)
