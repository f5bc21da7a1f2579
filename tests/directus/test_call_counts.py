"""What a job costs in calls to the record store, from POST to completed: all are named, so a new one is noticed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.accounts import Account
from tests.directus.conftest import DirectusService, await_end, new_user_name
from tests.service import await_true

ACCEPTING = [
    "GET /items/media_jobs/*",  # whose it is, and what it says
    "GET /files/*",  # the input, with the caller's own token
    "POST /items/media_job_runs",  # frozen; the only atomic claim there is
    "PATCH /items/media_jobs/*",  # queued
]
WORKING = [
    "GET /items/media_job_runs/*",  # what was frozen
    "PATCH /items/media_jobs/*",  # processing
    "GET /assets/*",  # the input's content
    "POST /items/media_job_outputs",  # announced, with its hash
    "POST /files",  # the output, under an id of its own, in its owner's name
    "POST /items/media_job_results",  # how it ended; the first wins
    "PATCH /items/media_jobs/*",  # completed
]
MOST_ACCEPTING, MOST_WORKING = 4, 8
CLOSING = "PATCH /items/media_job_runs"
"""Of all runs that ended in the last seconds at once, by one of the workers' main processes."""
COUNTING = "POST /items/user_usage_counts"
"""What those jobs used of their owners' quotas, likewise."""
CLEARING = ("GET /items/media_job_outputs", "GET /items/media_job_results")
"""Lists of what those jobs left behind, likewise; what is asked of a single job has its id behind it."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def calls(service: DirectusService) -> list[str]:
    """Return the calls so far, with a star for each id; what is done for many jobs at once is no single job's."""
    lines = [_UUID.sub("*", _path(line)) for line in service.proxy.requests]
    return [line for line in lines if line not in (CLOSING, COUNTING, *CLEARING)]


def without_progress(lines: list[str]) -> list[str]:
    """Leave out what was written about the job while the sandbox worked on it: at most one call in two seconds."""
    begin, end = lines.index("GET /assets/*") + 1, lines.index("POST /items/media_job_outputs")
    return [line for at, line in enumerate(lines) if not (begin <= at < end and line == "PATCH /items/media_jobs/*")]


@pytest.fixture
def creator(watched: DirectusService, photo: Path) -> Account:
    """Somebody whom the instance knows, because he had a job just now."""
    account = watched.account(new_user_name())
    job_id = watched.create(account.token, "resize_image", photo, {"width": 64})
    assert watched.enqueue(account.token, job_id, "resize_image").status == 200
    assert await_end(watched, job_id)["status"] == "completed"
    return account


def test_a_job_costs_four_calls_to_accept_and_seven_to_complete(
    watched: DirectusService, creator: Account, photo: Path
) -> None:
    job_id = watched.create(creator.token, "resize_image", photo, {"width": 65})
    watched.hold_workers()
    try:
        watched.proxy.requests.clear()
        assert watched.enqueue(creator.token, job_id, "resize_image").status == 200
        accepting = calls(watched)
        watched.proxy.requests.clear()
    finally:
        watched.hold_workers(hold=False)
    assert await_end(watched, job_id)["status"] == "completed"
    working = without_progress(calls(watched))

    assert accepting == ACCEPTING, "\n".join(accepting)
    assert working == WORKING, "\n".join(working)
    assert len(accepting) <= MOST_ACCEPTING
    assert len(working) <= MOST_WORKING


def test_the_runs_of_several_jobs_are_closed_by_one_call(
    watched: DirectusService, creator: Account, photo: Path
) -> None:
    jobs = [watched.create(creator.token, "resize_image", photo, {"width": width}) for width in (66, 67, 68)]
    records = watched.store.as_service()

    def all_open(value: bool) -> bool:
        runs = records.list_items("media_job_runs", {"job_id": {"_in": jobs}})
        return [run["open"] for run in runs] == [value] * len(jobs)

    await_true(lambda: CLOSING in map(_path, watched.proxy.requests), 30, watched.log)
    watched.proxy.requests.clear()
    for job_id in jobs:
        assert watched.enqueue(creator.token, job_id, "resize_image").status == 200
    await_true(lambda: all_open(value=False), 60, watched.log)

    assert 1 <= [_path(line) for line in watched.proxy.requests].count(CLOSING) < len(jobs)


def _path(line: str) -> str:
    return line.partition("?")[0]
