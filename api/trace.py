"""Whose copy is it."""

from __future__ import annotations

from typing import Any

from api.auth import authenticated, principal
from api.blueprint import PREFIX, Blueprint
from api.rate_limit import limited
from api.request_id import request_id
from api.schemas import AcceptedSchema, EvidenceKeySchema, TraceRequestSchema
from api.services import services
from geniequeue.errors import RequestRefused
from geniequeue.jobs.request import TraceRequest
from geniequeue.jobs.runs import Accepted
from geniequeue.marks.evidence import ALGORITHM, public_key_of

bp = Blueprint("trace", __name__, url_prefix=PREFIX, description="Find out whose copy has leaked")


@bp.route("/trace", methods=["POST"])
@authenticated
@limited("write")
@bp.arguments(TraceRequestSchema())
@bp.failures(400, 401, 404, 413, 415, 422, 429, 503)
@bp.response(200, AcceptedSchema)
def trace(body: dict[str, Any]) -> tuple[Accepted, int, dict[str, str]]:
    """Enqueue a job that says whose copy a file is

    It has an item of its own, and is followed like any other job; `trace` of the job is the answer.
    """
    accepted = services().producer.trace(TraceRequest(**body, request_id=request_id()), principal())
    return accepted, 200, {"Location": f"{PREFIX}/jobs/{accepted.job_id}"}


@bp.route("/trace/key")
@authenticated
@limited("read")
@bp.failures(401, 404, 429)
@bp.response(200, EvidenceKeySchema)
def key() -> dict[str, str]:
    """Tell the public key that evidence is checked with"""
    seed = services().settings.evidence_key
    if seed is None:
        raise RequestRefused(404, "not_found", "This service signs no evidence: it has no key for that.")
    return {"algorithm": ALGORITHM, "public_key": public_key_of(seed)}
