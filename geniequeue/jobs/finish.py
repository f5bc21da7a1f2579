"""The one way a job ends: result row, quota, item, ledger, in this order; some seconds later its run is closed.

The result row has the run's id, so the first one that is written wins, whoever is late adopts it. Runs are closed last,
many at a time: an open run is one whose end is not written everywhere yet, or was a moment ago.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from geniequeue.errors import RecordForbidden, RecordNotUnique
from geniequeue.jobs.job import Run
from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.outcome import Cancelled, Completed, Failed, Final
from geniequeue.jobs.unit import end_unit
from geniequeue.log import get_logger
from geniequeue.quota.units import Units
from geniequeue.records.protocol import Item, Records

log = get_logger(__name__)


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        outcome: the one that stands in the records.
        won: whether it is the one that the caller brought.
        finished_at: when, UTC.
        peak_memory_bytes: of the work that made it.
        attempt: that made it; the last one of earlier runs where none had begun.
    """

    outcome: Final
    won: bool
    finished_at: str
    peak_memory_bytes: int | None = None
    attempt: int = 0


def now_iso() -> str:
    """Return the time as the records keep it: UTC, milliseconds, Z."""
    return iso(datetime.now(UTC))


def iso(when: datetime) -> str:
    """Return a time in UTC as the records keep it."""
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def finish(
    service: Records,
    ledger: Ledger,
    run: Run,
    attempt: int | None,
    outcome: Final,
    *,
    peak_memory_bytes: int | None = None,
) -> Ended:
    """End a run everywhere; repeating it changes nothing.

    Args:
        attempt: number of the attempt that ends, None for a caller that never held the job.
        peak_memory_bytes: largest resident size of the sandboxed work.
    """
    if run.ledger_only:
        ledger.finish(run, attempt, outcome)
        return Ended(outcome, won=True, finished_at=now_iso())
    ended = _claim_result(service, run, attempt, outcome, peak_memory_bytes)
    if not _overtaken(ledger, run):
        end_unit(Units(ledger.client), run, ended.outcome, ended.attempt)
        tell_item(service, run, ended)
    moved = ledger.finish(run, attempt, ended.outcome)
    log.info("job ended", outcome=outcome_name(ended.outcome), won=ended.won, ledger=moved)
    return ended


def _claim_result(
    service: Records, run: Run, attempt: int | None, outcome: Final, peak_memory_bytes: int | None
) -> Ended:
    row = {
        "id": run.id,
        "attempt": attempt or run.spec.attempts_before,
        "peak_memory_bytes": peak_memory_bytes,
        "finished_at": now_iso(),
        **result_fields(outcome),
    }
    try:
        service.create_item("media_job_results", row)
    except RecordNotUnique:
        standing = service.get_item("media_job_results", run.id)
        return ended_as(standing, won=_same(standing, row))
    return Ended(outcome, True, row["finished_at"], peak_memory_bytes, row["attempt"])


def ended_as(row: Item, *, won: bool = False) -> Ended:
    """Read from a result row how its run has ended."""
    about = row["finished_at"], row["peak_memory_bytes"], row["attempt"]
    return Ended(outcome_of(row), won, *about)


def _overtaken(ledger: Ledger, run: Run) -> bool:
    """Tell whether the job has moved on to a later round, to which item and unit belong by now."""
    known = ledger.current(run.key)
    return known is not None and int(known["round"]) > run.round


def tell_item(service: Records, run: Run, ended: Ended) -> None:
    """Write the end into the item, unless it is gone."""
    try:
        fields = item_fields(ended.outcome, ended.finished_at, ended.peak_memory_bytes)
        service.update_item("media_jobs", run.spec.job_id, fields)
    except RecordForbidden:
        if service.count_items("media_jobs", {"id": run.spec.job_id}):
            raise
        log.warning("the item of an ended job is gone", job_id=run.spec.job_id)


def _same(standing: Item, row: Mapping[str, Any]) -> bool:
    """Tell whether the standing row is the caller's own, written by a try of his whose answer was lost."""
    return all(standing[name] == row[name] for name in ("attempt", "outcome", "result"))


def outcome_name(outcome: Final) -> str:
    """Return `completed`, `failed` or `cancelled`."""
    return type(outcome).__name__.lower()


def result_fields(outcome: Final) -> dict[str, Any]:
    """Return an outcome as columns of `media_job_results`."""
    match outcome:
        case Completed(result):
            return {"outcome": "completed", "error_code": None, "result": dict(result)}
        case Failed(code, message, reason):
            result = {"message": message, "reason": reason}
            return {"outcome": "failed", "error_code": code, "result": result}
        case Cancelled():
            return {"outcome": "cancelled", "error_code": None, "result": None}


def outcome_of(row: Item) -> Final:
    """Read an outcome back from its row."""
    if row["outcome"] == "completed":
        return Completed(row["result"] or {})
    if row["outcome"] == "cancelled":
        return Cancelled()
    stored = row["result"] or {}
    return Failed(str(row["error_code"]), str(stored.get("message", "")), stored.get("reason"))


def item_fields(outcome: Final, finished_at: str, peak_memory_bytes: int | None = None) -> dict[str, Any]:
    """Return an outcome as fields of the `media_jobs` item."""
    fields: dict[str, Any] = {"status": outcome_name(outcome), "completed_at": finished_at}
    match outcome:
        case Completed(result):
            return fields | {"progress": 100, "result": dict(result), "error_code": None, "error_message": None}
        case Failed(code, message, reason):
            result = {"reason": reason, "peak_memory_bytes": peak_memory_bytes}
            return fields | {"error_code": code, "error_message": message, "result": result}
        case Cancelled():
            return fields | {"error_code": "cancelled", "error_message": "The job was cancelled."}
