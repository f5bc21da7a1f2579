"""A job as `GET /jobs/<id>` and the command line show it, put together from item, ledger and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from geniequeue.jobs.job import FINAL_STATES, Entry, ShownState, number_of
from geniequeue.jobs.ledger import Ledger
from geniequeue.records.protocol import Item, Records

ITEM_STATES: Mapping[str, ShownState] = {
    "queued": "waiting",
    "processing": "active",
    "completed": "completed",
    "failed": "failed",
    "error": "failed",
    "cancelled": "cancelled",
}
OPEN_STATUSES = frozenset({"queued", "processing"})
VIEW_FIELDS = (
    *("id", "user_created", "operation", "status", "creator_profile_id", "input_file_id", "priority", "bull_job_id"),
    *("progress", "result", "error_code", "error_message", "retry_count", "quota"),
    *("created_at", "started_at", "completed_at"),
)


def is_sent(item: Item) -> bool:
    """Tell whether an item was ever accepted onto a queue; one of an older system that ended was, in its way."""
    return bool(item["bull_job_id"]) or item["status"] != "queued"


def view_of(item: Item, entry: Entry | None) -> dict[str, Any]:
    """Return one job; the ledger, where it knows the job, is fresher than the item until the item is final.

    A delayed job has no `error`, but tells why it was put off.
    """
    state = ITEM_STATES.get(item["status"], "failed") if is_sent(item) else "created"
    # the item is written before the ledger at the end, so a final entry of an open item is an older round's
    live = entry if item["status"] in OPEN_STATUSES and entry and entry.state not in FINAL_STATES else None
    result = item["result"] or {}
    delayed = live if live and live.state == "delayed" else None
    return {
        "jobId": item["id"],
        "bullJobId": item["bull_job_id"],
        "operation": item["operation"],
        "input_file_id": item["input_file_id"],
        "priority": item["priority"],
        "state": live.state if live else state,
        "progress": live.progress if live else (item["progress"] or 0),
        "attempts": result.get("attempts") or (entry.tries if entry else 0),
        "retry_count": item["retry_count"] or 0,
        "outputs": result.get("outputs", []),
        "input": result.get("input"),
        "error": item["error_code"],
        "reason": delayed.why if delayed else result.get("reason"),
        "message": (delayed.failed_reason or None) if delayed else item["error_message"],
        "peak_memory_bytes": result.get("peak_memory_bytes"),
        "quota": item["quota"],
        "timings": timings_of(item, entry),
    }


def view_without_item(job_id: str, bull_job_id: str, entry: Entry) -> dict[str, Any]:
    """Return a job that lives in the ledger only, because its item does not exist."""
    failed = entry.state == "failed"
    return {
        "jobId": job_id,
        "bullJobId": bull_job_id,
        "operation": entry.name,
        "input_file_id": None,
        "priority": None,
        "state": entry.state,
        "progress": entry.progress,
        "attempts": entry.tries,
        "retry_count": 0,
        "outputs": [],
        "input": None,
        "error": entry.result.get("error") if failed else None,
        "reason": entry.result.get("reason") if failed else None,
        "message": entry.failed_reason,
        "peak_memory_bytes": None,
        "quota": None,
        "timings": _ledger_timings(entry),
    }


def entry_of(ledger: Ledger, queue: str, item: Item) -> Entry | None:
    """Return the ledger's entry of an item, None where it has none."""
    return ledger.entry(queue, number_of(item["bull_job_id"])) if item["bull_job_id"] else None


def timings_of(item: Item, entry: Entry | None) -> dict[str, Any]:
    """Return when a job was accepted, started and finished, and how long it waited and ran in seconds."""
    known = item["created_at"] if is_sent(item) else None
    accepted = _from_ms(entry.timestamp_ms) if entry else known
    return _timings(accepted, item["started_at"], item["completed_at"])


def _ledger_timings(entry: Entry) -> dict[str, Any]:
    return _timings(*map(_from_ms, (entry.timestamp_ms, entry.processed_ms, entry.finished_ms)))


def _timings(accepted: str | None, started: str | None, finished: str | None) -> dict[str, Any]:
    return {
        "accepted_at": accepted,
        "started_at": started,
        "finished_at": finished,
        "waited_s": _seconds(accepted, started),
        "ran_s": _seconds(started, finished),
    }


def _from_ms(ms: int | None) -> str | None:
    if not ms:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(start: str | None, end: str | None) -> float | None:
    if not start or not end:
        return None
    return round(max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()), 3)


def list_jobs(
    records: Records, *, state: ShownState | None, operation: str | None, page: int, per_page: int
) -> tuple[list[Item], int]:
    """Return one page of the items that the caller of `records` may see, newest first, and how many there are.

    Args:
        state: created, waiting and delayed are all `queued` on the item.
    """
    where: dict[str, Any] = {}
    if operation is not None:
        where["operation"] = operation
    if state is not None:
        statuses = {"delayed": ["queued", "processing"], "created": ["queued"]}.get(state) or [
            status for status, known in ITEM_STATES.items() if known == state
        ]
        where["status"] = {"_in": statuses}
    if state in ("created", "waiting"):
        where["bull_job_id"] = {"_null": state == "created"}
    items = records.list_items(
        "media_jobs",
        where,
        sort=("-created_at", "id"),
        limit=per_page,
        offset=(page - 1) * per_page,
        fields=VIEW_FIELDS,
    )
    return items, records.count_items("media_jobs", where)
