"""Every request has an id, which its log lines and its answer carry."""

from __future__ import annotations

import re
import time
import uuid
from typing import cast

import structlog
from flask import Flask, Response, g, request

from geniequeue.log import get_logger

HEADER = "X-Request-ID"
MAX_LOGGED_PATH = 200
QUIET_PATHS = frozenset({"/healthz", "/readyz"})

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")

log = get_logger(__name__)


def request_id() -> str:
    """Return the id of the request being handled."""
    return cast("str", g.request_id)


def install(app: Flask) -> None:
    """Give every request its id and write one line for each."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    given = request.headers.get(HEADER, "")
    g.request_id = given if _SAFE.match(given) else str(uuid.uuid4())
    g.began_s = time.monotonic()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(
        request_id=g.request_id, method=request.method[:16], path=request.path[:MAX_LOGGED_PATH]
    )


def _end(response: Response) -> Response:
    response.headers[HEADER] = request_id()
    write = log.debug if request.path in QUIET_PATHS else log.info
    write("request", status=response.status_code, took_ms=round((time.monotonic() - g.began_s) * 1000, 1))
    return response
