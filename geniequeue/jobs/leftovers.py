"""Files that attempts stored in vain: removed when their run is closed, and once more some time later.

An attempt announces each file before it stores it. Of those announced, the files that a completed result names stay. An
attempt that slept through its lease may still announce a file, or end an upload, after its run was closed; it removes
that itself (`tasks.late`), unless it is killed just then. So each row, and each file that was not there to be removed,
is looked at a second time when no attempt can be writing any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import cast

from geniequeue.errors import RecordForbidden, RecordsError, RecordsUnavailable, RightMissing
from geniequeue.jobs import keys
from geniequeue.jobs.finish import iso
from geniequeue.jobs.ledger import Ledger, reachable
from geniequeue.log import get_logger
from geniequeue.records.protocol import Filter, Item, Records

AT_ONCE = 100
PAGES_AT_ONCE = 20
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
        kept = _files_in(self._list("media_job_results", {"id": {"_in": list(ended)}}, ("outcome", "result")))
        vain = [row for row in rows if row["id"] not in kept]
        last = self._last_attempts(ended, {row["job_id"] for row in vain})
        return self._remove(row for row in vain if row["attempt"] <= last.get(row["job_id"], row["attempt"]))

    def remove_late(self, *, late_after_s: float = LATE_AFTER_S) -> int:
        """Look again at what is old enough, and remove what no result names; return how many files that were."""
        removed = self._remove(self._noted(late_after_s))
        for _ in range(PAGES_AT_ONCE):
            rows = self._aged(late_after_s)
            removed += self._remove(self._of_no_result(rows))
            if rows:
                with reachable():
                    self._redis.set(keys.late_rows(), f"{rows[-1]['announced_at']} {rows[-1]['id']}")
            if len(rows) < AT_ONCE:
                break
        return removed

    def _last_attempts(self, ended: Mapping[str, str], job_ids: Set[str]) -> dict[str, int]:
        """Return, of jobs that are in a later round by now, the last attempt of the round that has ended."""
        if not job_ids:
            return {}
        runs = self._list("media_job_runs", {"job_id": {"_in": sorted(job_ids)}}, ("id", "job_id", "round", "spec"))
        rounds: dict[str, int] = {run["job_id"]: run["round"] for run in runs if run["id"] in ended}
        later = (run for run in runs if run["round"] == rounds.get(run["job_id"], 0) + 1)
        return {run["job_id"]: int(run["spec"]["attempts_before"]) for run in later}

    def _of_no_result(self, rows: Sequence[Item]) -> list[Item]:
        """Return the rows of jobs that have ended which no result of theirs names."""
        if not rows:
            return []
        job_ids = sorted({row["job_id"] for row in rows})
        runs = self._list("media_job_runs", {"job_id": {"_in": job_ids}}, ("id", "job_id", "open"))
        where = {"id": {"_in": [run["id"] for run in runs]}, "outcome": "completed"}
        kept = _files_in(self._list("media_job_results", where, ("outcome", "result")) if runs else [])
        # those of an open run are looked at when it is closed; of a job without a run nobody knows what it needs
        ended = {run["job_id"] for run in runs} - {run["job_id"] for run in runs if run["open"]}
        return [row for row in rows if row["id"] not in kept and row["job_id"] in ended]

    def _noted(self, late_after_s: float) -> list[Item]:
        """Return files that could not be removed, or were not there, when that was due."""
        with reachable():
            until = self._redis.time()[0] - late_after_s
            noted = cast("list[str]", self._redis.zrangebyscore(keys.leftovers(), 0, until, start=0, num=AT_ONCE))
        return [
            {"id": file_id, "job_id": job_id, "noted": True} for file_id, _, job_id in (n.partition("/") for n in noted)
        ]

    def _aged(self, late_after_s: float) -> list[Item]:
        """Return the next rows behind the last one that was looked at."""
        with reachable():
            seen = cast("str | None", self._redis.get(keys.late_rows()))
        since, _, last_id = (seen or f"{_ago(FIRST_LOOK_BACK_S)} ").partition(" ")
        fields = ("id", "job_id", "announced_at")
        # Directus compares no ids; of one moment there are few
        same = self._list("media_job_outputs", {"announced_at": since}, fields) if last_id else []
        rest = sorted((row for row in same if row["id"] > last_id), key=lambda row: str(row["id"]))
        return rest + self._page({"announced_at": {"_gt": since, "_lte": _ago(late_after_s)}}, fields)

    def _page(self, where: Filter, fields: Sequence[str]) -> list[Item]:
        return self._service.list_items(
            "media_job_outputs", where, sort=("announced_at", "id"), limit=AT_ONCE, fields=fields
        )

    def _list(self, collection: str, where: Filter, fields: Sequence[str]) -> list[Item]:
        return self._service.list_items(collection, where, limit=-1, fields=fields)

    def _remove(self, rows: Iterable[Item]) -> int:
        """Delete files, then their rows; return how many files went. What cannot be deleted now is noted for later."""
        return sum(self._remove_one(row) for row in rows)

    def _remove_one(self, row: Item) -> bool:
        note, removed = f"{row['id']}/{row['job_id']}", False
        try:
            removed = self._delete_file(row["id"])
            with suppress(RecordForbidden):  # somebody else was faster
                self._service.delete_item("media_job_outputs", row["id"])
        except RecordsUnavailable:
            raise
        except RecordsError as error:
            log.error("an output that nobody needs cannot be removed", file_id=row["id"], error=str(error))
            self._note(note)
            return False
        if removed or "noted" in row:
            with reachable():
                self._redis.zrem(keys.leftovers(), note)
        else:
            self._note(note)
        if removed:
            log.info("an output that nobody needs was removed", job_id=row["job_id"], file_id=row["id"])
        return removed

    def _delete_file(self, file_id: str) -> bool:
        """Delete a file; False where it is not there.

        Raises:
            RecordsError: it is, and may not be deleted.
        """
        try:
            self._service.delete_file(file_id)
        except RecordForbidden as error:
            try:
                self._service.get_file(file_id)
            except RecordForbidden:
                return False
            raise RightMissing(str(error), collection=error.collection, action=error.action) from error
        return True

    def _note(self, note: str) -> None:
        with reachable():
            self._redis.zadd(keys.leftovers(), {note: self._redis.time()[0]})


def _files_in(results: Iterable[Item]) -> set[str]:
    """Return the files that completed results name."""
    completed = (row["result"] or {} for row in results if row["outcome"] == "completed")
    return {output["file_id"] for result in completed for output in result.get("outputs", ())}


def _ago(seconds: float) -> str:
    return iso(datetime.now(UTC) - timedelta(seconds=seconds))
