"""Media jobs: fetch the inputs, run the operation in the sandbox, store the outputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
from geniequeue.jobs.broker import TASK_NAMES
from geniequeue.jobs.job import Spec
from geniequeue.jobs.outcome import Completed
from geniequeue.jobs.request import input_files
from geniequeue.operations import MEDIA_QUEUE, OPERATIONS
from geniequeue.records.protocol import Records
from geniequeue.sandbox.host import refuse_without_space, waiting_for_space
from geniequeue.sandbox.inside import Limits
from geniequeue.sandbox.result import SandboxResult
from tasks import outputs
from tasks.attempt import Attempt
from tasks.base import JobTask
from tasks.celery_app import app
from tasks.worker import JOB_FOLDER_PREFIX, empty_folder, media_sandbox

WORK_DONE_PERCENT = 95.0


class MediaJob(JobTask):
    """A media operation on files."""

    abstract = False
    name = TASK_NAMES[MEDIA_QUEUE]

    def perform(self, attempt: Attempt) -> Completed:
        """Make and store the outputs of a media operation, or adopt those that an earlier attempt has stored."""
        settings = attempt.services.settings
        refuse_without_space(settings.media_tmp_dir, settings.min_free_bytes)
        with waiting_for_space(), job_folder(attempt) as folder:
            adopted = outputs.adopt(attempt, folder / "in")
            if adopted is not None:
                return adopted
            inputs = fetch_inputs(attempt, folder)
            result = run_in_sandbox(attempt, inputs, folder)
            return outputs.store(attempt, result, folder / "out")


@contextmanager
def job_folder(attempt: Attempt) -> Iterator[Path]:
    """Make the private folder of an attempt; gone afterwards whatever happened."""
    name = f"{JOB_FOLDER_PREFIX}{attempt.run.id}-{attempt.lease.attempt}"
    folder = attempt.services.settings.media_tmp_dir / name
    try:
        (folder / "in").mkdir(parents=True)
        (folder / "out").mkdir()
        yield folder
    finally:
        # all of it: what ran in the sandbox may have written beside its folder, and the next job must not see that
        empty_folder(folder.parent)


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


def run_in_sandbox(attempt: Attempt, inputs: dict[str, Path], folder: Path) -> SandboxResult:
    """Run the operation's function on the inputs in the sandbox."""
    spec, settings = attempt.run.spec, attempt.services.settings
    operation = OPERATIONS[spec.operation]
    return media_sandbox(settings).run(
        operation.function,
        inputs=inputs,
        out_dir=folder / "out",
        params=checked_params(spec),
        limits=Limits.of(settings.max_pixels, settings.max_frames),
        timeout_s=operation.time_limit_s,
        should_stop=attempt.progress.should_stop,
        on_progress=lambda share: attempt.progress.write(WORK_DONE_PERCENT * share),
        on_pace=attempt.progress.at_pace,
    )


def checked_params(spec: Spec) -> dict[str, Any]:
    """Return the frozen params, checked again by the schema of this version."""
    try:
        return OPERATIONS[spec.operation].load_params(spec.params)
    except ValidationError as error:
        message = f"The params are not valid for {spec.operation} any more: {error.messages}; send the job again."
        raise InputError(message, reason="invalid_params") from None


app.register_task(MediaJob())
