"""What puts a ledger right asks every store the same way, and gets the same answers."""

from __future__ import annotations

from geniequeue.jobs.ledger import Ledger
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
