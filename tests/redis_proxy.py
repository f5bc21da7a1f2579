"""A TCP proxy before a real Redis, that is slow, silent or forgetful as a test asks for it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

CHUNK_BYTES = 1 << 16

Loss = Literal["", "request", "answer"]


@dataclass
class RedisProxy:
    """Passes bytes between clients and the server.

    Attributes:
        delay_s: how long every chunk of a client waits before it is passed.
        passing: cleared while nothing is passed in either direction, as when all packets are lost.
        loses: tells for a chunk of a client whether the connection breaks instead of passing it, or its answer.
        lost: how many chunks or answers were lost so.
    """

    server: tuple[str, int]
    password: str
    listener: socket.socket
    delay_s: float = 0.0
    passing: threading.Event = field(default_factory=threading.Event)
    loses: Callable[[bytes], Loss] = lambda _: ""
    lost: int = 0
    _pairs: set[tuple[socket.socket, socket.socket]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"redis://:{self.password}@127.0.0.1:{self.listener.getsockname()[1]}/0"

    def serve(self) -> None:
        """Take clients until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._take, args=(client,), daemon=True).start()

    def cut(self) -> None:
        """Break every connection that stands."""
        for pair in tuple(self._pairs):
            self._break(pair)

    def _take(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.server, 5)
        except OSError:
            client.close()
            return
        for each in (client, server):
            each.settimeout(None)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (client, server)
        self._pairs.add(pair)
        threading.Thread(target=self._answers, args=(pair,), daemon=True).start()
        self._requests(pair)

    def _requests(self, pair: tuple[socket.socket, socket.socket]) -> None:
        client, server = pair
        with suppress(OSError):
            while chunk := client.recv(CHUNK_BYTES):
                self.passing.wait()
                time.sleep(self.delay_s)
                loss = self.loses(chunk)
                if loss:
                    self.lost += 1
                    client.shutdown(socket.SHUT_RDWR)
                if loss != "request":
                    server.sendall(chunk)
        self._break(pair)

    def _answers(self, pair: tuple[socket.socket, socket.socket]) -> None:
        client, server = pair
        with suppress(OSError):
            while chunk := server.recv(CHUNK_BYTES):
                self.passing.wait()
                client.sendall(chunk)
        self._break(pair)

    def _break(self, pair: tuple[socket.socket, socket.socket]) -> None:
        self._pairs.discard(pair)
        for each in pair:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@contextmanager
def redis_proxy(url: str) -> Iterator[RedisProxy]:
    """Run a proxy before the server at `url`."""
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    proxy = RedisProxy((parts.hostname, parts.port), parts.password or "", listener)
    proxy.passing.set()
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.passing.set()
        listener.close()
        proxy.cut()
