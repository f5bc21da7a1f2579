"""The units in Redis: who has taken which, and which of them the records do not show yet.

For each user, feature and billing cycle there is one sorted set; its scores decide what counts, and the row in the
records follows them. Every unit whose row may not fit yet is noted in one hash, so that a crash between the two loses
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Literal, cast

import redis

from geniequeue.errors import LedgerUnavailable
from geniequeue.quota.billing import Cycle
from geniequeue.quota.verdict import Unit
from geniequeue.records.values import normal_timestamp

KEEP_S = 7 * 86_400
"""How much longer than its cycle a set stands, for units that are settled or given back late."""

REJECTED_S = 180
"""How long `/readyz` stays red after the service was last refused; `settle` runs more often than that."""

Taking = Literal["unread", "free", "full", "taken", "held"]


def units_key(user_id: str, feature: str, cycle: Cycle) -> str:
    """Sorted set of one user's units of a feature in a billing cycle: 1 taken, 0 given back."""
    return f"gq:quota:units:{user_id}:{feature}:{normal_timestamp(cycle.start)}"


def unsettled_key() -> str:
    """Hash of units, by id, whose row in the records may not fit yet."""
    return "gq:quota:unsettled"


def rejected_key() -> str:
    """Flag: the record store refused the service itself."""
    return "gq:quota:rejected"


class Units:
    """Units in one Redis database.

    Every method raises `LedgerUnavailable` when Redis cannot be reached.

    Args:
        client: connection with decoded responses.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._take = client.register_script(_source("take"))
        self._settled = client.register_script(_source("settled"))

    def take(
        self, unit: Unit, cycle: Cycle, limit: int, *, look: bool, ttl_s: int, known: Sequence[str] | None = None
    ) -> tuple[Taking, int]:
        """Take a unit unless the limit is reached, or only look.

        Args:
            limit: units in the cycle, -1 for no limit.
            ttl_s: how long the set stands from now.
            known: ids that the records count, once they were read.

        Returns:
            `unread` until the records were read; else what it came to and how many units are taken.
        """
        given: list[str | int] = [unit.id, limit, "look" if look else "take", ttl_s, json.dumps(unit.as_json())]
        with _reachable():
            state, used = self._take(
                keys=[units_key(unit.user_id, unit.feature, cycle), unsettled_key()],
                args=[*given, *(("0",) if known is None else ("1", *known))],
            )
        return cast("Taking", state), int(used)

    def note(self, unit: Unit, *, ttl_s: int, overwrite: bool) -> bool:
        """Note a unit as unsettled, and where its cycle is known, count it as taken or returned.

        Args:
            overwrite: whether it counts also against what the set says by now.

        Returns:
            whether it was not noted before.
        """
        with _reachable(), self._redis.pipeline() as together:
            together.hset(unsettled_key(), unit.id, json.dumps(unit.as_json()))
            if unit.cycle is not None:
                key = units_key(unit.user_id, unit.feature, unit.cycle)
                together.zadd(key, {unit.id: 0 if unit.returned else 1}, nx=not overwrite)
                together.expire(key, ttl_s)
            return bool(together.execute()[0])

    def noted(self, unit_id: str) -> Unit | None:
        """Return a unit that is not settled."""
        with _reachable():
            stored = cast("str | None", self._redis.hget(unsettled_key(), unit_id))
        return Unit.from_json(json.loads(stored)) if stored else None

    def all_noted(self) -> list[Unit]:
        """Return every unit that is not settled."""
        with _reachable():
            stored = [value for _, value in self._redis.hscan_iter(unsettled_key())]
        return [Unit.from_json(json.loads(value)) for value in stored]

    def is_taken(self, unit: Unit, cycle: Cycle) -> bool | None:
        """Tell whether a unit is taken; None where the set has not heard of it."""
        with _reachable():
            score = self._redis.zscore(units_key(unit.user_id, unit.feature, cycle), unit.id)
        return None if score is None else score == 1

    def settled(self, unit: Unit, cycle: Cycle, *, taken: bool) -> bool:
        """Forget that a unit is unsettled, its row being written or deleted; False where it changed meanwhile."""
        with _reachable():
            keys = [units_key(unit.user_id, unit.feature, cycle), unsettled_key()]
            return bool(self._settled(keys=keys, args=[unit.id, int(taken)]))

    def set_rejected(self, rejected: bool) -> None:
        """Raise or lower the flag that the record store refuses the service."""
        with _reachable():
            if rejected:
                self._redis.set(rejected_key(), "1", ex=REJECTED_S)
            else:
                self._redis.delete(rejected_key())

    def is_rejected(self) -> bool:
        """Tell whether the record store refused the service lately."""
        with _reachable():
            return bool(self._redis.exists(rejected_key()))


@contextmanager
def _reachable() -> Iterator[None]:
    """Turn what Redis raises into `LedgerUnavailable`."""
    try:
        yield
    except redis.RedisError as error:
        raise LedgerUnavailable(f"Redis: {error}") from error


def _source(name: str) -> str:
    return resources.files("geniequeue.quota").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
