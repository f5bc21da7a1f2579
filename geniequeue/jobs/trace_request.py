"""From a request for a trace to a spec that may run: who may ask about which copies."""

from __future__ import annotations

from typing import Any

from geniequeue.errors import RecordForbidden, RequestRefused, TokenRefused
from geniequeue.jobs.job import Spec
from geniequeue.jobs.request import TraceRequest, require_inputs
from geniequeue.marks.assets import Assets
from geniequeue.marks.issues import Issues
from geniequeue.operations import OPERATIONS, TRACING
from geniequeue.principal import Principal
from geniequeue.records.protocol import Records


def trace_spec(request: TraceRequest, job_id: str, user_id: str) -> Spec:
    """Return what a request for a trace runs.

    Raises:
        RequestRefused: 422 where no file is named.
    """
    if request.file_id is None and request.input_url is None:
        errors = {"file_id": ["name the stored file that leaked"]}
        raise RequestRefused(422, "invalid_request", "The request is not valid; see errors.", errors=errors)
    given = {"asset_file_id": request.asset_file_id} if request.asset_file_id else {}
    spec = Spec(
        operation=TRACING,
        job_id=job_id,
        owner_id=user_id,
        params=OPERATIONS[TRACING].load_params(given),
        input_file_id=request.file_id,
        input_url=request.input_url,
        request_id=request.request_id,
    )
    require_inputs(OPERATIONS[TRACING], spec)
    return spec


def item_of_trace(spec: Spec) -> dict[str, Any]:
    """Return the item that a trace is created with, as a creator may create it."""
    return {
        "id": spec.job_id,
        "operation": spec.operation,
        "input_file_id": spec.input_file_id,
        "params": dict(spec.params),
    }


def check_asset(service: Records, as_user: Records, spec: Spec, principal: Principal) -> None:
    """Refuse a trace of an asset that is not the caller's.

    An asset is whose jobs have issued copies of it. Of a file of his own that the caller has issued no copy of, the job
    will say just that; one that was but shared with him is nothing to him.

    Raises:
        RequestRefused: 404, as for a file that does not exist.
    """
    file_id = spec.params.get("asset_file_id") if spec.operation == TRACING else None
    if file_id is None or Issues(service).has_copies(file_id, spec.owner_id):
        return
    if principal.admin and Assets(service).get(file_id) is not None:
        return
    try:
        file = as_user.get_file(file_id)
        if principal.admin or file.uploaded_by == spec.owner_id:
            return
    except TokenRefused:
        raise
    except RecordForbidden:
        pass
    message = f"asset_file_id: there is no file {file_id} that you may trace leaks of."
    raise RequestRefused(404, "not_found", message)
