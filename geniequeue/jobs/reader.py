"""Read jobs for a caller: his own, and for an administrator everyone's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from geniequeue.errors import RecordForbidden, RequestRefused
from geniequeue.jobs.job import FINAL_STATES, Entry, ShownState, job_key, number_of
from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.request import not_found, owned_by
from geniequeue.jobs.view import OPEN_STATUSES, VIEW_FIELDS, entry_of, list_jobs, view_of, view_without_item
from geniequeue.operations import QUEUES
from geniequeue.principal import Principal
from geniequeue.records.protocol import Item, RecordStore

PER_PAGE = 50


@dataclass(frozen=True)
class Page:
    """One page of jobs.

    Attributes:
        jobs: as `view_of` shows them, newest first.
        page: from 1.
        total: how many the records have; a job that changes state at the moment may be missing from a page.
    """

    jobs: list[dict[str, Any]]
    page: int
    per_page: int
    total: int


class JobReader:
    """Shows jobs.

    Args:
        store: records and files.
        ledger: of the queues.
    """

    def __init__(self, store: RecordStore, ledger: Ledger) -> None:
        self._store = store
        self._service = store.as_service()
        self._ledger = ledger

    def job(self, job_id: str, principal: Principal) -> dict[str, Any]:
        """Return one job.

        Raises:
            RequestRefused: 404 for one that does not exist or is somebody else's.
        """
        item = self._visible_item(job_id, principal)
        return self._view(item) if item else self._job_without_item(job_id, principal)

    def page(self, principal: Principal, *, state: ShownState | None, operation: str | None, page: int) -> Page:
        """Return one page of the caller's jobs, for an administrator of everyone's."""
        items, total = list_jobs(
            self._service if principal.admin else self._store.as_user(principal.token),
            state=state,
            operation=operation,
            page=page,
            per_page=PER_PAGE,
        )
        jobs = [view for view in map(self._view, items) if state in (None, view["state"])]
        return Page(jobs, page, PER_PAGE, total)

    def _visible_item(self, job_id: str, principal: Principal) -> Item | None:
        try:
            item = self._service.get_item("media_jobs", job_id, VIEW_FIELDS)
            owned_by(self._service, item, principal)
        except (RecordForbidden, RequestRefused):
            return None
        return item

    def _view(self, item: Item) -> dict[str, Any]:
        """Return an item's view; one that ended between the look at the item and at the ledger is read again."""
        entry = self._entry(item)
        if entry is not None and entry.state in FINAL_STATES and item["status"] in OPEN_STATUSES:
            item = self._service.get_item("media_jobs", item["id"], VIEW_FIELDS)
        return view_of(item, entry)

    def _entry(self, item: Item) -> Entry | None:
        """Return the ledger's entry of an item; an item that names another job's has none."""
        queue = (item["bull_job_id"] or "").split(":")[-2:-1]
        if not queue or queue[0] not in QUEUES:
            return None
        entry = entry_of(self._ledger, queue[0], item)
        return entry if entry is not None and entry.job_id == item["id"] else None

    def _job_without_item(self, job_id: str, principal: Principal) -> dict[str, Any]:
        """Return a job that this caller sent without creating its item first."""
        known = self._ledger.current(job_key(job_id, principal.user_id))
        bull = known["bull"] if known else ""
        entry = self._ledger.entry(bull.split(":")[-2], number_of(bull)) if bull else None
        if entry is None:
            raise not_found(job_id)
        return view_without_item(job_id, bull, entry)
