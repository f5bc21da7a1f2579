"""Whether a Redis can hold the queues, and where it cannot, why and what to do.

The sentences name no address and no user: `/readyz` shows them to anybody.
"""

from __future__ import annotations

from typing import cast

import redis

from geniequeue.errors import LedgerUnavailable
from geniequeue.jobs.ledger import Ledger

SAFE_POLICY = "noeviction"

AWAY = "Redis does not answer or refuses to write; start it, check REDIS_URL."
FULL = "Redis is full and refuses to write; raise its maxmemory, or keep fewer final jobs (LEDGER_KEEP)."
REPLICA = "Redis is a read-only replica; have REDIS_URL name the primary, or make this one the primary."
REFUSED = "Redis refuses the user or the password in REDIS_URL; correct it, then restart what uses it."
DENIED = "Redis denies the user in REDIS_URL a command or a key; give it all commands on all keys (~* &* +@all)."
LOADING = "Redis is reading its data and answers when it has done so; wait."
DISK = "Redis cannot write to its disk and so refuses to write at all; make room there, then look into Redis' own log."

_SENTENCES: tuple[tuple[type[redis.RedisError], str], ...] = (
    (redis.exceptions.OutOfMemoryError, FULL),
    (redis.exceptions.ReadOnlyError, REPLICA),
    (redis.exceptions.BusyLoadingError, LOADING),
    (redis.exceptions.AuthenticationError, REFUSED),
    (redis.exceptions.AuthenticationWrongNumberOfArgsError, REFUSED),
    (redis.exceptions.NoPermissionError, DENIED),
)


def unfit(ledger: Ledger) -> str | None:
    """Try to write; return why Redis cannot take jobs, None where it can. Nothing raises."""
    try:
        ledger.ping()
        return None
    except LedgerUnavailable as error:
        return sentence(error.__cause__)


def sentence(error: BaseException | None) -> str:
    """Return what an error of Redis means and what to do about it."""
    if isinstance(error, redis.ResponseError) and str(error).startswith("MISCONF"):
        return DISK
    return next((said for kind, said in _SENTENCES if isinstance(error, kind)), AWAY)


def evicting(client: redis.Redis) -> str | None:
    """Return the policy by which Redis throws keys away when it is full, None where it throws none away.

    Raises:
        redis.RedisError: Redis does not tell.
    """
    memory = cast("dict[str, str]", client.info("memory"))
    policy = memory.get("maxmemory_policy", SAFE_POLICY)
    return None if policy == SAFE_POLICY else policy


def evicts(policy: str) -> str:
    """Return what is wrong with an evicting policy."""
    return f"Redis throws jobs and leases away when it is full: maxmemory-policy is {policy}; set it to {SAFE_POLICY}."
