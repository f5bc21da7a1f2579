"""The application factory."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import NotFound, RequestEntityTooLarge

from api import docs, health, jobs, operations, queue, quota, request_id, trace
from api.auth import SECURITY_SCHEME
from api.errors import JsonApi
from api.services import EXTENSION, Services
from api.strict_json import MAX_BODY_BYTES
from geniequeue import redis_budget
from geniequeue.records.hurry import hurry, relax

RECORDS_WITHIN_S = 4.5
"""A request that the record store keeps waiting is answered 503 within 5 s, whatever the number of calls."""
REDIS_WITHIN_S = 2.5
"""A request that Redis keeps waiting is answered 503 within 3 s, whatever the number of calls."""

DESCRIPTION = """Job queue of a creator platform: media, scrape and onboarding jobs on three named queues.

Every answer is JSON, whatever the header `Accept` says. Every error has the one body described as `Error`.
Members of a body that are not known are ignored, but unknown members of `params` are refused.
"""


class SyncFlask(Flask):
    """Flask that does not look, eleven times in a request, whether a function of ours is a coroutine: none is."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function."""
        return func


def create_app(services: Services) -> Flask:
    """Return the application around services that are connected already."""
    app = SyncFlask("api", static_folder=None)
    app.extensions[EXTENSION] = services
    app.config.update(_config())
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.merge_slashes = False
    request_id.install(app)
    app.before_request(_hurry)
    app.teardown_request(_take_time)
    app.before_request(_refuse_early)
    app.after_request(_add_headers)
    api = JsonApi(app)
    api.spec.components.security_scheme("bearer", SECURITY_SCHEME)
    for resource in (queue.bp, jobs.bp, trace.bp, quota.bp, operations.bp):
        api.register_blueprint(resource)
    app.register_blueprint(health.bp)
    app.register_blueprint(docs.bp)
    return app


def _config() -> dict[str, object]:
    return {
        "MAX_CONTENT_LENGTH": MAX_BODY_BYTES,
        "API_TITLE": "geniequeue",
        "API_VERSION": version("geniequeue"),
        "OPENAPI_VERSION": "3.0.3",
        "OPENAPI_URL_PREFIX": docs.PREFIX,
        "OPENAPI_JSON_PATH": "openapi.json",
        "API_SPEC_OPTIONS": {"info": {"description": DESCRIPTION}, "security": [{"bearer": []}]},
    }


def _hurry() -> None:
    """Give the whole request the time that its caller may wait for the record store, and for Redis."""
    hurry(RECORDS_WITHIN_S)
    redis_budget.allow(REDIS_WITHIN_S)


def _take_time(_: BaseException | None) -> None:
    """Let this thread take its time again."""
    relax()
    redis_budget.unlimited()


def _refuse_early() -> None:
    """Refuse what no resource should have to think of."""
    if request.environ["PATH_INFO"].startswith("//"):
        raise NotFound  # werkzeug would read it as one slash
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge


def _add_headers(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
