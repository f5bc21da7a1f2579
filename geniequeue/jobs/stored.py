"""What the ledger's hashes hold; BullMQ's own tools can write to them too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from geniequeue.jobs.job import Entry, State
from geniequeue.jobs.outcome import Cancelled, Completed, Failed, Final

CANCELLED_REASON = "cancelled"
"""`failedReason` of a cancelled job, for BullMQ has no such state."""


def entry_of(state: str, stored: Mapping[str, str]) -> Entry:
    """Read a job's hash; `state` is the set it lies in."""
    cancelled = state == "failed" and stored.get("failedReason") == CANCELLED_REASON
    progress = json.loads(stored.get("progress", "0"))
    return Entry(
        state=cast("State", "cancelled" if cancelled else state),
        name=stored.get("name", ""),
        progress=float(progress) if isinstance(progress, int | float) else 0.0,
        tries=int(stored.get("ats", "0")),
        timestamp_ms=int(stored.get("timestamp", "0")),
        processed_ms=int(stored["processedOn"]) if "processedOn" in stored else None,
        finished_ms=int(stored["finishedOn"]) if "finishedOn" in stored else None,
        failed_reason=stored.get("failedReason"),
        why=stored.get("why") or None,
        result=object_of(stored.get("returnvalue")),
        job_id=str(object_of(stored.get("data")).get("jobId", "")),
    )


def object_of(stored: str | None) -> Mapping[str, Any]:
    """Read a JSON object; anything else counts as an empty one."""
    try:
        value = json.loads(stored) if stored else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def final_fields(outcome: Final) -> tuple[str, Mapping[str, Any], str]:
    """Return an outcome's name, `returnvalue` and `failedReason`."""
    match outcome:
        case Completed(result):
            return "completed", result, ""
        case Failed(code, message, reason):
            return "failed", {"error": code, "reason": reason}, message
        case Cancelled():
            return "cancelled", {}, CANCELLED_REASON
