"""A copy for a fan: marked in the sandbox, put on record, and only then released.

    the row of an earlier attempt, or a new trace id → mark and read back, by what is kept of the asset already →
    keep the asset → issue → announce and upload

The issue's row is the point of no return: before it nothing has left, after it every further attempt marks with the
trace id that stands there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from geniequeue.errors import InputError, RecordNotUnique, ToolError, UpstreamError
from geniequeue.jobs.outcome import Completed
from geniequeue.keys import MarkKey, MarkKeys
from geniequeue.log import get_logger
from geniequeue.marks.assets import Asset, Assets, plane_file_id_of
from geniequeue.marks.issues import Issue, Issues, draw_trace_id, issue_id_of, written
from geniequeue.operations import MARKING, OPERATIONS
from geniequeue.sandbox.inside import Output
from geniequeue.sandbox.result import SandboxResult
from tasks import outputs
from tasks.attempt import Attempt
from tasks.inputs import WORK_DONE_PERCENT, checked_params, fetch_inputs, run_in_sandbox
from tasks.kept import AssetLost, plane_of

OPTIONS = ("format", "quality", "background", "strength")

log = get_logger(__name__)


@dataclass(frozen=True)
class Original:
    """What a copy is made of.

    Attributes:
        file_id: the asset that leaks are laid over later.
        path: its content.
        fan_id: whose copy it becomes.
        options: params of the operation that the sandbox needs, too.
        allow_marked: whether it may be a marked copy itself.
        keep: whether it is not stored yet, and has to be, for a leak to be laid over it.
    """

    file_id: str
    path: Path
    fan_id: str
    options: Mapping[str, Any]
    allow_marked: bool
    keep: bool = False


def perform(attempt: Attempt, folder: Path) -> Completed:
    """Make, record and store a marked copy of the input.

    Raises:
        InputError: the input cannot carry a mark, or carries one already and that is not allowed.
        ToolError: the service has no key.
    """
    params, path = checked_params(attempt.run.spec), fetch_inputs(attempt, folder)["input"]
    options = {name: params[name] for name in OPTIONS}
    file_id, allowed = str(attempt.run.spec.input_file_id), params["allow_marked"]
    return issue_copy(attempt, folder, Original(file_id, path, params["fan_id"], options, allowed))


def issue_copy(attempt: Attempt, folder: Path, original: Original, before: SandboxResult | None = None) -> Completed:
    """Make, record and store a marked copy.

    Args:
        before: the work that has made the original.
    """
    issues, spec = Issues(attempt.services.records), attempt.run.spec
    standing = issues.of_job(spec.job_id)
    key = marking_key(attempt.services.settings.mark_keys, standing)
    parent = issues.behind(str(spec.input_file_id))
    if parent is not None:
        refuse_marked(original)
    trace_id = standing.trace_id if standing else draw_trace_id()
    begin = WORK_DONE_PERCENT / 2 if before else 0.0
    asset = attempt.patiently(lambda: Assets(attempt.services.records).get(original.file_id))
    kept = {"plane": plane_of(attempt, folder, asset)} if asset else {}
    result = run_in_sandbox(
        attempt,
        OPERATIONS[MARKING].function,
        {"input": original.path, **kept},
        out_dir=folder / "out",
        params=_for_sandbox(attempt, original, key, trace_id),
        progress=(begin, WORK_DONE_PERCENT),
    )
    copy, plane = _told_apart(result)
    parent = parent or _parent_inside(issues, copy)
    if parent is not None:
        refuse_marked(original)
    standing_asset = asset or _keep_asset(attempt, original, plane, copy, folder / "out" / plane.name)
    check_asset(standing_asset, plane, copy, known=asset is not None)
    issue = Issue(
        id=issue_id_of(spec.job_id),
        trace_id=trace_id,
        fan_id=original.fan_id,
        job_id=spec.job_id,
        owner_id=spec.owner_id,
        asset_file_id=original.file_id,
        output_file_id="",
        key_id=key.id,
        strength=original.options["strength"],
        parent_id=parent.id if parent else None,
    )
    released = _together(before, replace(result, outputs=(_without_traces(copy),)))
    return outputs.store(attempt, released, folder / "out", release=partial(record, issues, issue))


def marking_key(keys: MarkKeys, standing: Issue | None) -> MarkKey:
    """Return the key that marks: the current one, or the one of the row that an earlier attempt has written.

    Raises:
        ToolError: the service has no such key.
    """
    wanted = standing.key_id if standing else keys.current.id if keys.current else None
    for key in keys.all:
        if key.id == wanted:
            return key
    log.error("no key to mark with", key_id=wanted)
    message = "The service has no key to mark copies with; its operators have to set WATERMARK_KEY_B64."
    raise ToolError(message, reason="no_watermark_key")


def _for_sandbox(attempt: Attempt, original: Original, key: MarkKey, trace_id: int) -> dict[str, Any]:
    """Return what the sandbox needs to know: not the fan, and no key itself."""
    return {
        **original.options,
        "asset": original.file_id,
        "trace_id": written(trace_id),
        "key": key.marking.hex(),
        "keys": [each.marking.hex() for each in attempt.services.settings.mark_keys.all],
    }


def _told_apart(result: SandboxResult) -> tuple[Output, Output]:
    by_role = {output.role: output for output in result.outputs}
    if set(by_role) != {"output", "plane"}:
        raise ToolError("the operation gave an answer that makes no sense; send another file", reason="garbage")
    return by_role["output"], by_role["plane"]


def _parent_inside(issues: Issues, copy: Output) -> Issue | None:
    """Return the copy that the input was found to be; bits that no copy has are a reading of chance."""
    found = copy.facts.get("marked_with")
    return issues.of_payload(int(str(found), 16)) if found else None


def refuse_marked(original: Original) -> None:
    """Refuse an input that is a marked copy, unless that is allowed.

    Raises:
        InputError: reason `already_marked`.
    """
    if not original.allow_marked:
        raise InputError(
            "the file is a copy that was marked already; mark the original, or send allow_marked: true "
            "for a copy of the copy",
            reason="already_marked",
        )


def _keep_asset(attempt: Attempt, original: Original, plane: Output, copy: Output, path: Path) -> Asset:
    """Store what registers leaks to the asset, once for all its copies; return what stands on record."""
    records, spec = attempt.services.records, attempt.run.spec
    assets, file_id = Assets(records), original.file_id
    kept = attempt.patiently(lambda: assets.get(file_id))
    if kept is not None:
        return kept
    if original.keep:
        attempt.patiently(partial(_upload, attempt, file_id, original.path, copy.mime))
    plane_sha256 = str(plane.facts["sha256"])
    plane_file_id = plane_file_id_of(attempt.services.settings.directus_secret, file_id, plane_sha256)
    kind = "video" if copy.mime.startswith("video/") else "picture"
    asset = Asset(file_id, spec.owner_id, plane_file_id, plane_sha256, *_size_of(copy), kind=kind)
    attempt.patiently(partial(_upload, attempt, plane_file_id, path, plane.mime))
    return attempt.patiently(lambda: assets.record(asset))


def check_asset(asset: Asset, plane: Output, copy: Output, *, known: bool) -> None:
    """Check that the copy was proved with what is on record of its asset.

    Args:
        known: whether that was on record before the copy was made.

    Raises:
        AssetLost: what is kept is not what the record says.
        InputError: the asset is a file of another size.
        UpstreamError: another job has kept something else meanwhile, as with another background.
    """
    if (asset.width_px, asset.height_px) != _size_of(copy):
        message = "the file is not the one any more of which copies were marked before; upload it as a new file"
        raise InputError(message, reason="asset_changed")
    if plane.facts["kept_sha256"] != asset.plane_sha256:
        if known:
            raise AssetLost("changed")
        message = "Another job has marked the file for the first time meanwhile; this one is tried again beside it."
        raise UpstreamError(message, reason="asset_kept_otherwise")


def _size_of(copy: Output) -> tuple[int, int]:
    return int(copy.facts["width_in_px"]), int(copy.facts["height_in_px"])


def _upload(attempt: Attempt, file_id: str, path: Path, mime: str) -> None:
    """Store what is kept of an asset, as a file of its owner; an earlier attempt may have done so."""
    records, spec = attempt.services.records, attempt.run.spec
    try:
        records.upload(
            path,
            file_id=file_id,
            filename=f"watermark-{path.name}",
            mime=mime,
            folder=spec.folder_id,
            owner_id=spec.owner_id,
        )
    except RecordNotUnique:
        outputs.check_standing(records, file_id, path.stat().st_size)


def record(issues: Issues, issue: Issue, file_id: str) -> None:
    """Put the copy on record before it is released.

    Raises:
        UpstreamError: another attempt has issued a copy with another trace id; this one must not leave.
    """
    standing = issues.record(replace(issue, output_file_id=file_id))
    if standing.trace_id != issue.trace_id:
        message = "Another try of this job has issued its copy already; it is tried again with that one's mark."
        raise UpstreamError(message, reason="issued_otherwise")


def _without_traces(copy: Output) -> Output:
    """Leave out of the record what the sandbox read of marks."""
    return replace(copy, facts={name: value for name, value in copy.facts.items() if name != "marked_with"})


def _together(before: SandboxResult | None, result: SandboxResult) -> SandboxResult:
    """Add up what two works took; the facts of the first one's input are those of the job."""
    if before is None:
        return result
    [copy] = result.outputs
    return SandboxResult(
        (replace(copy, facts={**copy.facts, **before.outputs[0].facts}),),
        max(before.peak_memory_bytes, result.peak_memory_bytes),
        before.wall_s + result.wall_s,
        before.cpu_s + result.cpu_s,
    )
