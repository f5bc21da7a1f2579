"""The units in Redis: who has taken which, and which of them the records do not show yet.

For each user, feature and billing cycle there is one sorted set; its scores decide what counts, and the rows in the
records follow them. Every unit whose row may not fit yet is noted with the time from which on it can be settled: at
once when its job has ended, and for one that is only reserved when its run must have been accepted long since. So a
crash anywhere loses nothing and leaves nothing taken.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import redis

from geniequeue.errors import LedgerUnavailable
from geniequeue.quota.billing import Cycle
from geniequeue.quota.verdict import Unit
from geniequeue.records.values import normal_timestamp
from geniequeue.scripts import Scripts

KEEP_S = 7 * 86_400
"""How much longer than its cycle a set stands, for units that are settled or given back late."""

RESERVED_S = 60.0
"""After how long a reserved unit is asked for its run: longer than anybody takes to accept one."""

REJECTED_S = 180
"""How long the service counts as refused unless that is said again; settling says it more often."""

Taking = Literal["unread", "free", "full", "taken", "held"]


def units_key(user_id: str, feature: str, cycle: Cycle) -> str:
    """Sorted set of one user's units of a feature in a billing cycle: 1 taken, 0 given back."""
    return f"gq:quota:units:{user_id}:{feature}:{normal_timestamp(cycle.start)}"


def unsettled_key() -> str:
    """Hash of units, by id, whose row in the records may not fit yet."""
    return "gq:quota:unsettled"


def due_key() -> str:
    """Sorted set of their ids by when to settle them, in s since 1970."""
    return "gq:quota:due"


def rejected_key() -> str:
    """Flag: the record store refused the service itself."""
    return "gq:quota:rejected"


@dataclass(frozen=True)
class Noted:
    """A unit that is to be settled.

    Attributes:
        raw: as Redis has it; `settled` sees by it whether the unit has changed meanwhile.
        read_s: when it was read, in s since 1970.
    """

    unit: Unit
    raw: str
    read_s: float


class Units:
    """Units in one Redis database.

    Every method raises `LedgerUnavailable` when Redis cannot be reached.

    Args:
        client: connection with decoded responses.
        clock: seconds since 1970.
    """

    def __init__(self, client: redis.Redis, clock: Callable[[], float] = time.time) -> None:
        self._redis = client
        self._clock = clock
        self._scripts = Scripts(client, "geniequeue.quota", ("take", "end", "settled"))

    def take(
        self, unit: Unit, cycle: Cycle, limit: int, *, look: bool, known: Sequence[str] | None = None
    ) -> tuple[Taking, int]:
        """Take a unit unless the limit is reached, or only look.

        Args:
            limit: units in the cycle, -1 for no limit.
            known: ids that the records count, once they were read.

        Returns:
            `unread` until the records were read; else what it came to and how many units are taken.
        """
        keys = [units_key(unit.user_id, unit.feature, cycle), unsettled_key(), due_key()]
        given = [unit.id, limit, "look" if look else "take", self._ttl_s(cycle), _written(unit), self._asked_s()]
        state, used = self._call("take", keys, [*given, *(("0",) if known is None else ("1", *known))])
        return cast("Taking", state), int(used)

    def reserve(self, unit: Unit) -> bool:
        """Note a unit whose cycle nobody could tell, to be counted later; False where it was noted before."""
        with _reachable(), self._redis.pipeline() as together:
            together.hset(unsettled_key(), unit.id, _written(unit))
            together.zadd(due_key(), {unit.id: self._asked_s()})
            return bool(together.execute()[0])

    def end(self, unit: Unit) -> None:
        """Count a unit as its state says, whatever was said before, and have the records show it."""
        keys, given = [unsettled_key(), due_key()], [unit.id, _written(unit), self._clock()]
        if unit.cycle is not None:
            keys.append(units_key(unit.user_id, unit.feature, unit.cycle))
            given += [int(unit.counts), self._ttl_s(unit.cycle)]
        self._call("end", keys, given)

    def noted(self, unit_id: str) -> Unit | None:
        """Return a unit that is not settled."""
        with _reachable():
            stored = cast("str | None", self._redis.hget(unsettled_key(), unit_id))
        return Unit.from_json(json.loads(stored)) if stored else None

    def due(self, most: int) -> list[Noted]:
        """Return units that can be settled, those that wait longest first."""
        now_s = self._clock()
        with _reachable():
            ids = cast("list[str]", self._redis.zrangebyscore(due_key(), "-inf", now_s, start=0, num=most))
            stored = cast("list[str | None]", self._redis.hmget(unsettled_key(), ids)) if ids else []
        return [Noted(Unit.from_json(json.loads(raw)), raw, now_s) for raw in stored if raw]

    def is_taken(self, unit: Unit, cycle: Cycle) -> bool | None:
        """Tell whether a unit is taken; None where the set has not heard of it."""
        with _reachable():
            score = self._redis.zscore(units_key(unit.user_id, unit.feature, cycle), unit.id)
        return None if score is None else score == 1

    def settled(self, noted: Noted, unit: Unit, cycle: Cycle) -> bool:
        """Forget that a unit is unsettled, its row being written or deleted; False where it changed meanwhile.

        Args:
            noted: the unit as it was read.
            unit: as its row has it now.
        """
        keys = [unsettled_key(), due_key(), units_key(unit.user_id, unit.feature, cycle)]
        given = [unit.id, noted.raw, noted.read_s, int(unit.counts), self._ttl_s(cycle)]
        again = [_written(replace(unit, state=state)) for state in ("used", "returned")]
        return bool(self._call("settled", keys, [*given, *again]))

    def put_off(self, unit: Unit) -> None:
        """Look at a unit again in a while."""
        with _reachable():
            self._redis.zadd(due_key(), {unit.id: self._asked_s()}, xx=True)

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

    def _asked_s(self) -> float:
        return self._clock() + RESERVED_S

    def _ttl_s(self, cycle: Cycle) -> int:
        return KEEP_S + max(0, int(cycle.end.timestamp() - self._clock()))

    def _call(self, name: str, keys: Sequence[str], given: Sequence[Any]) -> Any:
        with _reachable():
            return self._scripts.call(name, keys, given)


@contextmanager
def _reachable() -> Iterator[None]:
    """Turn what Redis raises into `LedgerUnavailable`."""
    try:
        yield
    except redis.RedisError as error:
        raise LedgerUnavailable(f"Redis: {error}") from error


def _written(unit: Unit) -> str:
    """Return a unit as Redis notes it: never the same twice, so that whoever settles it sees that it was noted anew."""
    return json.dumps({**unit.as_json(), "noted": uuid.uuid4().hex})
