"""What the quota answers, and the unit that an allowed job takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from geniequeue.errors import RequestRefused
from geniequeue.quota.billing import Cycle
from geniequeue.quota.tiers import UNLIMITED
from geniequeue.records.values import normal_timestamp

Decision = Literal["allowed", "limit_reached", "not_in_tier"]
State = Literal["reserved", "used", "returned"]

MESSAGES: Mapping[Decision, str] = {
    "limit_reached": "You have reached your plan limit for this feature. Upgrade to continue.",
    "not_in_tier": "Your plan does not include this feature. Upgrade to continue.",
}


@dataclass(frozen=True)
class Verdict:
    """Whether a user may do something.

    Attributes:
        decision: one of a closed set.
        feature: what it counts as; None for what is not counted.
        limit: units in a cycle; -1 is unlimited, None where nobody could say.
        used: units taken in this cycle; None where nobody could say or nobody needed to.
        cycle: this billing cycle; None where nobody could say.
    """

    decision: Decision
    feature: str | None = None
    limit: int | None = None
    used: int | None = None
    cycle: Cycle | None = None

    @property
    def allowed(self) -> bool:
        """Whether the job may be sent."""
        return self.decision == "allowed"

    @property
    def left(self) -> int | None:
        """Return the units that are left; None for unlimited and unknown."""
        if self.limit in (None, UNLIMITED):
            return None
        return max(0, (self.limit or 0) - (self.used or 0))


@dataclass(frozen=True)
class Usage:
    """What somebody may still do.

    Attributes:
        tier: as the table of tiers calls it.
        verdicts: one for each feature.
    """

    tier: str
    verdicts: Mapping[str, Verdict]


@dataclass(frozen=True)
class Unit:
    """What one job uses of a feature: one row of `user_usage_counts`.

    Attributes:
        id: that of the run which took it, so that taking it twice counts once.
        user_id: who pays.
        at: when it was taken, ISO 8601; decides the cycle of one that is counted later.
        cycle: the billing cycle it counts in; None for an unverified one until the records could be asked.
        state: `reserved` when it is taken, `used` or `returned` when its job has ended.
    """

    id: str
    user_id: str
    feature: str
    at: str
    cycle: Cycle | None = None
    state: State = "reserved"

    @property
    def counts(self) -> bool:
        """Whether it is taken: reserved ones count too."""
        return self.state != "returned"

    def as_json(self) -> dict[str, Any]:
        """Return the members as a run and Redis keep them."""
        start, end = (normal_timestamp(self.cycle.start), normal_timestamp(self.cycle.end)) if self.cycle else ("", "")
        return {
            "id": self.id,
            "user_id": self.user_id,
            "feature": self.feature,
            "at": self.at,
            "cycle_start": start,
            "cycle_end": end,
            "state": self.state,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Unit:
        """Read a unit back."""
        start, end = stored["cycle_start"], stored["cycle_end"]
        cycle = Cycle(datetime.fromisoformat(start), datetime.fromisoformat(end)) if start else None
        return cls(stored["id"], stored["user_id"], stored["feature"], stored["at"], cycle, stored["state"])


@dataclass(frozen=True)
class Reservation:
    """The answer to a job that wants a unit.

    Attributes:
        unit: what it took; None where it was refused or is not counted.
        unverified: let through because the quota could not be asked; to be counted later.
        fresh: taken by this call and not before; whoever asked gives it back where another run has its job.
    """

    verdict: Verdict
    unit: Unit | None = None
    unverified: bool = False
    fresh: bool = False


class QuotaRefused(RequestRefused):
    """Refuse a job by the quota; `body` is the whole answer, as the API promises it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(403, "tier_limit_reached", MESSAGES[verdict.decision], reason=verdict.decision)

    @property
    def body(self) -> dict[str, Any]:
        """Return the three members of the answer."""
        return {"error": self.code, "reason": self.reason, "message": self.message}
