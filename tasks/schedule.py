"""Periodic jobs that beat sends."""

from __future__ import annotations

import os

from geniequeue.config import Settings
from geniequeue.log import get_logger
from tasks.celery_app import app
from tasks.services import services_for

log = get_logger(__name__)


@app.task(name="schedule.trim_ledger")
def trim_ledger() -> None:
    """Forget final jobs in the ledger beyond `LEDGER_KEEP` and `LEDGER_KEEP_DAYS`; the records keep them all."""
    settings: Settings = app.conf.geniequeue
    ledger = services_for(settings, os.getpid()).ledger
    forgotten = ledger.trim(keep=settings.ledger_keep, keep_s=settings.ledger_keep_s)
    log.info("ledger trimmed", forgotten=forgotten)
