"""When a worker may start, tried with real worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from geniequeue.jobs.ledger import connect
from geniequeue.jobs.workers import FORGOTTEN_AFTER_S, Workers
from tests.redis_server import running_redis
from tests.service import BIN, REPOSITORY, await_true, clean_environ

SECRET = "s" * 40


def start_media_worker(redis_url: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    values = {"VAR_DIR": str(folder / "var"), "REDIS_URL": redis_url, "DIRECTUS_SECRET": SECRET, **environ}
    return subprocess.run(
        [str(BIN / "celery"), "-A", "tasks", "worker", "-Q", "media-jobs", "-c", "1"],
        cwd=REPOSITORY,
        env=clean_environ() | values,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_media_worker_refuses_to_start_without_its_sandbox(redis_url: str, tmp_path: Path) -> None:
    only_python = tmp_path / "bin"
    only_python.mkdir()
    (only_python / "python3").symlink_to(BIN / "python3")
    done = start_media_worker(redis_url, tmp_path, PATH=str(only_python))
    assert done.returncode != 0
    assert "does not start without its sandbox" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_without_a_redis_address_says_so_in_one_sentence(tmp_path: Path) -> None:
    done = start_media_worker("", tmp_path)
    assert done.returncode != 0
    assert "REDIS_URL: not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_with_a_key_of_the_wrong_length_says_so_in_one_sentence(redis_url: str, tmp_path: Path) -> None:
    done = start_media_worker(redis_url, tmp_path, WATERMARK_KEY_B64="YWJj")
    assert done.returncode != 0
    assert "WATERMARK_KEY_B64: expected 32 bytes in Base64" in done.stderr
    assert "got 3 bytes" in done.stderr
    assert "YWJj" not in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_killed_worker_left_is_removed_before_the_first_job_and_missing_keys_are_named(
    redis_url: str, tmp_path: Path
) -> None:
    left = tmp_path / "var" / "media-tmp" / "job-dead-1" / "in"
    left.mkdir(parents=True)
    values = {"VAR_DIR": str(tmp_path / "var"), "REDIS_URL": redis_url, "DIRECTUS_SECRET": SECRET}
    worker = subprocess.Popen(
        [str(BIN / "celery"), "-A", "tasks", "worker", "-Q", "media-jobs", "-c", "1"],
        cwd=REPOSITORY,
        env=clean_environ() | values,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert worker.stdout is not None
        said = []
        for line in worker.stdout:
            said.append(line)
            if "ready." in line:
                break
        assert list((tmp_path / "var" / "media-tmp").iterdir()) == []
        for name in ("WATERMARK_KEY_B64 is not set", "EVIDENCE_KEY_B64 is not set"):
            assert any(name in line for line in said)
    finally:
        worker.terminate()
        worker.communicate(timeout=120)


@contextmanager
def running_worker(redis_url: str, folder: Path, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """Run the worker of the scrape queue; it is up when it has said so."""
    values = {"VAR_DIR": str(folder / "var"), "REDIS_URL": redis_url, "DIRECTUS_SECRET": SECRET, **environ}
    worker = subprocess.Popen(
        [str(BIN / "celery"), "-A", "tasks", "worker", "-Q", "scrape-jobs", "-c", "1", "-n", "scrape@here"],
        cwd=REPOSITORY,
        env=clean_environ() | values,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert worker.stdout is not None
        assert any("ready." in line for line in worker.stdout)
        yield worker
    finally:
        worker.terminate()
        worker.communicate(timeout=120)


@pytest.fixture
def evicting_url(tmp_path: Path) -> Iterator[str]:
    """A Redis that throws keys away when it is full."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder) as url:
        connect(url).config_set("maxmemory-policy", "allkeys-lru")
        yield url


def test_f19_a_worker_refuses_a_redis_that_evicts(evicting_url: str, tmp_path: Path) -> None:
    done = start_media_worker(evicting_url, tmp_path)
    assert done.returncode != 0
    assert "maxmemory-policy is allkeys-lru; set it to noeviction" in done.stderr
    assert "Traceback" not in done.stderr


def test_f19_a_worker_that_may_starts_with_it_all_the_same(evicting_url: str, tmp_path: Path) -> None:
    with running_worker(evicting_url, tmp_path, REDIS_EVICTION="allow"):
        assert Workers(connect(evicting_url)).live()["scrape-jobs"] == ["scrape@here"]


def test_the_heartbeats_of_a_killed_worker_end_by_themselves(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path
) -> None:
    workers = Workers(redis_client)
    with running_worker(redis_url, tmp_path) as worker:
        assert workers.live() == {"media-jobs": [], "scrape-jobs": ["scrape@here"], "onboarding-jobs": []}
        assert 0 < redis_client.ttl("gq:workers") <= FORGOTTEN_AFTER_S
        os.kill(worker.pid, signal.SIGKILL)
        await_true(lambda: not workers.live()["scrape-jobs"], 20, lambda: "a dead worker lives on")


def test_a_worker_that_ends_says_so(redis_url: str, redis_client: redis.Redis, tmp_path: Path) -> None:
    with running_worker(redis_url, tmp_path):
        assert Workers(redis_client).live()["scrape-jobs"] == ["scrape@here"]
    assert redis_client.zcard("gq:workers") == 0
