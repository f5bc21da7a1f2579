"""Bull Board over our queues, rendered by a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.jobs.outcome import Completed, Failed
from geniequeue.operations import MEDIA_QUEUE, QUEUES
from tests.interop import browser
from tests.interop.conftest import OPERATION, WORKER, Jobs
from tests.interop.node import running


@pytest.fixture
def board(node_packages: None, redis_client: redis.Redis, redis_url: str) -> Iterator[str]:
    with running("board.mjs", REDIS_URL=redis_url, QUEUES=",".join(QUEUES), READ_ONLY="1") as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


def keep_picture(url: str, profile: Path, name: str) -> None:
    """Save a picture for whoever wants to look: `SCREENSHOTS=folder pytest tests/interop`."""
    if folder := os.environ.get("SCREENSHOTS"):
        browser.screenshot(url, profile, Path(folder) / f"{name}.png")


def test_the_list_of_queues_shows_ours(board: str, jobs: Jobs, ledger: Ledger, redis_url: str, tmp_path: Path) -> None:
    worker = connect(redis_url, name=ledger.queue_keys(MEDIA_QUEUE).connection_name(WORKER))
    worker.ping()
    jobs.accept(0)
    jobs.accept()
    jobs.lease(jobs.accept())
    jobs.ended(Completed({"outputs": []}))
    jobs.ended(Failed("input", "The file is empty."))
    html = browser.dom(f"{board}/", tmp_path)
    keep_picture(f"{board}/", tmp_path, "queues")
    for queue in QUEUES:
        assert queue in html
    assert html.count("No workers") == len(QUEUES) - 1
    worker.close()


def test_the_page_of_a_job_shows_its_name_result_and_times(board: str, jobs: Jobs, tmp_path: Path) -> None:
    run = jobs.ended(Completed({"outputs": [{"mime": "image/webp"}]}))
    url = f"{board}/queue/{MEDIA_QUEUE}/{run.number}"
    html = browser.dom(url, tmp_path)
    keep_picture(url, tmp_path, "job")
    assert OPERATION in html
    assert run.spec.job_id in html


def test_the_page_of_a_failed_job_shows_why(board: str, jobs: Jobs, tmp_path: Path) -> None:
    run = jobs.ended(Failed("input", "The file is empty."))
    url = f"{board}/queue/{MEDIA_QUEUE}?status=failed"
    html = browser.dom(url, tmp_path)
    keep_picture(url, tmp_path, "failed")
    assert f"#{run.number}" in html
    assert "The file is empty." in html
