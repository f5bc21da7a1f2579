"""The four endpoints of the original system."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.auth import authenticated, principal
from api.blueprint import PREFIX, Blueprint
from api.rate_limit import limited
from api.request_id import request_id
from api.schemas import AcceptedSchema, GenerationSchema, MediaRequestSchema, StatsSchema
from api.services import services
from geniequeue.jobs.request import MediaRequest
from geniequeue.jobs.runs import Accepted

bp = Blueprint("queue", __name__, url_prefix=PREFIX, description="Enqueue, retry and count jobs")


@bp.route("/stats")
@authenticated
@limited("read")
@bp.failures(401, 429, 503)
@bp.response(200, StatsSchema)
def stats() -> dict[str, Any]:
    """Count the jobs of every queue

    Waits for no worker: `active` is what the workers said within the last seconds, else what the ledger says.
    """
    overview = services().ledger.overview()
    return {"stats": overview.stats(), "taxonomy_cache": overview.taxonomy}


@bp.route("/media", methods=["POST"])
@authenticated
@limited("write")
@bp.arguments(MediaRequestSchema())
@bp.failures(400, 401, 404, 409, 413, 415, 422, 429, 503)
@bp.refused_by_quota
@bp.response(200, AcceptedSchema)
def enqueue(body: dict[str, Any]) -> tuple[Accepted, int, dict[str, str]]:
    """Enqueue a job whose `media_jobs` item exists

    The same job again, while it waits or runs, gets the same answer and runs once.
    """
    accepted = services().producer.accept(MediaRequest(**body, request_id=request_id()), principal())
    return accepted, 200, {"Location": f"{PREFIX}/jobs/{accepted.job_id}"}


@bp.route("/retry/<uuid:job_id>", methods=["POST"])
@authenticated
@limited("write")
@bp.failures(401, 404, 409, 422, 429, 503)
@bp.refused_by_quota
@bp.response(200, AcceptedSchema)
def retry(job_id: UUID) -> tuple[Accepted, int, dict[str, str]]:
    """Enqueue a failed job again, at priority 5"""
    accepted = services().producer.retry(str(job_id), principal(), request_id())
    return accepted, 200, {"Location": f"{PREFIX}/jobs/{accepted.job_id}"}


@bp.route("/taxonomy/invalidate", methods=["POST"])
@authenticated
@limited("write")
@bp.failures(401, 429, 503)
@bp.response(200, GenerationSchema)
def invalidate_taxonomy() -> dict[str, int]:
    """Have the taxonomy cache rebuilt before it is used again"""
    return {"generation": services().taxonomy.invalidate()}
