"""How often one user may ask, counted in Redis for all processes.

The algorithm is GCRA (the generic cell rate algorithm, a leaky bucket without the bucket): a limit of N a minute lets N
requests in at once, and after them one each N-th of a minute, for any user and kind of request. All that Redis keeps is
one time, one script in one round trip decides, and a request that is refused uses nothing up.

Redis stays off the path of most requests: a process has a hundredth of the limit counted at a time and spends that from
its own memory. By as much, and for each process, what gets in may differ from the limit.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

import redis

from geniequeue.errors import RequestRefused
from geniequeue.jobs import keys
from geniequeue.jobs.ledger import reachable
from geniequeue.log import get_logger
from geniequeue.scripts import Scripts

WINDOW_S = 60
AHEAD = 0.01
MAX_REMEMBERED = 4096

Kind = Literal["write", "read"]
"""Of requests: those that change something, and those that only look."""

log = get_logger(__name__)


class RateLimiter:
    """Refuses a user who asks too often.

    Args:
        client: connection with decoded responses.
        limits: requests a minute by kind; 0 for no limit.
    """

    def __init__(self, client: redis.Redis, limits: Mapping[Kind, int]) -> None:
        self._limits = limits
        self._scripts = Scripts(client, "geniequeue", ("rate",))
        self._paid = _Paid()

    def check(self, user_id: str, kind: Kind) -> None:
        """Count a request.

        Raises:
            RequestRefused: 429 `rate_limited`, with the whole seconds after which the next request gets in.
            LedgerUnavailable: Redis cannot be reached.
        """
        limit, key = self._limits[kind], keys.rate(user_id, kind)
        if not limit or self._paid.spend(key):
            return
        counted = self._counted(key, limit)
        if counted < 0:
            raise _too_often(kind, limit, math.ceil(-counted / 1000))
        self._paid.add(key, counted - 1)

    def _counted(self, key: str, limit: int) -> int:
        """Have some requests counted; return how many, or minus the ms to wait."""
        window_us = WINDOW_S * 1_000_000
        wanted = max(1, int(limit * AHEAD))
        with reachable():
            try:
                return int(self._scripts.call("rate", [key], [window_us / limit, window_us, wanted]))
            except redis.ResponseError as error:
                # Redis answers but takes no writes: who only reads shall still read, who writes meets that himself.
                log.warning("request not counted", error=str(error))
                return 1


class _Paid:
    """Requests that are counted and not sent yet, of this process."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def spend(self, key: str) -> bool:
        """Take one; False where there is none."""
        with self._lock:
            left = self._left.pop(key, 0)
            if left > 1:
                self._left[key] = left - 1
            return left > 0

    def add(self, key: str, number: int) -> None:
        """Put some by; what was not used for longest is forgotten."""
        if number:
            with self._lock:
                self._left[key] = self._left.pop(key, 0) + number
                while len(self._left) > MAX_REMEMBERED:
                    self._left.popitem(last=False)


def _too_often(kind: Kind, limit: int, wait_s: int) -> RequestRefused:
    requests = "requests that change something" if kind == "write" else "requests that read"
    message = f"Expected at most {limit} {requests} a minute, got more; go on after {wait_s} s."
    return RequestRefused(429, "rate_limited", message, retry_after_s=wait_s)
