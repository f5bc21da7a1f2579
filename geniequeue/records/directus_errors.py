"""The border where what Directus answers becomes an error of the project.

Decided by status and `extensions.code`, never by the text of a message: texts differ between versions.
"""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from geniequeue.errors import (
    RecordForbidden,
    RecordInvalid,
    RecordNotUnique,
    RecordsUnavailable,
    RightMissing,
    TokenRefused,
)

NOT_ACCEPTED = frozenset({"INVALID_CREDENTIALS", "TOKEN_EXPIRED", "INVALID_TOKEN", "USER_SUSPENDED", "INVALID_IP"})
REFUSED = frozenset(
    {
        *("INVALID_PAYLOAD", "INVALID_QUERY", "INVALID_FOREIGN_KEY", "FAILED_VALIDATION", "NOT_NULL_VIOLATION"),
        *("VALUE_TOO_LONG", "VALUE_OUT_OF_RANGE", "CONTAINS_NULL_VALUES", "UNSUPPORTED_MEDIA_TYPE", "LIMIT_EXCEEDED"),
    }
)
RETRY_AFTER_MAX_S = 300.0


class NotUniqueAfterRetry(RecordNotUnique):
    """The id exists, but an earlier try of the same call, whose answer was lost, may have put it there."""


class ValuesRefused(RecordInvalid):
    """A rule about the values of an item does not hold: of the field itself, or of the caller's policy.

    Attributes:
        field: which field, where Directus says so.
    """

    field = ""


def unavailable(collection: str, action: str, got: str, retry_after_s: float | None = None) -> RecordsUnavailable:
    """Return the error for an answer that is none."""
    return RecordsUnavailable(
        f"expected an answer of Directus to {action} {collection}, got {got}; look at Directus, then try again",
        collection=collection,
        action=action,
        retry_after_s=retry_after_s,
    )


def forbidden(collection: str, action: str) -> RecordForbidden:
    """Return the one answer for what is missing, hidden or not allowed: Directus does not tell which."""
    return RecordForbidden(
        f"expected an item of {collection} that exists and that you may {action}, got none; check its id and its owner",
        collection=collection,
        action=action,
    )


def right_missing(collection: str, action: str) -> RightMissing:
    """Return the error for what the service's own account may not do."""
    return RightMissing(
        f"expected the service account to have the right to {action} in {collection}, got a refusal; "
        "run `geniequeue directus-setup`",
        collection=collection,
        action=action,
    )


def decoded(body: bytes, collection: str, action: str) -> Mapping[str, Any]:
    """Return a body as the JSON object it should be.

    Raises:
        RecordsUnavailable: it is HTML, cut off, or no object.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise unavailable(collection, action, "something that is not JSON") from None
    if not isinstance(value, dict):
        raise unavailable(collection, action, "JSON that is no object")
    return value


def raise_refusal(status: int, body: bytes, retry_after_s: float | None, collection: str, action: str) -> NoReturn:
    """Raise what a refusing answer means."""
    code, about = _reason(status, body, collection, action)
    named = {"collection": collection, "action": action}
    if status == 401 or (status == 403 and code in NOT_ACCEPTED):
        raise TokenRefused("expected a token that Directus accepts, got another; sign in again", **named)
    if status == 403:
        raise forbidden(collection, action)
    if code == "RECORD_NOT_UNIQUE":
        raise RecordNotUnique(f"expected an unused id in {collection}, got one that exists; use another", **named)
    if status == 413 or code in REFUSED:
        kind = ValuesRefused if code == "FAILED_VALIDATION" else RecordInvalid
        error = kind(f"expected data that Directus can {action} in {collection}, got {code}{_at(about)}", **named)
        if isinstance(error, ValuesRefused):
            error.field = str(about.get("field", ""))
        raise error
    raise unavailable(collection, action, f"status {status} {code}".strip(), retry_after_s)


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds a `Retry-After` asks for, at most five minutes; None where there is none to read."""
    raw = headers.get("Retry-After", "").strip()
    if not raw:
        return None
    try:
        seconds = float(raw)
    except ValueError:
        parsed = email.utils.parsedate_tz(raw)
        seconds = email.utils.mktime_tz(parsed) - time.time() if parsed else math.nan
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S) if math.isfinite(seconds) else None


def _reason(status: int, body: bytes, collection: str, action: str) -> tuple[str, Mapping[str, Any]]:
    """Return code and extensions of the first error in an answer."""
    if status >= 500 or status == 429:
        return "", {}
    errors = decoded(body, collection, action).get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    about = first.get("extensions") if isinstance(first, dict) else None
    if not isinstance(about, dict):
        raise unavailable(collection, action, f"status {status} without a reason")
    return str(about.get("code", "")), about


def _at(about: Mapping[str, Any]) -> str:
    return f" at {about['field']}" if isinstance(about.get("field"), str) else ""
