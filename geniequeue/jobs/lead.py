"""The lead: of all workers one does a work, until it has not said for some time that it still does."""

from __future__ import annotations

from typing import cast

import redis

from geniequeue.jobs.holder import Holder, holder_in_lock
from geniequeue.jobs.ledger import reachable
from geniequeue.scripts import Scripts


class Lead:
    """The lead of one kind of work; every method raises `LedgerUnavailable` when Redis cannot be reached.

    Args:
        lock: key that names the leader.
        leads: key of the counter of the times that the lead was taken.
        holder: who asks; a lead whose holder is gone is taken over at once.
        stands_s: how long the lead stands without being taken again.
    """

    def __init__(self, client: redis.Redis, lock: str, leads: str, holder: Holder, stands_s: float) -> None:
        self._redis = client
        self._keys = (lock, leads)
        self._holder = holder
        self._stands_ms = int(stands_s * 1000)
        self._left = False
        self._scripts = Scripts(client, "geniequeue.jobs", ("lead",))

    def take(self, *, eager: bool = True) -> str:
        """Take the lead, or keep it; return its token, '' while another one has it.

        The token is another one after each time that the lead was lost, so a script that compares it refuses whoever
        slept meanwhile.

        Args:
            eager: False to leave a lead that nobody has to others, until it is still free at the next call.
        """
        with reachable():
            standing = cast("str | None", self._redis.get(self._keys[0]))
        self._left = standing is None and not eager and not self._left
        if self._left:
            return ""
        leader = holder_in_lock(standing)
        return self._ask(standing or "" if leader is not None and leader.is_gone() else "", self._stands_ms)

    def give_back(self) -> None:
        """Let another one have the lead at once."""
        self._ask("", 0)

    def _ask(self, replaceable: str, stands_ms: int) -> str:
        with reachable():
            return str(self._scripts.call("lead", self._keys, [replaceable, str(self._holder), stands_ms]))
