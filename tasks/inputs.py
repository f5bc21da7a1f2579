"""What the sandbox gets of a media job: the input files, the params, the limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marshmallow import ValidationError

from geniequeue.errors import (
    CancelledError,
    InputError,
    PolicyError,
    RecordForbidden,
    RecordInvalid,
    RightMissing,
    UpstreamError,
)
from geniequeue.jobs.job import Spec
from geniequeue.jobs.request import input_files
from geniequeue.operations import OPERATIONS
from geniequeue.records.protocol import Records
from geniequeue.sandbox.inside import Limits
from geniequeue.sandbox.result import SandboxResult
from tasks.attempt import Attempt
from tasks.worker import media_sandbox

WORK_DONE_PERCENT = 95.0


def fetch_inputs(attempt: Attempt, folder: Path) -> dict[str, Path]:
    """Stream every input file into the job's folder, under names of our own.

    Raises:
        InputError: a file is not there, or empty.
        PolicyError: a file is larger than `MAX_INPUT_MB`.
    """
    max_bytes = attempt.services.settings.max_input_bytes
    paths = {}
    for number, (role, file_id) in enumerate(input_files(attempt.run.spec).items()):
        if attempt.progress.should_stop():
            raise CancelledError
        path = folder / "in" / str(number)
        size_bytes = attempt.run.spec.input_bytes.get(role)
        try:
            attempt.services.records.download(file_id, path, max_bytes=max_bytes, size_bytes=size_bytes)
        except RightMissing:
            raise
        except RecordForbidden as error:
            if _has_file(attempt.services.records, file_id):
                message = "The record store refuses an input file that is there; the job is tried again."
                raise UpstreamError(message, reason="file_refused") from error
            raise InputError(f"The input file {file_id} is not there any more.", reason="missing_file") from None
        except RecordInvalid:
            message = f"The input file is larger than {max_bytes // 1_000_000} MB; send a smaller one."
            raise PolicyError(message, reason="too_large") from None
        if path.stat().st_size == 0:
            raise InputError("The input file is empty (0 bytes); upload it again.", reason="empty_file")
        paths[role] = path
    return paths


def _has_file(records: Records, file_id: str) -> bool:
    try:
        records.get_file(file_id)
    except RecordForbidden:
        return False
    return True


def run_in_sandbox(
    attempt: Attempt,
    function: str,
    inputs: Mapping[str, Path],
    *,
    out_dir: Path,
    params: Mapping[str, Any],
    progress: tuple[float, float] = (0.0, WORK_DONE_PERCENT),
) -> SandboxResult:
    """Run a function on files in the sandbox.

    Args:
        params: what it gets to know; keys among them are derived ones, and stay between the two processes.
        progress: per cent of the job at its beginning and at its end.
    """
    settings, (begin, end) = attempt.services.settings, progress
    return media_sandbox(settings).run(
        function,
        inputs=inputs,
        out_dir=out_dir,
        params=params,
        limits=Limits.of(settings.max_pixels, settings.max_frames),
        timeout_s=attempt.operation.time_limit_s,
        should_stop=attempt.progress.should_stop,
        on_progress=lambda share: attempt.progress.write(begin + (end - begin) * share),
        on_pace=attempt.progress.at_pace,
    )


def checked_params(spec: Spec) -> dict[str, Any]:
    """Return the frozen params, checked again by the schema of this version."""
    try:
        return OPERATIONS[spec.operation].load_params(spec.params)
    except ValidationError as error:
        message = f"The params are not valid for {spec.operation} any more: {error.messages}; send the job again."
        raise InputError(message, reason="invalid_params") from None
