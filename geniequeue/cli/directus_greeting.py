"""The first word with a Directus: whether one is there, which version, and what its clock says."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from geniequeue.errors import RecordsUnavailable, TokenRefused
from geniequeue.records.directus_http import Call, DirectusHttp

TESTED = "11."
"""What the version of a server begins with that our tests run on."""
_CALL = Call("GET", "/server/info", "directus_server", "read")
_REASONS: Mapping[type[BaseException], str] = {
    NameResolutionError: "its host has no address",
    NewConnectionError: "nothing listens there",
    ConnectTimeoutError: "it took too long",
    ReadTimeoutError: "it took too long",
    SSLError: "its certificate is not accepted",
}


@dataclass(frozen=True)
class Greeting:
    """What a server says about itself.

    Attributes:
        version: empty where it does not tell.
        ahead_s: by how much its clock is ahead of ours, at least and at most; its answers carry whole seconds.
    """

    version: str
    ahead_s: tuple[float, float]

    @property
    def tested(self) -> bool:
        """Whether our tests run on this version's line."""
        return self.version.startswith(TESTED)


def greet(http: DirectusHttp, token: str, *, clock: Callable[[], float] = time.time) -> Greeting:
    """Greet the server with somebody's token.

    Args:
        clock: seconds since 1970.

    Raises:
        TokenRefused: it does not accept the token.
        RecordsUnavailable: nobody answers, or somebody who is no Directus; the message says what to check.
    """
    if not (token.isascii() and token.isprintable()):
        raise TokenRefused("expected a token that can stand in a header, got another text")
    began_s = clock()
    response = _sent(http, token)
    ended_s = clock()
    if 300 <= response.status < 400:
        raise _other(http.url, f"a redirect to {response.headers.get('Location', 'nowhere')}", "use that address")
    content = http.read(response, _CALL)
    info = _info(content)
    if info is None:
        what = "a page of HTML" if "html" in response.headers.get("Content-Type", "") else f"HTTP {response.status}"
        raise _other(http.url, what, "use the address of its API, without /admin")
    return Greeting(str(info.get("version") or ""), _ahead_s(response.headers.get("Date"), began_s, ended_s))


def _sent(http: DirectusHttp, token: str) -> BaseHTTPResponse:
    try:
        response = http.stream(token, _CALL)
    except RecordsUnavailable as error:
        reasons = (text for kind, text in _REASONS.items() if isinstance(error.__cause__, kind))
        why = next(reasons, "what answers is no HTTP")
        message = f"DIRECTUS_URL: no Directus answers at {http.url} ({why}); start it, or correct the address"
        raise RecordsUnavailable(message) from error
    if response.status in (401, 403):
        http.refuse(response, _CALL)
    return response


def _info(content: bytes) -> Mapping[str, Any] | None:
    """Return what the server says about itself; None where no Directus says it."""
    try:
        data = json.loads(content)["data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return data if isinstance(data, dict) and "project" in data else None


def _ahead_s(date: str | None, began_s: float, ended_s: float) -> tuple[float, float]:
    """Return by how much the clock that wrote `date` is ahead, at least and at most."""
    parsed = email.utils.parsedate_tz(date or "")
    if parsed is None:
        return float("-inf"), float("inf")
    told_s = email.utils.mktime_tz(parsed)
    return told_s - ended_s, told_s + 1.0 - began_s


def _other(url: str, got: str, advice: str) -> RecordsUnavailable:
    return RecordsUnavailable(f"DIRECTUS_URL: expected Directus at {url}, got {got}; {advice}")
