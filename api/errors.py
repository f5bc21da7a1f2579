"""One error body everywhere, `{ok: false, error, message, reason?, errors?, request_id}`, but for the quota's 403."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Flask, Response, jsonify, request
from flask_smorest import Api
from werkzeug.exceptions import HTTPException

from api.request_id import request_id
from api.schemas import ErrorSchema
from geniequeue.auth import invalid_token
from geniequeue.errors import (
    LedgerUnavailable,
    RecordForbidden,
    RecordsError,
    RecordsUnavailable,
    RequestRefused,
    RightMissing,
    TokenRefused,
)
from geniequeue.log import get_logger
from geniequeue.quota import QuotaRefused

RETRY_AFTER_S = 5
MAX_FIELD_NAME = 120

HTTP_CODES: Mapping[int, tuple[str, str]] = {
    400: ("malformed", "The request is malformed."),
    404: ("not_found", "There is nothing at this address; /api/docs lists what there is."),
    405: ("method_not_allowed", "This address does not take this method; the header Allow names those it takes."),
    413: ("too_large", "The request body is too large; expected at most 1 MB."),
    415: ("unsupported_media_type", "Expected a body with Content-Type: application/json, in UTF-8."),
}

_OF_ONE_JOB = re.compile(r"/api/queue/(retry/[^/]+|jobs/[^/]+(/cancel)?)")

log = get_logger(__name__)


class JsonApi(Api):
    """flask-smorest with our error body, in the documents and on the wire."""

    ERROR_SCHEMA = ErrorSchema

    def _register_error_handlers(self) -> None:
        install(self._app)


def install(app: Flask) -> None:
    """Answer every error with the one body."""
    app.register_error_handler(RequestRefused, _refused)
    app.register_error_handler(QuotaRefused, _quota_refused)
    app.register_error_handler(LedgerUnavailable, _ledger_unavailable)
    app.register_error_handler(RecordsError, _records_failed)
    app.register_error_handler(RecursionError, _too_deep)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def validation_refused(messages: Mapping[str, Any] | list[str]) -> RequestRefused:
    """Return the refusal for what a schema found; names of nested fields are joined with dots."""
    errors = dict(_flat("", messages if isinstance(messages, Mapping) else {"_schema": messages}))
    return RequestRefused(422, "invalid_request", "The request is not valid; see errors.", errors=errors)


def _flat(prefix: str, messages: Mapping[Any, Any]) -> Iterator[tuple[str, list[str]]]:
    for name, value in messages.items():
        path = prefix if name == "_schema" and prefix else f"{prefix}.{name}"[:MAX_FIELD_NAME] if prefix else str(name)
        if isinstance(value, Mapping):
            yield from _flat(path, value)
        else:
            yield path, [str(message) for message in (value if isinstance(value, list | tuple) else [value])]


def _answer(
    status: int,
    code: str,
    message: str,
    *,
    reason: str | None = None,
    errors: Mapping[str, Any] | None = None,
    retry_after_s: float | None = None,
) -> Response:
    body: dict[str, Any] = {"ok": False, "error": code, "message": message}
    body |= {name: value for name, value in (("reason", reason), ("errors", errors)) if value}
    response = jsonify(body | {"request_id": request_id()})
    response.status_code = status
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(retry_after_s)))
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="geniequeue"'
    return response


def _refused(error: RequestRefused) -> Response:
    errors = dict(_flat("", error.errors)) if error.errors else None
    return _answer(
        error.status,
        error.code,
        error.message,
        reason=error.reason,
        errors=errors,
        retry_after_s=error.retry_after_s,
    )


def _quota_refused(error: QuotaRefused) -> Response:
    """Answer with the members that the original system promised, and no more."""
    log.info("refused by the quota", reason=error.reason)
    response = jsonify(error.body)
    response.status_code = error.status
    return response


def _ledger_unavailable(error: LedgerUnavailable) -> Response:
    log.error("ledger unavailable", error=str(error))
    done = "" if request.method in ("GET", "HEAD") else " nothing was accepted,"
    message = f"The queue cannot be reached;{done} send the same request again."
    return _answer(503, "ledger_unavailable", message, retry_after_s=RETRY_AFTER_S)


def _records_failed(error: RecordsError) -> Response:
    """Answer for a store that does not answer, or not as it did a moment ago."""
    log.error("records failed", error=str(error), collection=error.collection, action=error.action)
    if isinstance(error, TokenRefused):
        return _refused(invalid_token())
    if isinstance(error, RecordForbidden) and not isinstance(error, RightMissing):
        return _answer(404, "not_found", "What the request names is not there any more.")
    after_s = error.retry_after_s if isinstance(error, RecordsUnavailable) else None
    message = "The record store did not answer; send the same request again."
    return _answer(503, "records_unavailable", message, retry_after_s=after_s or RETRY_AFTER_S)


def _too_deep(_: RecursionError) -> Response:
    return _answer(400, "malformed", "The request is nested too deeply.")


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    code, message = HTTP_CODES.get(status, (error.name.lower().replace(" ", "_"), error.name))
    if status == 404 and _OF_ONE_JOB.fullmatch(request.path):
        message = "There is no such job: expected its id, a UUID in the form of 8-4-4-4-12 hexadecimal digits."
    response = _answer(status, code, message)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    log.exception("request failed", exc_info=error)
    return _answer(500, "internal", "Something went wrong inside the service; the log has it by request_id.")
