"""What a job uses of its owner's quota, and what becomes of that when the job ends.

A unit is taken before the run is accepted, stands in the run, and is used or returned with the first result. It comes
back where nothing was delivered for a reason that is not the owner's: the job failed for another one than its input
or a limit, or it was cancelled while it waited.
"""

from __future__ import annotations

from dataclasses import replace

from geniequeue.jobs.job import Run, Spec, run_id_of
from geniequeue.jobs.outcome import Cancelled, Completed, Failed, Final
from geniequeue.log import bind
from geniequeue.quota.quota import USERS_FAULTS, Quota
from geniequeue.quota.units import Units
from geniequeue.quota.verdict import QuotaRefused, Reservation, Unit


def reserve(quota: Quota, spec: Spec, round_: int, held: Unit | None = None) -> tuple[Spec, Reservation]:
    """Take the unit of a run that is about to be accepted; return the spec with it.

    Args:
        held: the unit of the job's last run.

    Raises:
        QuotaRefused: the owner's plan does not allow the job.
        LedgerUnavailable: Redis cannot be reached.
    """
    with bind(job_id=spec.job_id, operation=spec.operation):
        taken = quota.reserve(spec.owner_id, spec.operation, run_id_of(spec.job_id, round_), held=held)
    if not taken.verdict.allowed:
        raise QuotaRefused(taken.verdict)
    return replace(spec, unit=taken.unit, quota="unverified" if taken.unverified else None), taken


def end_unit(units: Units, run: Run, outcome: Final, attempt: int) -> None:
    """Say that a run has ended, and whether its unit counts; repeating it changes nothing.

    Args:
        attempt: of the result; not above those of earlier runs where none had begun.
    """
    if run.spec.unit is not None:
        units.end(replace(run.spec.unit, state="used" if is_used(run, outcome, attempt) else "returned"))


def is_used(run: Run, outcome: Final, attempt: int) -> bool:
    """Tell whether the unit of a run that ended like this counts."""
    match outcome:
        case Completed():
            return True
        case Failed(code):
            return code in USERS_FAULTS
        case Cancelled():
            return attempt > run.spec.attempts_before
