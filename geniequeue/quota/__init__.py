"""Tier quotas: verdicts, and the units that jobs take."""

from geniequeue.quota.quota import USERS_FAULTS, Quota
from geniequeue.quota.verdict import QuotaRefused, Reservation, Unit, Verdict

__all__ = ["USERS_FAULTS", "Quota", "QuotaRefused", "Reservation", "Unit", "Verdict"]
