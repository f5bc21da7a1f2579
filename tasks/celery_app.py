"""The Celery app of workers, beat and Flower."""

from __future__ import annotations

import sys
from typing import Any

from celery import Celery, signals

from geniequeue import faults, log
from geniequeue.config import Settings, load_settings
from geniequeue.errors import SettingsError
from geniequeue.jobs.broker import make_app
from tasks import worker
from tasks.housekeeping import Adoption, Housekeeping

INCLUDE = ("tasks.media", "tasks.schedule")


def build(settings: Settings) -> Celery:
    """Return the app with its tasks, schedule, log and worker steps."""
    faults.arm(settings.faults_dir, "worker")
    app = make_app(settings.redis_url)
    app.conf.include = INCLUDE
    app.conf.beat_schedule_filename = str(settings.var_dir / "celerybeat-schedule")
    app.conf.beat_schedule = {
        "ledger-retention": {"task": "schedule.trim_ledger", "schedule": 3600.0, "options": {"expires": 3600}},
    }
    app.conf.worker_consumer = "tasks.consumer:PatientConsumer"
    app.conf.geniequeue = settings
    worker.install(app)
    app.steps["worker"].add(Housekeeping)
    app.steps["consumer"].add(Adoption)
    return app


@signals.setup_logging.connect
def _log_structured(**_: Any) -> None:
    settings: Settings = app.conf.geniequeue
    log.configure(settings.log_level, settings.log_format, process=_process_name())


def _process_name() -> str:
    """Return `worker`, `beat` or `flower`, with the queue for a worker."""
    arguments = sys.argv[1:]
    for name in ("beat", "flower"):
        if name in arguments:
            return name
    return next((a for a in arguments if a.endswith("-jobs")), "worker").removesuffix("-jobs")


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        sys.exit("\n".join(f"geniequeue: {fault}" for fault in error.faults))


app = build(_settings())
