"""What is left of the caller's plan."""

from __future__ import annotations

from typing import Any

from api.auth import authenticated, principal
from api.blueprint import PREFIX, Blueprint
from api.rate_limit import limited
from api.schemas import QuotaSchema
from api.services import services
from geniequeue.operations import PUBLIC_OPERATIONS
from geniequeue.quota import Verdict
from geniequeue.records.values import normal_timestamp

bp = Blueprint("quota", __name__, url_prefix=PREFIX, description="What is left of the caller's plan")


@bp.route("/quota")
@authenticated
@limited("read")
@bp.failures(401, 429, 503)
@bp.response(200, QuotaSchema)
def show() -> dict[str, Any]:
    """Show what the caller may still do in this billing cycle, by feature"""
    usage = services().quota.usage(principal().user_id)
    return {"tier": usage.tier, "features": [_shown(*each) for each in usage.verdicts.items()]}


def _shown(feature: str, verdict: Verdict) -> dict[str, Any]:
    assert verdict.cycle is not None  # noqa: S101 (usage names a cycle, or raises)
    return {
        "feature": feature,
        "operations": [name for name, operation in PUBLIC_OPERATIONS.items() if operation.feature == feature],
        "limit": verdict.limit,
        "used": verdict.used or 0,
        "remaining": verdict.left,
        "cycle_start": normal_timestamp(verdict.cycle.start),
        "cycle_end": normal_timestamp(verdict.cycle.end),
        "verdict": verdict.decision,
    }
