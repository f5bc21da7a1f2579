"""What `geniequeue doctor` says of a Redis that cannot hold the queues."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from geniequeue.jobs.ledger import connect
from geniequeue.jobs.workers import Workers
from tests.accounts import SECRET
from tests.redis_server import free_port, running_redis
from tests.service import BIN, clean_environ


@pytest.fixture
def own_url(tmp_path: Path) -> Iterator[str]:
    """A Redis of this test's own, which may be spoilt."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder) as url:
        yield url


def test_a_paused_queue_and_a_worker_that_went_silent_are_told(own_url: str, tmp_path: Path) -> None:
    client = connect(own_url)
    client.hset("bull:media-jobs:meta", "paused", 1)
    Workers(client).beat("scrape@here", ["scrape-jobs"])
    client.zincrby("gq:workers", -20, "scrape-jobs|scrape@here")
    lines = doctor(own_url, tmp_path)
    assert "paused" in lines["queue media-jobs"] and "resume" in lines["queue media-jobs"]
    assert "queue scrape-jobs" not in lines
    assert "scrape@here silent for 2" in lines["worker scrape-jobs"]
    assert "it hangs: restart it" in lines["worker scrape-jobs"]


def doctor(url: str, folder: Path, **environ: str) -> dict[str, str]:
    """Return the lines about Redis by the name of the check."""
    values = {"VAR_DIR": str(folder / "var"), "REDIS_URL": url, "DIRECTUS_SECRET": SECRET}
    ports = {"PORT": str(free_port()), "FLOWER_PORT": str(free_port())}
    done = subprocess.run(
        [str(BIN / "geniequeue"), "doctor"],
        env=clean_environ(**values, **ports, **environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    return {line.split("  ")[0]: " ".join(line.split()) for line in lines}


def test_f19_a_redis_that_evicts_is_a_problem_unless_somebody_allowed_it(own_url: str, tmp_path: Path) -> None:
    connect(own_url).config_set("maxmemory-policy", "allkeys-lru")
    said = "maxmemory-policy allkeys-lru jobs get lost: set it to noeviction"
    assert doctor(own_url, tmp_path)["Redis memory"] == f"Redis memory problem {said}"
    assert doctor(own_url, tmp_path, REDIS_EVICTION="allow")["Redis memory"] == f"Redis memory warning {said}"


def test_f18_f20_a_redis_that_refuses_writes_is_a_problem_with_its_reason(own_url: str, tmp_path: Path) -> None:
    client = connect(own_url)
    assert "Redis writes" not in doctor(own_url, tmp_path)
    client.config_set("maxmemory", 1)
    assert "raise its maxmemory" in doctor(own_url, tmp_path)["Redis writes"]
    client.config_set("maxmemory", 0)
    client.replicaof("127.0.0.1", free_port())
    assert "read-only replica" in doctor(own_url, tmp_path)["Redis writes"]
