"""What turns `/readyz` red, each by itself."""

from __future__ import annotations

import redis

from geniequeue.config import Settings
from geniequeue.jobs.ledger import Ledger
from geniequeue.jobs.workers import Workers
from geniequeue.operations import QUEUES
from geniequeue.readiness import QUOTA_REJECTED, Readiness
from geniequeue.records.embedded import EmbeddedStore


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
