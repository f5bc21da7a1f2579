"""Call Lua scripts on Redis at little cost: a request of the API waits for three of them.

redis-py's client spends two thirds of a call on its pool, retries and telemetry. Here a call takes a connection that
was just used, writes, reads, and puts it back. Whenever that does not go straight through, for a connection that was
lost meanwhile or a server that does not know the script, the call is left to redis-py's client, which mends it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

import redis


class Scripts:
    """The scripts of one folder, on one Redis. Safe for threads, and for a process that was forked.

    Args:
        client: its pool says how to connect.
        package: whose folder `lua` has the scripts.
        names: of the scripts, without `.lua`.
    """

    def __init__(self, client: redis.Redis, package: str, names: Iterable[str]) -> None:
        folder = resources.files(package).joinpath("lua")
        self._scripts = {
            name: client.register_script(folder.joinpath(f"{name}.lua").read_text(encoding="utf-8")) for name in names
        }
        self._pool = client.connection_pool
        self._idle: deque[Any] = deque()
        self._pid = os.getpid()

    def call(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Call a script; one whose answer was lost is called again, so scripts must allow that.

        Raises:
            redis.RedisError: Redis does not answer within the pool's time, or refuses.
        """
        script, connection = self._scripts[name], self._connection()
        try:
            connection.send_command("EVALSHA", script.sha, len(keys), *keys, *args)
            answer = connection.read_response()
        except (redis.ConnectionError, redis.exceptions.NoScriptError):
            answer = script(keys=list(keys), args=list(args))
        self._idle.append(connection)
        return answer

    def _connection(self) -> Any:
        """Return a connection that nobody uses: the one put back last, or a new one, which connects by itself."""
        if self._pid != os.getpid():
            self._idle, self._pid = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return self._pool.connection_class(**self._pool.connection_kwargs)
