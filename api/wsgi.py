"""What the web server loads, once in each of its processes: `api.wsgi:app`."""

from __future__ import annotations

import atexit
import sys

from flask import Flask

from api.app import create_app
from api.services import build_services
from geniequeue import log
from geniequeue.config import Settings, load_settings
from geniequeue.errors import SettingsError


def build() -> Flask:
    """Return the application with its services running."""
    settings = _settings()
    log.configure(settings.log_level, settings.log_format, process="web")
    services = build_services(settings)
    services.start()
    atexit.register(services.stop)
    return create_app(services)


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        sys.exit("\n".join(f"geniequeue: {fault}" for fault in error.faults))


app = build()
