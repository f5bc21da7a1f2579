"""The composition root: what the resources use, made once per process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import cast

from flask import current_app

from geniequeue import faults
from geniequeue.accounts import Accounts
from geniequeue.auth import Authenticator
from geniequeue.config import Settings
from geniequeue.exposition import Exposition
from geniequeue.jobs.broker import make_app
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.jobs.producer import Producer
from geniequeue.jobs.reader import JobReader
from geniequeue.jobs.snapshot import Snapshot
from geniequeue.jobs.workers import Workers
from geniequeue.quota import Quota
from geniequeue.rate_limit import RateLimiter
from geniequeue.readiness import Readiness
from geniequeue.records import open_store
from geniequeue.records.protocol import RecordStore
from geniequeue.taxonomy.generation import TaxonomyGeneration

EXTENSION = "geniequeue"
STOP_WITHIN_S = 3.0
RECORDS_PATIENCE_S = 4.0


@dataclass(frozen=True)
class Services:
    """Everything a resource may speak to."""

    settings: Settings
    store: RecordStore
    authenticator: Authenticator
    rate_limiter: RateLimiter
    producer: Producer
    quota: Quota
    jobs: JobReader
    ledger: Ledger
    snapshot: Snapshot
    taxonomy: TaxonomyGeneration
    readiness: Readiness
    exposition: Exposition
    _stopped: threading.Event = field(default_factory=threading.Event, repr=False)
    _threads: list[threading.Thread] = field(default_factory=list, repr=False)

    def start(self) -> None:
        """Keep the snapshot of the workers fresh from now on."""
        refresher = threading.Thread(
            target=self.snapshot.refresh_until, args=(self._stopped,), name="snapshot", daemon=True
        )
        refresher.start()
        self._threads.append(refresher)

    def stop(self) -> None:
        """End what `start` began."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(STOP_WITHIN_S)


def build_services(settings: Settings) -> Services:
    """Connect everything; Redis and the workers need not be there yet.

    Raises:
        RecordsUnavailable: the embedded record store's folder cannot be used.
    """
    faults.arm(settings.faults_dir, "api")
    store = open_store(settings, patience_s=RECORDS_PATIENCE_S)
    accounts = Accounts(store.as_service())
    client = connect(settings.redis_url)
    ledger = Ledger(client, settings.ledger_prefix)
    workers = Workers(client)
    quota = Quota(client, store.as_service(), accounts)
    return Services(
        settings=settings,
        store=store,
        authenticator=Authenticator(settings.directus_secret, store, accounts),
        rate_limiter=RateLimiter(client, {"write": settings.writes_per_minute, "read": settings.reads_per_minute}),
        producer=Producer(store, ledger, quota, settings.ledger_prefix),
        quota=quota,
        jobs=JobReader(store, ledger),
        ledger=ledger,
        snapshot=Snapshot(client, make_app(settings.redis_url), workers),
        taxonomy=TaxonomyGeneration(client),
        readiness=Readiness(settings, store, ledger, workers, quota.is_rejected),
        exposition=Exposition(ledger, workers),
    )


def services() -> Services:
    """Return the services of the application that handles this request."""
    return cast("Services", current_app.extensions[EXTENSION])
