"""HTTP to Directus: one pool, a deadline for each call, further tries where that is safe, one gate for all."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
)

from geniequeue.errors import RecordNotUnique, RecordsUnavailable
from geniequeue.records.directus_errors import (
    NotUniqueAfterRetry,
    decoded,
    raise_refusal,
    retry_after_of,
    unavailable,
)
from geniequeue.records.hurry import hurried_until

CONNECT_S = 3.0
READ_S = 30.0
DEADLINE_S = 30.0
POOL_SIZE = 64
TRIES = 4
BACKOFF_BASE_S = 0.1
BACKOFF_CAP_S = 2.0
JSON_MAX_BYTES = 64 << 20
CHUNK_BYTES = 1 << 18

NOT_SENT = (NewConnectionError, ConnectTimeoutError, NameResolutionError)
"""Failures after which Directus has not seen the request."""


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        path: below the address of Directus, with its query.
        collection, action: what it is about, for errors.
        body: JSON value, or None.
        repeatable: whether doing it twice is the same as doing it once.
    """

    method: str
    path: str
    collection: str
    action: str
    body: Any = None
    repeatable: bool = True


class Deadline:
    """The moment by which a call must be over, and with it the request that it belongs to."""

    def __init__(self, seconds: float) -> None:
        self._at = min(time.monotonic() + seconds, hurried_until())

    @property
    def left_s(self) -> float:
        """Seconds that are left, negative when it is over."""
        return self._at - time.monotonic()


class Gate:
    """Holds back every call of the process after Directus asked for a pause."""

    def __init__(self) -> None:
        self._opens = 0.0

    @property
    def closed_for_s(self) -> float:
        """Seconds until it opens; 0 when it is open."""
        return max(0.0, self._opens - time.monotonic())

    def close(self, seconds: float) -> None:
        """Close it for some seconds; never shortens a pause."""
        self._opens = max(self._opens, time.monotonic() + seconds)


class DirectusHttp:
    """Requests to one Directus; for any number of threads, and for the children of a fork.

    Args:
        url: address of Directus.
        deadline_s: how long a call may take in all, tries and pauses included.
        sleep: waits some seconds.
    """

    def __init__(
        self, url: str, *, deadline_s: float = DEADLINE_S, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.url = url.rstrip("/")
        self.deadline_s = deadline_s
        self.sleep = sleep
        self._gate = Gate()
        self._pool: urllib3.PoolManager | None = None
        self._pid = 0

    def json(self, token: str, call: Call) -> Any:
        """Return the `data` of the answer; None for an answer without content.

        Raises:
            RecordsUnavailable: no answer in time, or one that is none.
            RecordsError: Directus refuses; see `directus_errors`.
            NotUniqueAfterRetry: the id exists, perhaps by an earlier try of this call.
        """
        deadline = Deadline(self.deadline_s)
        maybe_done = False
        for last in self._tries(deadline):
            try:
                return self._once(token, call, deadline)
            except RecordNotUnique as error:
                if maybe_done:
                    raise NotUniqueAfterRetry(str(error), collection=call.collection, action=call.action) from None
                raise
            except RecordsUnavailable as error:
                if last or not (call.repeatable or _not_processed(error)):
                    raise
                maybe_done = maybe_done or not _not_processed(error)
        raise unavailable(call.collection, call.action, "no answer in time", self._gate.closed_for_s or None)

    def stream(
        self, token: str, call: Call, *, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Send one request, once, and return its answer before its body is read; the caller releases it.

        Raises:
            RecordsUnavailable: no answer.
        """
        if self._gate.closed_for_s:
            raise unavailable(call.collection, call.action, "a pause asked for before", self._gate.closed_for_s)
        deadline = Deadline(self.deadline_s)
        return self._send(token, call, deadline, body, headers or {})

    def read(self, response: urllib3.BaseHTTPResponse, call: Call, deadline: Deadline | None = None) -> bytes:
        """Return a whole body, bounded in size and time."""
        deadline = deadline or Deadline(self.deadline_s)
        chunks, size_bytes = [], 0
        try:
            while chunk := response.read1(CHUNK_BYTES):
                chunks.append(chunk)
                size_bytes += len(chunk)
                if size_bytes > JSON_MAX_BYTES or deadline.left_s < 0:
                    response.close()
                    raise unavailable(call.collection, call.action, "an answer too long or too slow")
        except (HTTPError, OSError) as error:
            response.close()
            raise unavailable(call.collection, call.action, f"an answer cut off ({type(error).__name__})") from error
        response.release_conn()
        return b"".join(chunks)

    def refuse(self, response: urllib3.BaseHTTPResponse, call: Call) -> None:
        """Raise what a refusing answer means, and close the gate where it asks for a pause."""
        retry_after_s = retry_after_of(response.headers)
        body = self.read(response, call)
        if response.status == 429 or (response.status == 503 and retry_after_s):
            self._gate.close(retry_after_s if retry_after_s is not None else 1.0)
        raise_refusal(response.status, body, retry_after_s, call.collection, call.action)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        if self._pool is not None and self._pid == os.getpid():
            self._pool.clear()

    def _once(self, token: str, call: Call, deadline: Deadline) -> Any:
        body = None if call.body is None else json.dumps(call.body, allow_nan=False)
        headers = {} if body is None else {"Content-Type": "application/json"}
        response = self._send(token, call, deadline, body, headers)
        if not 200 <= response.status < 300:
            self.refuse(response, call)
        return self.data(response, call, deadline)

    def data(self, response: urllib3.BaseHTTPResponse, call: Call, deadline: Deadline | None = None) -> Any:
        """Return the `data` of an answer that is good; None for one without content."""
        content = self.read(response, call, deadline)
        if response.status == 204:
            return None
        answer = decoded(content, call.collection, call.action)
        if "data" not in answer:
            raise unavailable(call.collection, call.action, "JSON without data")
        return answer["data"]

    def _send(
        self, token: str, call: Call, deadline: Deadline, body: Any, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        timeout = urllib3.Timeout(connect=_within(CONNECT_S, deadline), read=_within(READ_S, deadline))
        sent = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity", **headers}
        try:
            return self._connections().request(
                call.method,
                self.url + call.path,
                body=body,
                headers=sent,
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError) as error:
            raise unavailable(call.collection, call.action, f"no answer ({type(error).__name__})") from error

    def _tries(self, deadline: Deadline) -> Iterator[bool]:
        """Yield before each try, after its pause; True for the last one there is."""
        for number in range(1, TRIES + 1):
            pause_s = self._gate.closed_for_s
            if number > 1:
                pause_s = max(pause_s, random.uniform(0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2**number)))
            if pause_s >= deadline.left_s:
                return
            if pause_s:
                self.sleep(pause_s)
            yield number == TRIES

    def _connections(self) -> urllib3.PoolManager:
        """Return this process's pool: a connection inherited by a fork would answer two processes."""
        if self._pool is None or self._pid != os.getpid():
            # Two threads may both come here; the pool that loses is closed when its request is done.
            self._pool = urllib3.PoolManager(num_pools=1, maxsize=POOL_SIZE)
            self._pid = os.getpid()
        return self._pool


def path_of(*parts: str, **query: object) -> str:
    """Return a path with quoted parts and query; a value that is a list or an object is written as JSON."""
    path = "".join("/" + quote(part, safe="") for part in parts)
    written = "&".join(f"{quote(name, safe='[]')}={quote(_text(value), safe=',*')}" for name, value in query.items())
    return f"{path}?{written}" if written else path


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, allow_nan=False)


def _within(seconds: float, deadline: Deadline) -> float:
    return max(0.001, min(seconds, deadline.left_s))


def _not_processed(error: RecordsUnavailable) -> bool:
    """Say whether Directus cannot have done what was asked."""
    return isinstance(error.__cause__, NOT_SENT)
