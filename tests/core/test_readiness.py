"""What turns `/readyz` red, each by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from geniequeue.config import Settings
from geniequeue.jobs import fitness
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.jobs.workers import Workers
from geniequeue.operations import QUEUES
from geniequeue.readiness import QUOTA_REJECTED, WORKERS_UNKNOWN, Readiness
from geniequeue.records.embedded import EmbeddedStore
from tests.redis_server import free_port, running_redis
from tests.service import await_true


def test_a_quota_that_the_records_refuse_to_serve_is_told(
    settings: Settings, store: EmbeddedStore, ledger: Ledger, redis_client: redis.Redis
) -> None:
    workers, rejected = Workers(redis_client), False
    workers.beat("all@here", QUEUES)
    readiness = Readiness(settings, store, ledger, workers, quota_rejected=lambda: rejected)
    assert readiness.check().ok
    rejected = True
    report = readiness.check()
    assert (report.ok, report.checks["quota"].ok, report.checks["quota"].message) == (False, False, QUOTA_REJECTED)


def test_where_nothing_is_counted_nothing_is_said_of_the_quota(
    settings: Settings, store: EmbeddedStore, ledger: Ledger, redis_client: redis.Redis
) -> None:
    workers = Workers(redis_client)
    workers.beat("all@here", QUEUES)
    report = Readiness(settings, store, ledger, workers).check()
    assert report.ok
    assert set(report.checks) == {"redis", "records", "disk", *(f"worker:{queue}" for queue in QUEUES)}


def test_a_queue_without_a_worker_is_named(
    settings: Settings, store: EmbeddedStore, ledger: Ledger, redis_client: redis.Redis
) -> None:
    workers = Workers(redis_client)
    workers.beat("one@here", ["media-jobs", "onboarding-jobs"])
    report = Readiness(settings, store, ledger, workers).check()
    assert [name for name, check in report.checks.items() if not check.ok] == ["worker:scrape-jobs"]


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Any]:
    """An operator's connection to a Redis of this test's own, which may be spoilt."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder) as url:
        yield connect(url)


@pytest.fixture
def own(settings: Settings, store: EmbeddedStore, own_redis: Any) -> Readiness:
    """Readiness with that Redis, on connections of its own."""
    kwargs = own_redis.connection_pool.connection_kwargs
    url = f"redis://:{kwargs['password']}@127.0.0.1:{kwargs['port']}/0"
    client = connect(url)
    return Readiness(settings, store, Ledger(client, "bull"), Workers(client))


def told(readiness: Readiness) -> str | None:
    """Return what is said about Redis, None where nothing is wrong with it."""
    began = time.monotonic()
    check = readiness.check().checks["redis"]
    assert time.monotonic() - began < 5
    assert check.ok is (check.message is None)
    return check.message


def test_while_redis_is_away_nothing_is_said_of_workers_that_may_live(settings: Settings, store: EmbeddedStore) -> None:
    client = connect(f"redis://127.0.0.1:{free_port()}/0")
    report = Readiness(settings, store, Ledger(client, "bull"), Workers(client)).check()
    workers = [report.checks[f"worker:{queue}"] for queue in QUEUES]
    assert [(check.ok, check.message) for check in workers] == [(False, WORKERS_UNKNOWN)] * len(QUEUES)


def fill(client: Any) -> None:
    client.config_set("maxmemory", 1)


def make_replica(client: Any) -> None:
    client.replicaof("127.0.0.1", free_port())


def revoke(client: Any) -> None:
    client.config_set("requirepass", "another")
    client.client_kill_filter(_type="normal", skipme=True)


def deny(client: Any) -> None:
    client.execute_command("ACL", "SETUSER", "default", "-set")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(fill, fitness.FULL, id="f18-full"),
        pytest.param(make_replica, fitness.REPLICA, id="f20-replica"),
        pytest.param(revoke, fitness.REFUSED, id="f20-auth"),
        pytest.param(deny, fitness.DENIED, id="f20-acl"),
    ],
)
def test_a_redis_that_takes_no_writes_is_told_with_the_reason(
    own: Readiness, own_redis: Any, spoil: Callable[[Any], None], message: str
) -> None:
    assert told(own) is None
    spoil(own_redis)
    assert told(own) == message


def test_f18_what_was_full_is_ready_again_when_it_has_room(own: Readiness, own_redis: Any) -> None:
    fill(own_redis)
    assert told(own) == fitness.FULL
    own_redis.config_set("maxmemory", 0)
    assert told(own) is None


def test_f30_a_redis_whose_disk_fails_is_told_until_it_can_save(own: Readiness, own_redis: Any) -> None:
    kept = Path(own_redis.config_get("dir")["dir"])
    lost = kept / "lost"
    lost.mkdir()
    own_redis.config_set("dir", str(lost))
    own_redis.config_set("save", "3600 1")
    lost.rmdir()
    own_redis.bgsave()
    await_true(lambda: own_redis.info("persistence")["rdb_last_bgsave_status"] == "err", 20, lambda: "it was saved")
    assert told(own) == fitness.DISK
    own_redis.config_set("dir", str(kept))
    # a Redis that cannot save does not end when it is asked to
    own_redis.config_set("save", "")
    assert told(own) is None


def test_f19_a_redis_that_evicts_is_told_unless_somebody_allowed_it(
    own: Readiness, own_redis: Any, settings: Settings, store: EmbeddedStore
) -> None:
    own_redis.config_set("maxmemory-policy", "volatile-lru")
    assert told(own) == fitness.evicts("volatile-lru")
    allowed = Readiness(replace(settings, may_evict=True), store, Ledger(own_redis, "bull"), Workers(own_redis))
    assert told(allowed) is None
    assert [warning.partition(":")[0] for warning in allowed.check().warnings] == ["REDIS_EVICTION=allow"]
