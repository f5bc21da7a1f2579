"""Jobs: look at them, cancel them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.auth import authenticated, principal
from api.blueprint import PREFIX, Blueprint
from api.rate_limit import limited
from api.schemas import CancelSchema, JobsQuerySchema, JobsSchema, ShownJobSchema
from api.services import services
from geniequeue.jobs.reader import Page
from geniequeue.pace import NO_PACE, read_pace

bp = Blueprint("jobs", __name__, url_prefix=PREFIX, description="Look at jobs and cancel them")


@bp.route("/jobs/<uuid:job_id>")
@authenticated
@limited("read")
@bp.failures(401, 404, 429, 503)
@bp.response(200, ShownJobSchema)
def show(job_id: UUID) -> dict[str, Any]:
    """Show one job: state, progress, pace, outputs, error"""
    job = services().jobs.job(str(job_id), principal())
    active = job["state"] == "active" and job["bullJobId"]
    return {**job, **(read_pace(services().ledger.client, job["bullJobId"]) if active else NO_PACE)}


@bp.route("/jobs")
@authenticated
@limited("read")
@bp.arguments(JobsQuerySchema, location="query")
@bp.failures(401, 422, 429, 503)
@bp.response(200, JobsSchema)
def index(query: dict[str, Any]) -> Page:
    """List the caller's jobs, newest first; an administrator sees everyone's"""
    return services().jobs.page(principal(), **query)


@bp.route("/jobs/<uuid:job_id>/cancel", methods=["POST"])
@authenticated
@limited("write")
@bp.failures(401, 404, 409, 429, 503)
@bp.response(200, CancelSchema)
def cancel(job_id: UUID) -> dict[str, str]:
    """Cancel a job

    A job that waits is off its queue at once (`cancelled`); one that runs is stopped within seconds (`cancelling`).
    """
    return {"job_id": str(job_id), "state": services().producer.cancel(str(job_id), principal())}
