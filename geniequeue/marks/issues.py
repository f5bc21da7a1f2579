"""Issues: one row for each copy that was marked for a fan, and the reading of them.

A copy's row is written before the copy is released, under an id that is derived from its job. So whoever tries the job
again finds the row, and marks the copy with the same trace id; an attempt that finds another id there than it has
marked with must not release its copy.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from geniequeue.errors import RecordForbidden, RecordInvalid, RecordNotUnique
from geniequeue.records.protocol import Filter, Item, Records

ISSUES = "watermark_issues"
_OUTPUTS, _ITEMS = "media_job_outputs", "media_jobs"
MARK_VERSION = 1
TRACE_ID_BITS = 64
PAYLOAD_DIGITS = 12
"""Of the 16 digits of a trace id, those that the blind layer of a mark carries, the first ones: 48 bits."""
PAGES = (5000, 50)
"""Rows of one call; the second number for a Directus whose QUERY_LIMIT_MAX is below the first."""
MAX_CHAIN = 16

_NAMESPACE = uuid.UUID("0b7f7a39-5f0e-5b0c-8f3f-6a0d3b1e2c55")


def issue_id_of(job_id: str) -> str:
    """Return the id of the one copy that a job issues."""
    return str(uuid.uuid5(_NAMESPACE, f"issue:{job_id}"))


def draw_trace_id() -> int:
    """Draw 64 random bits."""
    return secrets.randbits(TRACE_ID_BITS)


def written(trace_id: int) -> str:
    """Return a trace id as the records keep it: 16 hex digits."""
    return f"{trace_id:016x}"


@dataclass(frozen=True)
class Issue:
    """One copy.

    Attributes:
        id: from the job.
        trace_id: 64 bits in the copy.
        fan_id: whose it is; no log line ever carries it.
        owner_id: owner of the job.
        asset_file_id: what was marked.
        output_file_id: the copy.
        key_id: names the key that made the mark.
        parent_id: the issue of the copy that was marked once more, None for an asset that is no copy.
        issued_at: ISO 8601, UTC; empty for one that is not on record yet.
    """

    id: str
    trace_id: int
    fan_id: str
    job_id: str
    owner_id: str
    asset_file_id: str
    output_file_id: str
    key_id: str
    strength: float
    parent_id: str | None = None
    version: int = MARK_VERSION
    issued_at: str = ""

    def as_row(self) -> dict[str, Any]:
        """Return the row of an issue that is not on record yet; the store says when that is."""
        row = {name: value for name, value in vars(self).items() if name not in ("parent_id", "issued_at")}
        trace_id = written(self.trace_id)
        return {**row, "trace_id": trace_id, "payload": trace_id[:PAYLOAD_DIGITS], "parent_issue_id": self.parent_id}

    @classmethod
    def from_row(cls, row: Item) -> Issue:
        """Read an issue back."""
        members = {name: row[name] for name in cls.__dataclass_fields__ if name in row}
        return cls(**{**members, "trace_id": int(row["trace_id"], 16), "parent_id": row["parent_issue_id"]})


class Issues:
    """The issues on record.

    Args:
        service: records with the service's rights.
    """

    def __init__(self, service: Records) -> None:
        self._service = service

    def of_job(self, job_id: str) -> Issue | None:
        """Return the copy that a job has issued."""
        return self.get(issue_id_of(job_id))

    def get(self, issue_id: str) -> Issue | None:
        """Return an issue by its id."""
        try:
            return Issue.from_row(self._service.get_item(ISSUES, issue_id))
        except RecordForbidden:
            return None

    def of_output(self, file_id: str) -> Issue | None:
        """Return the issue of which a file is the copy."""
        return next(iter(self._find({"output_file_id": file_id})), None)

    def behind(self, file_id: str) -> Issue | None:
        """Return the copy that a file is, or that jobs of ours have made it from, however many one after the other."""
        for _ in range(MAX_CHAIN):
            found = self.of_output(file_id)
            if found is not None:
                return found
            rows = self._service.list_items(_OUTPUTS, {"file_id": file_id}, limit=1, fields=("job_id",))
            try:
                made_by = self._service.get_item(_ITEMS, rows[0]["job_id"], ("input_file_id",)) if rows else {}
            except RecordForbidden:
                return None  # its item was deleted
            if not made_by.get("input_file_id"):
                return None
            file_id = str(made_by["input_file_id"])
        return None

    def of_payload(self, payload: int) -> Issue | None:
        """Return the issue whose trace id begins with these 48 bits."""
        return next(iter(self._find({"payload": f"{payload:012x}"})), None)

    def of_trace_ids(self, trace_ids: list[int]) -> list[Issue]:
        """Return the issues with these trace ids, in any order."""
        return self._find({"trace_id": {"_in": [written(each) for each in trace_ids]}}) if trace_ids else []

    def children_of(self, issue_id: str) -> list[Issue]:
        """Return the copies that were made from a copy, oldest first."""
        return sorted(self._find({"parent_issue_id": issue_id}), key=lambda each: each.issued_at)

    def chain_of(self, issue: Issue) -> list[Issue]:
        """Return the copies that a copy was made from, the first one first, and the copy itself."""
        chain = [issue]
        while chain[0].parent_id is not None and len(chain) < MAX_CHAIN:
            parent = self.get(chain[0].parent_id)
            if parent is None:
                break
            chain.insert(0, parent)
        return chain

    def record(self, issue: Issue) -> Issue:
        """Put an issue on record, and return the one that stands there for its job.

        Raises:
            RecordNotUnique: another job has this trace id; draw another one.
        """
        try:
            return Issue.from_row(self._service.create_item(ISSUES, issue.as_row()))
        except RecordNotUnique:
            standing = self.get(issue.id)
            if standing is None:
                raise
        if standing.trace_id == issue.trace_id and standing.output_file_id != issue.output_file_id:
            # an earlier attempt wrote the row, and its copy came to nothing
            changes = {"output_file_id": issue.output_file_id}
            return Issue.from_row(self._service.update_item(ISSUES, issue.id, changes))
        return standing

    def has_copies(self, asset_file_id: str, owner_id: str | None) -> bool:
        """Tell whether copies of an asset are on record; of one owner, or with None of anybody."""
        return bool(self._find(_copies_of(asset_file_id, owner_id), limit=1))

    def count(self, owner_id: str | None) -> int:
        """Return how many copies an owner's jobs have issued, with None everybody's together."""
        return self._service.count_items(ISSUES, {"owner_id": owner_id} if owner_id else {})

    def copies(self, asset_file_id: str, owner_id: str | None) -> Iterator[list[tuple[str, int]]]:
        """Yield key id and trace id of every copy of an asset, a page at a time.

        Args:
            owner_id: whose copies; None for anybody's.
        """
        for rows in self._pages(_copies_of(asset_file_id, owner_id), ("key_id", "trace_id")):
            yield [(row["key_id"], int(row["trace_id"], 16)) for row in rows]

    def assets_of(self, owner_id: str) -> list[str]:
        """Return the files that an owner's jobs have issued copies of, the one with the newest copy first."""
        found: dict[str, None] = {}
        for rows in self._pages({"owner_id": owner_id}, ("asset_file_id",)):
            for row in rows:
                found.pop(row["asset_file_id"], None)
                found[row["asset_file_id"]] = None
        return list(reversed(found))

    def _pages(self, where: Filter, fields: Sequence[str]) -> Iterator[list[Item]]:
        seen, size = 0, PAGES[0]
        while True:
            rows, size = self._page(where, fields, seen, size)
            if rows:
                yield rows
            seen += len(rows)
            if len(rows) < size:
                return

    def _page(self, where: Filter, fields: Sequence[str], seen: int, size: int) -> tuple[list[Item], int]:
        """Return a page by age: rows are never removed, and new ones come at the end."""
        sort = ("issued_at", "id")
        try:
            return self._service.list_items(ISSUES, where, sort=sort, limit=size, offset=seen, fields=fields), size
        except RecordInvalid:
            if size == PAGES[-1]:
                raise
            return self._page(where, fields, seen, PAGES[-1])

    def _find(self, where: Filter, limit: int = PAGES[-1]) -> list[Issue]:
        return [Issue.from_row(row) for row in self._service.list_items(ISSUES, where, limit=limit)]


def _copies_of(asset_file_id: str, owner_id: str | None) -> dict[str, Any]:
    return {"asset_file_id": asset_file_id} | ({"owner_id": owner_id} if owner_id else {})
