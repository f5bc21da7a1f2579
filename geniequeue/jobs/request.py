"""From a request and the item it names to a spec that may run: whose it is, and whether it is complete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from marshmallow import ValidationError

from geniequeue.errors import RecordForbidden, RequestRefused, RightMissing, TokenRefused
from geniequeue.jobs.job import DEFAULT_PRIORITY, MAX_PRIORITY, Run, Spec
from geniequeue.operations import LEAST_TOGETHER, OPERATIONS, SEVERAL_INPUTS, Operation
from geniequeue.principal import Principal
from geniequeue.records.protocol import Item, Records

ITEM_FIELDS = (
    *("id", "user_created", "operation", "status", "creator_profile_id", "input_file_id", "input_url"),
    *("params", "priority", "bull_job_id", "retry_count"),
)


@dataclass(frozen=True)
class MediaRequest:
    """What `POST /media` asks for; None where the request leaves it to the item."""

    job_id: str
    operation: str
    input_file_id: str | None = None
    input_url: str | None = None
    params: Mapping[str, Any] | None = None
    creator_profile_id: str | None = None
    priority: int | None = None
    request_id: str = field(default="", compare=False)


@dataclass(frozen=True)
class TraceRequest:
    """What `POST /trace` asks for.

    Attributes:
        file_id: of the leak.
        asset_file_id: of what was marked; None where that is not known.
    """

    file_id: str | None = None
    input_url: str | None = None
    asset_file_id: str | None = None
    request_id: str = field(default="", compare=False)


def not_found(job_id: str) -> RequestRefused:
    """Return the one answer for a job that does not exist and for somebody else's."""
    return RequestRefused(404, "not_found", f"There is no job {job_id} that you may see.")


def load_item(service: Records, job_id: str) -> Item | None:
    """Return the `media_jobs` item, or None where there is none.

    Raises:
        RightMissing: the service itself may not read items, so that nobody can tell.
    """
    try:
        return service.get_item("media_jobs", job_id, ITEM_FIELDS)
    except RecordForbidden as error:
        if service.count_items("media_jobs", {"id": job_id}):
            raise RightMissing(str(error), collection=error.collection, action=error.action) from error
        return None


def owner_of(service: Records, item: Item) -> str | None:
    """Return who owns an item: its creator, or the owner of its creator profile where no creator is set."""
    if item.get("user_created"):
        return str(item["user_created"])
    return profile_of(service, item.get("creator_profile_id"))[0]


def profile_of(service: Records, profile_id: str | None) -> tuple[str | None, str | None]:
    """Return owner and media folder of a creator profile, None where there is none."""
    if not profile_id:
        return None, None
    try:
        profile = service.get_item("creator_profiles", profile_id, ("user_id", "media_folder_id"))
    except RecordForbidden:
        return None, None
    return profile["user_id"], profile["media_folder_id"]


def owned_by(service: Records, item: Item, principal: Principal) -> str:
    """Return the owner of an item that the caller may act on.

    Raises:
        RequestRefused: 404, as for an item that does not exist.
    """
    owner = owner_of(service, item)
    if owner is not None and owner == principal.user_id:
        return owner
    if principal.admin:
        return owner or principal.user_id
    profile_owner, _ = profile_of(service, item.get("creator_profile_id"))
    if profile_owner == principal.user_id:
        return principal.user_id
    raise not_found(str(item["id"]))


def merge(request: MediaRequest, item: Item, owner_id: str, service: Records) -> Spec:
    """Merge request and item, the request winning, into what will run.

    Raises:
        RequestRefused: 409 `operation_mismatch`, 422 with the members that are missing or wrong, 404 for a creator
            profile of somebody else.
    """
    if item.get("operation") and item["operation"] != request.operation:
        raise RequestRefused(
            409,
            "operation_mismatch",
            f"The stored job says {item['operation']}, the request says {request.operation}; they must be the same.",
        )
    operation = OPERATIONS[request.operation]
    profile_id = request.creator_profile_id or item.get("creator_profile_id")
    spec = Spec(
        operation=operation.name,
        job_id=request.job_id,
        owner_id=owner_id,
        params=_params(operation, request.params if request.params is not None else item.get("params")),
        priority=_priority(request.priority, item.get("priority")),
        input_file_id=request.input_file_id or item.get("input_file_id"),
        input_url=request.input_url or item.get("input_url"),
        creator_profile_id=profile_id,
        folder_id=_folder(service, profile_id, owner_id),
        request_id=request.request_id,
    )
    require_inputs(operation, spec)
    return spec


def check_files(as_user: Records, spec: Spec) -> Spec:
    """Check every input file with the caller's own rights; return the spec with their sizes.

    Raises:
        RequestRefused: 404 for a file that is not there or not the caller's.
    """
    sizes = {}
    for name, file_id in input_files(spec).items():
        try:
            sizes[name] = as_user.get_file(file_id).filesize
        except TokenRefused:
            raise
        except RecordForbidden:
            field_name = "input_file_id" if name == "input" else f"params.{name}"
            raise RequestRefused(
                404, "not_found", f"{field_name}: there is no file {file_id} that you may see."
            ) from None
    return replace(spec, input_bytes=sizes)


def input_files(spec: Spec) -> dict[str, str]:
    """Return the ids of the files that a run reads, by role; the operation gets them in this order."""
    further: dict[str, str] = {}
    for name in OPERATIONS[spec.operation].file_params:
        given = spec.params.get(name)
        if isinstance(given, list):
            further |= {f"{name}.{number}": file_id for number, file_id in enumerate(given)}
        elif given:
            further[name] = given
    # A list that names the input, too, says where in it the input comes.
    first = {"input": spec.input_file_id} if spec.input_file_id else {}
    listed = any("." in role and file_id == spec.input_file_id for role, file_id in further.items())
    return further if listed else {**first, **further}


def _priority(requested: int | None, stored: int | None) -> int:
    priority = next(value for value in (requested, stored, DEFAULT_PRIORITY) if value is not None)
    if not 0 <= priority <= MAX_PRIORITY:
        raise _invalid({"priority": [f"expected a whole number from 0 to {MAX_PRIORITY}, got {priority}"]})
    return priority


def _params(operation: Operation, given: Any) -> dict[str, Any]:
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise _invalid({"params": ["expected an object"]})
    try:
        return operation.load_params(given)
    except ValidationError as error:
        raise _invalid({"params": error.messages}) from None


def _folder(service: Records, profile_id: str | None, owner_id: str) -> str | None:
    if not profile_id:
        return None
    profile_owner, folder_id = profile_of(service, profile_id)
    if profile_owner != owner_id:
        raise RequestRefused(
            404, "not_found", f"creator_profile_id: there is no creator profile {profile_id} of the job's owner."
        )
    return folder_id


def require_inputs(operation: Operation, spec: Spec) -> None:
    """Refuse a spec that lacks an input, or all but one of several (422)."""
    missing = [name for name in operation.requires if getattr(spec, name) is None]
    if spec.input_url and "input_file_id" in missing:
        message = "not offered by this version: upload the file and send input_file_id"
        raise _invalid({"input_url": [message]})
    if missing:
        raise _invalid({name: [f"required by {operation.name}"] for name in missing})
    if operation.takes_several and len(input_files(spec)) < LEAST_TOGETHER:
        message = f"expected at least {LEAST_TOGETHER} files, an input_file_id beside them included, got one"
        raise _invalid({"params": {SEVERAL_INPUTS: [message]}})


def _invalid(errors: Mapping[str, Any]) -> RequestRefused:
    return RequestRefused(422, "invalid_request", "The request is not valid; see errors.", errors=errors)


def row_of(run: Run) -> dict[str, Any]:
    """Return a run as its row in `media_job_runs`."""
    return {
        "id": run.id,
        "job_id": run.spec.job_id,
        "round": run.round,
        "user_id": run.spec.owner_id,
        "operation": run.spec.operation,
        "spec": run.spec.as_json(),
        "priority": run.spec.priority,
        "bull_job_id": run.bull_job_id,
        "number": int(run.number),
        "accepted_at": run.accepted_at,
        "open": True,
    }


def run_from_row(row: Item) -> Run:
    """Read a run back from its row."""
    spec = Spec.from_json(row["spec"])
    return Run(
        id=row["id"],
        round=row["round"],
        queue=row["bull_job_id"].split(":")[-2],
        bull_job_id=row["bull_job_id"],
        spec=spec,
        accepted_at=row["accepted_at"],
        open=row["open"],
    )
