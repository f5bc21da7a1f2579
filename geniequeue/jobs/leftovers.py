"""Files that attempts stored in vain: removed when their run is closed, and once more some time later.

An attempt announces each file before it stores it, so nothing lies around that no row names. Of the announced ones, the
files that a completed result names stay. An attempt that slept through its lease may still announce and store a file
after its run was closed; so each row is looked at a second time, when no attempt can be writing any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import cast

from geniequeue.errors import RecordForbidden
from geniequeue.jobs import keys
from geniequeue.jobs.finish import iso
from geniequeue.jobs.ledger import Ledger, reachable
from geniequeue.log import get_logger
from geniequeue.records.protocol import Filter, Item, Records

AT_ONCE = 100
LATE_AFTER_S = 1800.0
"""When a row is looked at again: longer than any call of an attempt that sleeps and wakes up can take to be done."""
FIRST_LOOK_BACK_S = 86_400.0

log = get_logger(__name__)


class Leftovers:
    """Removes what nobody needs.

    Args:
        service: records with the service's rights.
        ledger: whose Redis keeps how far the second look has come.
    """

    def __init__(self, service: Records, ledger: Ledger) -> None:
        self._service = service
        self._redis = ledger.client

    def remove_of(self, ended: Mapping[str, str]) -> int:
        """Remove what the attempts of runs that have just ended stored in vain; return how many files that were.

        Args:
            ended: job by run.
        """
        rows = self._list("media_job_outputs", {"job_id": {"_in": list(ended.values())}}, ("id", "job_id", "attempt"))
        if not rows:
            return 0
        results = self._list("media_job_results", {"id": {"_in": list(ended)}}, ("id", "attempt", "outcome", "result"))
        # of a job that is in a later round by now, the rows of that are its own
        last_attempt = {ended[result["id"]]: int(result["attempt"]) for result in results}
        kept = _files_in(results)
        return self._remove(
            row for row in rows if row["id"] not in kept and row["attempt"] <= last_attempt.get(row["job_id"], 0)
        )

    def remove_late(self, *, late_after_s: float = LATE_AFTER_S) -> int:
        """Look at the next rows that are old enough, and remove what no result names; return how many files."""
        rows = self._aged(late_after_s)
        jobs = {row["job_id"] for row in rows}
        if not jobs:
            return 0
        runs = self._list("media_job_runs", {"job_id": {"_in": sorted(jobs)}}, ("id", "job_id", "open"))
        where = {"id": {"_in": [run["id"] for run in runs]}, "outcome": "completed"}
        kept = _files_in(self._list("media_job_results", where, ("id", "outcome", "result")) if runs else [])
        # those of an open run are looked at when it is closed
        done = jobs - {run["job_id"] for run in runs if run["open"]}
        removed = self._remove(row for row in rows if row["id"] not in kept and row["job_id"] in done)
        with reachable():
            self._redis.set(keys.late_rows(), f"{rows[-1]['announced_at']} {rows[-1]['id']}")
        return removed

    def _aged(self, late_after_s: float) -> list[Item]:
        """Return the next rows behind the last one that was looked at."""
        with reachable():
            seen = cast("str | None", self._redis.get(keys.late_rows()))
        since, _, last_id = (seen or f"{_ago(FIRST_LOOK_BACK_S)} ").partition(" ")
        fields = ("id", "job_id", "announced_at")
        same = self._page({"announced_at": since, "id": {"_gt": last_id}}, fields) if last_id else []
        if len(same) == AT_ONCE:
            return same
        return same + self._page({"announced_at": {"_gt": since, "_lte": _ago(late_after_s)}}, fields)

    def _page(self, where: Filter, fields: Sequence[str]) -> list[Item]:
        return self._service.list_items(
            "media_job_outputs", where, sort=("announced_at", "id"), limit=AT_ONCE, fields=fields
        )

    def _list(self, collection: str, where: Filter, fields: Sequence[str]) -> list[Item]:
        return self._service.list_items(collection, where, limit=-1, fields=fields)

    def _remove(self, rows: Iterable[Item]) -> int:
        """Delete files, then their rows; a crash in between leaves a row that is looked at again."""
        removed = 0
        for row in rows:
            with suppress(RecordForbidden):  # announced, never stored
                self._service.delete_file(row["id"])
            with suppress(RecordForbidden):  # somebody else was faster
                self._service.delete_item("media_job_outputs", row["id"])
            log.info("an output that nobody needs was removed", job_id=row["job_id"], file_id=row["id"])
            removed += 1
        return removed


def _files_in(results: Iterable[Item]) -> set[str]:
    """Return the files that completed results name."""
    completed = (row["result"] or {} for row in results if row["outcome"] == "completed")
    return {output["file_id"] for result in completed for output in result.get("outputs", ())}


def _ago(seconds: float) -> str:
    return iso(datetime.now(UTC) - timedelta(seconds=seconds))
