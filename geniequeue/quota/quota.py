"""May this user do that? And the unit that it takes if he does.

    reserve → (the job runs) record → (it failed, and not by its owner's fault) give_back

A unit is taken in Redis, atomically, and written to the records later; `settle` does whatever a crash or an absent
record store left undone. Redis is the queue itself, so its absence is no reason to let a job through; everything else
that can go wrong is, and `_judge` says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import redis

from geniequeue.errors import RecordForbidden, RecordsError, RecordsUnavailable
from geniequeue.log import get_logger
from geniequeue.metrics import QUOTA_UNVERIFIED
from geniequeue.operations import OPERATIONS
from geniequeue.quota.billing import Cycle, MalformedSource, billing_cycle
from geniequeue.quota.budget import Budget, Caller, SourceSlow, unhurried
from geniequeue.quota.fail_open import fails_open
from geniequeue.quota.source import Source
from geniequeue.quota.tiers import NOT_IN_TIER, Tiers, load_tiers
from geniequeue.quota.units import KEEP_S, Units
from geniequeue.quota.verdict import Reservation, Unit, Verdict, unit_id_of
from geniequeue.records.protocol import Records
from geniequeue.records.values import normal_timestamp

BUDGET_S = 2.0
SOURCE_THREADS = 16
REJECTED = "rejected"
UNCOUNTED = Verdict("allowed")

UNANSWERED = {
    SourceSlow: "slow",
    RecordsUnavailable: "unreachable",
    MalformedSource: "malformed",
    RecordForbidden: REJECTED,
    RecordsError: "refused",
}
"""Why a job is let through unverified."""

USERS_FAULTS = frozenset({"input", "policy"})
"""Kinds of failure that keep their unit: the work was wrong before it began."""

log = get_logger(__name__)


class Quota:
    """Counts what users do against what their tiers allow.

    Every method raises `LedgerUnavailable` when Redis cannot be reached.

    Args:
        client: connection with decoded responses.
        records: with the service's rights.
        tiers: the table of limits; by default the one that ships.
        clock: seconds since 1970.
        budget_s: how long the records may take to answer a job that wants in.
    """

    def __init__(
        self,
        client: redis.Redis,
        records: Records,
        *,
        tiers: Tiers | None = None,
        clock: Callable[[], float] = time.time,
        budget_s: float = BUDGET_S,
    ) -> None:
        self._units = Units(client)
        self._source = Source(records, clock)
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

    def reserve(
        self, user_id: str, operation: str, job_id: str, *, round_: int = 1, held: Unit | None = None
    ) -> Reservation:
        """Take a unit for a job; again for the same job and round counts once.

        Args:
            round_: of the job; more than 1 for a retry by the user.
            held: the unit of its last round, which is used again unless it was given back.
        """
        feature = OPERATIONS[operation].feature
        if feature is None:
            return Reservation(UNCOUNTED)
        return self._judge(self._unit(unit_id_of(job_id, round_), user_id, feature), held, look=False)

    def usage(self, user_id: str) -> dict[str, Verdict]:
        """Return what a user may still do, by feature.

        Raises:
            RecordsError: the records do not answer, or not with what is needed.
        """
        call = Budget(self._pool, self._budget_s)
        wanted = {feature: self._unit("", user_id, feature) for feature in self._tiers.features}
        return {feature: self._weigh(unit, look=True, call=call).verdict for feature, unit in wanted.items()}

    def record(self, unit: Unit) -> bool:
        """Write a unit to the records, for its job runs; again changes nothing.

        Returns:
            whether it stands there; otherwise `settle` will write it.
        """
        if self._stands(unit):
            return True
        self._units.note(unit, ttl_s=self._ttl_s(unit.cycle), overwrite=True)
        return self._settle_all([unit]) == 1

    def give_back(self, unit: Unit) -> bool:
        """Give a unit back, in Redis and in the records; again changes nothing.

        Returns:
            whether the records show it; otherwise `settle` will see to it.
        """
        returned = replace(unit, returned=True)
        self._units.note(returned, ttl_s=self._ttl_s(unit.cycle), overwrite=True)
        return self._settle_all([returned]) == 1

    def settle(self) -> int:
        """Write and delete what the records do not show yet, unverified units among it; return how many fit now."""
        return self._settle_all(self._units.all_noted())

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
        fresh = self._units.note(wanted, ttl_s=KEEP_S, overwrite=True)
        return Reservation(verdict, wanted, unverified=True, fresh=fresh)

    @fails_open(UNANSWERED, answer=_let_through, metric=QUOTA_UNVERIFIED)
    def _judge(self, wanted: Unit, held: Unit | None, *, look: bool) -> Reservation:
        call = Budget(self._pool, self._budget_s)
        if held is not None and self._still_counts(held, call):
            return Reservation(Verdict("allowed", held.feature), held)
        return self._weigh(wanted, look=look, call=call)

    def _weigh(self, wanted: Unit, *, look: bool, call: Caller) -> Reservation:
        """Hold a unit against its limit and take it, or only look."""
        unit, cycle, tier = self._dated(wanted, call)
        limit = self._tiers.limit(tier, unit.feature)
        if limit == NOT_IN_TIER:
            return Reservation(Verdict("not_in_tier", unit.feature, limit, None, cycle))
        ttl_s = self._ttl_s(cycle)
        state, used = self._units.take(unit, cycle, limit, look=look, ttl_s=ttl_s)
        if state == "unread":
            known = self._source.taken(unit, cycle, call)
            state, used = self._units.take(unit, cycle, limit, look=look, ttl_s=ttl_s, known=known)
        verdict = Verdict("limit_reached" if state == "full" else "allowed", unit.feature, limit, used, cycle)
        return Reservation(verdict, unit if state in ("taken", "held") else None, fresh=state == "taken")

    def _dated(self, unit: Unit, call: Caller) -> tuple[Unit, Cycle, str | None]:
        """Find the billing cycle that a unit counts in, and the tier it is held against."""
        plan = self._source.subscription(unit.user_id, call)
        cycle = billing_cycle(plan.start, plan.period, datetime.fromisoformat(unit.at))
        return replace(unit, cycle=cycle), cycle, plan.tier

    def _still_counts(self, held: Unit, call: Caller) -> bool:
        noted = self._units.noted(held.id)
        if noted is not None:
            return not noted.returned
        taken = self._units.is_taken(held, held.cycle) if held.cycle else None
        return call(lambda: self._source.has_row(held)) if taken is None else taken

    def _stands(self, unit: Unit) -> bool:
        """Tell whether a unit is taken and written, as far as Redis knows."""
        return (
            unit.cycle is not None and bool(self._units.is_taken(unit, unit.cycle)) and not self._units.noted(unit.id)
        )

    def _settle_all(self, units: Iterable[Unit]) -> int:
        """Settle units until the records refuse or do not answer; what is left stays noted."""
        settled = 0
        for unit in units:
            try:
                settled += self._settle(unit)
            except (RecordsUnavailable, RecordForbidden) as error:
                if isinstance(error, RecordForbidden):
                    self._units.set_rejected(True)
                log.warning("usage is not in the records yet", error=str(error), settled=settled)
                break
            except RecordsError as error:
                log.warning("unit cannot be counted", unit_id=unit.id, user_id=unit.user_id, error=str(error))
        return settled

    def _settle(self, noted: Unit) -> bool:
        """Make a unit's row fit what Redis says; False where Redis forgot it meanwhile."""
        unit, cycle = noted, noted.cycle
        if cycle is None:
            unit, cycle, _ = self._dated(noted, unhurried)
        # what Redis says by now is newer than the note, unless it could not say anything before
        overwrite = noted.cycle is None and noted.returned
        self._units.note(unit, ttl_s=self._ttl_s(cycle), overwrite=overwrite)
        settled = self._align(unit, cycle)
        if settled and noted.cycle is None:
            self._units.set_rejected(False)
        return settled

    def _align(self, unit: Unit, cycle: Cycle) -> bool:
        """Write or delete a unit's row, again where the unit was taken or given back meanwhile."""
        while (taken := self._units.is_taken(unit, cycle)) is not None:
            if taken:
                self._source.write(unit, cycle)
            else:
                self._source.erase(unit)
            if self._units.settled(unit, cycle, taken=taken):
                return True
        return False

    def _unit(self, unit_id: str, user_id: str, feature: str) -> Unit:
        return Unit(unit_id, user_id, feature, normal_timestamp(datetime.fromtimestamp(self._clock(), UTC)))

    def _ttl_s(self, cycle: Cycle | None) -> int:
        return KEEP_S + (max(0, int(cycle.end.timestamp() - self._clock())) if cycle else 0)
