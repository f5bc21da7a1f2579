"""Call Lua scripts on Redis at little cost: a request of the API waits for three of them.

redis-py's client spends half of a call on its pool and telemetry. Here a call takes a connection that was just used,
looks whether it still stands, writes, reads, and puts it back. What goes wrong is raised as the client would: a call
whose answer was lost is not made again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import deque
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any
from weakref import WeakKeyDictionary

import redis

from geniequeue.faults import reach

_INCLUDE = re.compile(r"^-- include (\w+)$", re.MULTILINE)

MAX_IDLE = 64
"""Connections that one process keeps to one Redis; those beyond are closed."""


class Scripts:
    """The scripts of one folder, on one Redis. Safe for threads, and for a process that was forked.

    Args:
        client: its pool says how to connect.
        package: whose folder `lua` has the scripts.
        names: of the scripts, without `.lua`.
    """

    def __init__(self, client: redis.Redis, package: str, names: Iterable[str]) -> None:
        self._scripts = {name: _script(package, name) for name in names}
        self._idle = _idle_of(client.connection_pool)

    def call(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Call a script.

        Raises:
            redis.RedisError: Redis does not answer within the pool's time, or refuses.
        """
        reach(f"redis.{name}")
        connection = self._idle.take()
        try:
            answer = _ask(connection, *self._scripts[name], keys, args)
        except redis.ResponseError:
            # the refusal was read to its end
            self._idle.put_back(connection)
            raise
        self._idle.put_back(connection)
        return answer


class _Idle:
    """Connections of one pool's kind that nobody uses at the moment."""

    def __init__(self, pool: Any) -> None:
        self._make, self._kwargs = pool.connection_class, pool.connection_kwargs
        self._connections: deque[Any] = deque(maxlen=MAX_IDLE)
        self._pid = os.getpid()

    def take(self) -> Any:
        """Return the connection put back last where it still stands, or one that will connect."""
        if self._pid != os.getpid():
            self._connections, self._pid = deque(maxlen=MAX_IDLE), os.getpid()
        try:
            connection = self._connections.pop()
        except IndexError:
            return self._make(**self._kwargs)
        if _is_stale(connection):
            connection.disconnect()
        return connection

    def put_back(self, connection: Any) -> None:
        """Keep a connection whose answer was read."""
        self._connections.append(connection)


_IDLE: WeakKeyDictionary[Any, _Idle] = WeakKeyDictionary()


def _idle_of(pool: Any) -> _Idle:
    """Return the one set of idle connections of a pool."""
    return _IDLE.get(pool) or _IDLE.setdefault(pool, _Idle(pool))


def _is_stale(connection: Any) -> bool:
    """Tell whether the server has closed a connection; nobody has asked it anything, so it must be silent."""
    try:
        return bool(connection.can_read(0))
    except redis.ConnectionError:
        return True


def _ask(connection: Any, sha: str, source: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
    command = ("EVALSHA", sha, len(keys), *keys, *args)
    connection.send_command(*command)
    try:
        return connection.read_response()
    except redis.exceptions.NoScriptError:
        connection.send_command("SCRIPT", "LOAD", source)
        connection.read_response()
        connection.send_command(*command)
        return connection.read_response()


@cache
def _script(package: str, name: str) -> tuple[str, str]:
    """Return a script's name on Redis, and the script."""
    source = _source(package, name)
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(), source


def _source(package: str, name: str) -> str:
    """Return a script together with those of its folder that it includes, by a line `-- include <name>`."""
    source = resources.files(package).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda found: _source(package, found[1]), source)
