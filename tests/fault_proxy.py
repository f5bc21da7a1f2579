"""A TCP proxy before an HTTP server that does wrong once for each fault it was given."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK_BYTES = 1 << 16
_REQUEST_LINE = re.compile(rb"[A-Z]+ /[^ ]* HTTP/1")


@dataclass(frozen=True)
class Fault:
    """What goes wrong with the next request that begins with `on`.

    Attributes:
        on: such as `POST /files`; the next request, whatever it is, by default.
        cut_request_after: bytes of the request that arrive before the connection ends.
        cut_answer_after: bytes of the answer that arrive before the connection ends.
        answer: sent in place of the server's, which sees nothing.
        drip_s: pause before each byte of `answer`.
        delay_s: how long the server's answer is held back.
        then_away: whether the server cannot be reached from then on, until `come_back`.
    """

    on: str = ""
    cut_request_after: int | None = None
    cut_answer_after: int | None = None
    answer: bytes | None = None
    drip_s: float = 0.0
    delay_s: float = 0.0
    then_away: bool = False


NONE = Fault()


@dataclass
class FaultProxy:
    """A proxy that listens on loopback.

    Attributes:
        faults: still to come, in this order; one waits for its request.
        lasting: happen to every request that they are for, until they are taken out.
        requests: method and path of each request so far.
        times: when each of them came, in monotonic seconds.
    """

    target: tuple[str, int]
    listener: socket.socket
    faults: deque[Fault] = field(default_factory=deque)
    lasting: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    _away: threading.Event = field(default_factory=threading.Event)
    _open: set[socket.socket] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def arm(self, *faults: Fault) -> None:
        """Do wrong on the next requests."""
        self.faults.extend(faults)

    def behave(self) -> None:
        """Do no wrong any more, and forget the requests so far."""
        self.faults.clear()
        self.lasting.clear()
        self.requests.clear()
        self.times.clear()
        self.come_back()

    def go_away(self) -> None:
        """End every connection, and each new one at once."""
        self._away.set()
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        """Serve new connections again."""
        self._away.clear()

    def seen(self, on: str) -> bool:
        """Tell whether a request that begins like this has come."""
        return any(request.startswith(on) for request in self.requests)

    def serve(self) -> None:
        """Accept connections until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                if self._away.is_set():
                    client.close()
                else:
                    threading.Thread(target=_Connection(self, client).run, daemon=True).start()

    @contextmanager
    def keeping(self, *ends: socket.socket) -> Iterator[None]:
        """Remember the two ends of a connection while it lasts."""
        self._open.update(ends)
        try:
            yield
        finally:
            self._open.difference_update(ends)

    def fault_for(self, request: bytes) -> Fault:
        """Note a request and return what is to go wrong with it."""
        line = request.split(b" HTTP/", 1)[0].decode()
        self.requests.append(line)
        self.times.append(time.monotonic())
        if self.faults and line.startswith(self.faults[0].on):
            return self.faults.popleft()
        return next((fault for fault in self.lasting if line.startswith(fault.on)), NONE)


class _Connection:
    """One client's connection, request after request."""

    def __init__(self, proxy: FaultProxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._fault = NONE
        self._passed_bytes = 0

    def run(self) -> None:
        with (
            self._client,
            suppress(OSError),
            socket.create_connection(self._proxy.target) as server,
            self._proxy.keeping(self._client, server),
        ):
            threading.Thread(target=self._answers, args=(server,), daemon=True).start()
            try:
                self._requests(server)
            finally:
                if self._fault.then_away:
                    self._proxy.go_away()
            for each in (self._client, server):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _requests(self, server: socket.socket) -> None:
        while chunk := self._client.recv(CHUNK_BYTES):
            if _REQUEST_LINE.match(chunk):
                self._fault, self._passed_bytes = self._proxy.fault_for(chunk), 0
            fault = self._fault
            if fault.answer is not None:
                self._answer(fault.answer)
                break
            limit = fault.cut_request_after
            server.sendall(chunk if limit is None else chunk[: limit - self._passed_bytes])
            self._passed_bytes += len(chunk)
            if limit is not None and self._passed_bytes >= limit:
                break

    def _answers(self, server: socket.socket) -> None:
        left: dict[int, int] = {}
        with suppress(OSError):
            while chunk := server.recv(CHUNK_BYTES):
                fault = self._fault
                time.sleep(fault.delay_s)
                limit = left.get(id(fault), fault.cut_answer_after)
                self._client.sendall(chunk if limit is None else chunk[:limit])
                if limit is not None:
                    left[id(fault)] = limit - len(chunk)
                    if left[id(fault)] <= 0:
                        break
            self._client.shutdown(socket.SHUT_RDWR)

    def _answer(self, answer: bytes) -> None:
        if not self._fault.drip_s:
            self._client.sendall(answer)
        for byte in answer if self._fault.drip_s else b"":
            time.sleep(self._fault.drip_s)
            self._client.sendall(bytes([byte]))
        self._client.shutdown(socket.SHUT_WR)
        self._client.settimeout(1)
        while self._client.recv(CHUNK_BYTES):
            pass


@contextmanager
def fault_proxy(url: str) -> Iterator[FaultProxy]:
    """Run a proxy before the server at `url`."""
    parts = urlsplit(url)
    assert parts.hostname
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = FaultProxy((parts.hostname, parts.port or 80), listener)
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield proxy
    finally:
        listener.close()


def http_answer(status: int, body: bytes, *headers: str) -> bytes:
    """Return an answer as it travels, with its length unless `headers` name one."""
    lengths = (
        [] if any(line.lower().startswith("content-length") for line in headers) else [f"Content-Length: {len(body)}"]
    )
    head = "\r\n".join([f"HTTP/1.1 {status} X", "Connection: close", *headers, *lengths])
    return f"{head}\r\n\r\n".encode() + body
