"""What puts a ledger right asks every store the same way, and gets the same answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from geniequeue.jobs.finish import iso
from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.leftovers import Leftovers
from geniequeue.jobs.numbers import Numbers
from geniequeue.jobs.open_runs import Mark, OpenRuns
from geniequeue.jobs.tallies import tallies
from geniequeue.operations import MEDIA_QUEUE, SCRAPE_QUEUE
from geniequeue.records.protocol import Records
from tests.contract.conftest import new_id, run_of


def test_open_runs_come_page_by_page_by_priority_and_number(service: Records) -> None:
    numbers = {9: 10, 10: 10, 11: 5, 100: 0, 101: 10}
    for number, priority in numbers.items():
        service.create_item("media_job_runs", run_of(new_id(), number=number, priority=priority))
    service.create_item("media_job_runs", run_of(new_id(), number=7, open=False))
    service.create_item("media_job_runs", run_of(new_id(), number=8, accepted_at="2999-01-01T00:00:00.000Z"))
    runs, seen, mark = OpenRuns(service, at_once=2), [], Mark()
    while mark is not None:
        rows, mark = runs.page(mark, 0)
        seen.append([row["number"] for row in rows])
    assert seen == [[100, 11], [9, 10], [101]]


def test_numbers_go_on_above_the_largest_on_record(service: Records, ledger: Ledger) -> None:
    for number in (9, 10, 2**40):
        service.create_item("media_job_runs", run_of(new_id(), number=number, open=False))
    service.create_item("media_job_runs", run_of(new_id()))
    numbers = Numbers(service, ledger)
    assert numbers.next(MEDIA_QUEUE) == str(2**40 + 1)
    assert numbers.current_or_next(new_id(), MEDIA_QUEUE) == (None, str(2**40 + 2))
    assert numbers.next(SCRAPE_QUEUE) == "1"


def test_ended_jobs_are_counted_by_queue_and_outcome(service: Records) -> None:
    for status in ("completed", "completed", "failed", "error", "cancelled", "queued", "processing"):
        item = {"operation": "resize_image", "status": status, "bull_job_id": "bull:media-jobs:1"}
        service.create_item("media_jobs", item)
    service.create_item("media_jobs", {"operation": "resize_image", "status": "failed"})
    service.create_item("media_job_runs", run_of(new_id(), round=2))
    assert tallies(service, MEDIA_QUEUE) == {"completed": 2, "failed": 3, "cancelled": 1}
    assert tallies(service, SCRAPE_QUEUE) == {}


def test_leftovers_of_one_moment_are_looked_at_page_by_page(
    service: Records, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geniequeue.jobs.leftovers.AT_ONCE", 2)
    job = service.create_item("media_jobs", {"operation": "resize_image"})
    service.create_item("media_job_runs", run_of(job["id"], number=1, open=False))
    announced_at = iso(datetime.now(UTC) - timedelta(minutes=5))
    for attempt in (1, 2, 3):
        place = {"id": new_id(), "job_id": job["id"], "attempt": attempt, "announced_at": announced_at}
        service.create_item("media_job_outputs", {**place, "file_id": place["id"]})
    leftovers = Leftovers(service, ledger)
    for _ in range(2):
        leftovers.remove_late(late_after_s=60)
    assert service.count_items("media_job_outputs", {"job_id": job["id"]}) == 0
