"""May this user do that? And the unit that it takes if he does.

    reserve → (the job runs) → used, or where it failed and not by its owner's fault, returned

A unit is taken in Redis, atomically; `settling` writes it to the records later, and does whatever a crash or an absent
record store left undone. Redis is the queue itself, so its absence is no reason to let a job through; everything else
that can go wrong is, and `_judge` says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import redis

from geniequeue.accounts import Accounts
from geniequeue.errors import (
    MalformedSource,
    RecordForbidden,
    RecordsError,
    RecordsUnavailable,
    ServiceTokenRefused,
    SourceSlow,
)
from geniequeue.metrics import QUOTA_UNVERIFIED, Numbers
from geniequeue.operations import OPERATIONS
from geniequeue.quota.budget import Budget, Caller
from geniequeue.quota.fail_open import fails_open
from geniequeue.quota.settling import Settler
from geniequeue.quota.source import Source
from geniequeue.quota.tiers import NOT_IN_TIER, Tiers, load_tiers
from geniequeue.quota.units import Units
from geniequeue.quota.verdict import Reservation, Unit, Usage, Verdict
from geniequeue.records.protocol import Records
from geniequeue.records.values import normal_timestamp

BUDGET_S = 2.0
SOURCE_THREADS = 16
REJECTED = "rejected"
UNCOUNTED = Verdict("allowed")

UNANSWERED = {
    SourceSlow: "slow",
    ServiceTokenRefused: REJECTED,
    RecordsUnavailable: "unreachable",
    MalformedSource: "malformed",
    RecordForbidden: REJECTED,
    RecordsError: "refused",
}
"""Why a job is let through unverified."""

USERS_FAULTS = frozenset({"input", "policy"})
"""Kinds of failure that keep their unit: the work was wrong before it began."""


class Quota:
    """Counts what users do against what their tiers allow.

    Every method raises `LedgerUnavailable` when Redis cannot be reached.

    Args:
        client: connection with decoded responses.
        records: with the service's rights.
        accounts: of everybody, read from the same records.
        tiers: the table of limits; by default the one that ships.
        clock: seconds since 1970.
        budget_s: how long the records may take to answer a job that wants in.
    """

    def __init__(
        self,
        client: redis.Redis,
        records: Records,
        accounts: Accounts,
        *,
        tiers: Tiers | None = None,
        clock: Callable[[], float] = time.time,
        budget_s: float = BUDGET_S,
    ) -> None:
        self.numbers = Numbers(client)
        self._units = Units(client, clock)
        self._source = Source(records, accounts)
        self._settler = Settler(self._units, self._source)
        self._tiers = tiers or load_tiers()
        self._clock = clock
        self._budget_s = budget_s
        self._pool = ThreadPoolExecutor(SOURCE_THREADS, thread_name_prefix="quota")

    def can_perform(self, user_id: str, operation: str) -> Verdict:
        """Tell whether a user may do an operation now; nothing is taken."""
        feature = OPERATIONS[operation].feature
        if feature is None:
            return UNCOUNTED
        return self._judge(self._unit("", user_id, feature), None, look=True).verdict

    def reserve(self, user_id: str, operation: str, run_id: str, *, held: Unit | None = None) -> Reservation:
        """Take a unit for a run that is about to be accepted; again for the same run counts once.

        Args:
            held: the unit of the job's last run, which is used again unless it was given back.
        """
        feature = OPERATIONS[operation].feature
        if feature is None:
            return Reservation(UNCOUNTED)
        return self._judge(self._unit(run_id, user_id, feature), held, look=False)

    def give_back(self, unit: Unit) -> None:
        """Give a unit back that no job needs; again changes nothing."""
        self._units.end(replace(unit, state="returned"))

    def usage(self, user_id: str) -> Usage:
        """Return what a user may still do.

        Raises:
            RecordsError: the records do not answer, or not with what is needed.
        """
        call = Budget(self._pool, self._budget_s)
        wanted = {feature: self._unit("", user_id, feature) for feature in self._tiers.features}
        verdicts = {feature: self._weigh(unit, look=True, call=call).verdict for feature, unit in wanted.items()}
        plan = self._source.plan(self._unit("", user_id, ""), call)
        return Usage(self._tiers.name_of(plan.tier), verdicts)

    def settle(self) -> int:
        """Bring the records in line with what is taken; return how many rows fit now. See `Settler.settle`."""
        return self._settler.settle()

    def is_rejected(self) -> bool:
        """Tell whether the record store refuses the service itself: then nothing is verified until that is mended."""
        return self._units.is_rejected()

    def _let_through(self, cause: str, wanted: Unit, held: Unit | None, *, look: bool) -> Reservation:
        """Allow what could not be judged; a unit that it takes is counted later."""
        if cause == REJECTED:
            self._units.set_rejected(True)
        verdict = Verdict("allowed", wanted.feature)
        if look or held is not None:
            return Reservation(verdict, held, unverified=True)
        return Reservation(verdict, wanted, unverified=True, fresh=self._units.reserve(wanted))

    @fails_open(UNANSWERED, answer=_let_through, metric=QUOTA_UNVERIFIED)
    def _judge(self, wanted: Unit, held: Unit | None, *, look: bool) -> Reservation:
        call = Budget(self._pool, self._budget_s)
        if held is not None and self._still_counts(held, call):
            return Reservation(Verdict("allowed", held.feature), held)
        return self._weigh(wanted, look=look, call=call)

    def _weigh(self, wanted: Unit, *, look: bool, call: Caller) -> Reservation:
        """Hold a unit against its limit and take it, or only look."""
        plan = self._source.plan(wanted, call)
        unit, cycle = replace(wanted, cycle=plan.cycle), plan.cycle
        limit = self._tiers.limit(plan.tier, unit.feature)
        if limit == NOT_IN_TIER:
            return Reservation(Verdict("not_in_tier", unit.feature, limit, None, cycle))
        state, used = self._units.take(unit, cycle, limit, look=look)
        if state == "unread":
            known = self._source.taken(unit, cycle, call)
            state, used = self._units.take(unit, cycle, limit, look=look, known=known)
        verdict = Verdict("limit_reached" if state == "full" else "allowed", unit.feature, limit, used, cycle)
        return Reservation(verdict, unit if state in ("taken", "held") else None, fresh=state == "taken")

    def _still_counts(self, held: Unit, call: Caller) -> bool:
        noted = self._units.noted(held.id)
        if noted is not None:
            return noted.counts
        taken = self._units.is_taken(held, held.cycle) if held.cycle else None
        return call(lambda: bool(self._source.counted([held.id]))) if taken is None else taken

    def _unit(self, unit_id: str, user_id: str, feature: str) -> Unit:
        return Unit(unit_id, user_id, feature, normal_timestamp(datetime.fromtimestamp(self._clock(), UTC)))
