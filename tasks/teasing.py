"""A teaser under a mark of its own: made as any other, kept unmarked as what leaks are laid over, and marked.

Without `fan_id` and `mark` it is a teaser like any other, and leaves this module at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from geniequeue.errors import RecordForbidden
from geniequeue.jobs.outcome import Completed
from geniequeue.log import get_logger
from geniequeue.marks.assets import teaser_file_id_of
from geniequeue.operations import MARKING, OPERATIONS
from geniequeue.sandbox.result import SandboxResult
from tasks import outputs
from tasks.attempt import Attempt
from tasks.inputs import WORK_DONE_PERCENT, checked_params, fetch_inputs, run_in_sandbox
from tasks.marking import OPTIONS, Original, issue_copy

OWN = ("fan_id", "mark")
"""Params that the sandbox is not told."""

log = get_logger(__name__)


def perform(attempt: Attempt, folder: Path) -> Completed:
    """Make and store a teaser, marked where that is asked for."""
    params = checked_params(attempt.run.spec)
    marked = bool(params.get("fan_id") or params["mark"])
    plain = {name: value for name, value in params.items() if name not in OWN}
    if not marked:
        return outputs.store(attempt, _made(attempt, folder, folder / "out", plain), folder / "out")
    teaser = folder / "teaser"
    teaser.mkdir()
    made = _made(attempt, folder, teaser, plain)
    path, job_id = teaser / made.outputs[0].name, attempt.run.spec.job_id
    file_id = teaser_file_id_of(attempt.services.settings.directus_secret, job_id)
    _as_kept(attempt, file_id, path)
    options = {name: OPERATIONS[MARKING].load_params({"fan_id": "fan"})[name] for name in OPTIONS}
    fan_id = params.get("fan_id") or f"teaser {job_id}"
    return issue_copy(attempt, folder, Original(file_id, path, fan_id, options, allow_marked=True, keep=True), made)


def _made(attempt: Attempt, folder: Path, out_dir: Path, params: dict[str, Any]) -> SandboxResult:
    half = WORK_DONE_PERCENT if out_dir.name == "out" else WORK_DONE_PERCENT / 2
    function, inputs = attempt.operation.function, fetch_inputs(attempt, folder)
    return run_in_sandbox(attempt, function, inputs, out_dir=out_dir, params=params, progress=(0.0, half))


def _as_kept(attempt: Attempt, file_id: str, path: Path) -> None:
    """Take the teaser that an earlier attempt has kept, so that what is marked is what leaks are laid over."""
    records = attempt.services.records
    try:
        size_bytes = records.get_file(file_id).filesize
    except RecordForbidden:
        return
    path.unlink()
    records.download(file_id, path, max_bytes=size_bytes, size_bytes=size_bytes)
    log.info("teaser of an earlier attempt taken")
