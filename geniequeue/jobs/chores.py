"""Chores: small periodic work that one of all workers does.

Every chore may be done twice at once, or be left in the middle, and harms nothing. Whoever takes its turn in Redis does
it; the turn runs out by itself, so a worker that dies holds nobody up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import redis

from geniequeue.errors import LedgerUnavailable, RecordsError
from geniequeue.jobs import keys
from geniequeue.jobs.ledger import reachable
from geniequeue.log import get_logger

log = get_logger(__name__)


@dataclass(frozen=True)
class Chore:
    """Something to be done again and again.

    Attributes:
        name: of its turn in Redis; one word.
        every_s: how often, at most.
        do: returns how much there was to do.
    """

    name: str
    every_s: float
    do: Callable[[], int]


def do_if_due(client: redis.Redis, chore: Chore, in_trouble: set[str]) -> None:
    """Do a chore where it is due and nobody else has its turn; trouble is told once, until it is over.

    Args:
        in_trouble: names of the chores that went wrong last time; kept up here.
    """
    try:
        if not _take_turn(client, chore):
            return
        done = chore.do()
    except (LedgerUnavailable, RecordsError) as error:
        if chore.name not in in_trouble:
            log.warning("chore not done", chore=chore.name, error=str(error))
        in_trouble.add(chore.name)
    except Exception:
        log.exception("chore broke", chore=chore.name)
    else:
        in_trouble.discard(chore.name)
        if done:
            log.info("chore done", chore=chore.name, done=done)


def _take_turn(client: redis.Redis, chore: Chore) -> bool:
    """Take the turn of a chore, unless somebody had it less than `every_s` ago."""
    turn, every_ms = keys.turn(chore.name), int(chore.every_s * 1000)
    with reachable():
        taken = bool(client.set(turn, "1", nx=True, px=every_ms))
        if not taken and client.pttl(turn) > every_ms:  # Redis' clock was set back
            client.pexpire(turn, every_ms)
    return taken
