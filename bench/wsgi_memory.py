"""Our API with records that answer at once, for `bench/enqueue.py` alone: `bench.wsgi_memory:app`.

Everything of ours stays on the path: token, checks, merge, the run's row, the message, the ledger's script. What is
left out is what the peer leaves out too: the calls to a record store. Every job exists and belongs to whoever asks.
"""

from __future__ import annotations

import atexit
from dataclasses import replace
from typing import cast

from flask import Flask

from api.app import create_app
from api.services import Services, build_services
from bench.memory_store import MemoryStore
from geniequeue import log
from geniequeue.accounts import Accounts
from geniequeue.auth import Authenticator
from geniequeue.config import load_settings
from geniequeue.jobs.producer import Producer
from geniequeue.quota import Quota
from geniequeue.records.protocol import RecordStore


def services_without_store() -> Services:
    """Return the services of production, but for where the records are."""
    settings = load_settings()
    log.configure(settings.log_level, settings.log_format, process="web")
    services = build_services(settings)
    store = cast("RecordStore", MemoryStore())
    accounts = Accounts(store.as_service())
    quota = Quota(services.ledger.client, store.as_service(), accounts)
    return replace(
        services,
        store=store,
        authenticator=Authenticator(settings.directus_secret, store, accounts),
        producer=Producer(store, services.ledger, quota, settings.ledger_prefix),
        quota=quota,
    )


def build() -> Flask:
    """Return the application, started as `api.wsgi` starts it."""
    services = services_without_store()
    services.start()
    atexit.register(services.stop)
    return create_app(services)


app = build()
