"""Media jobs: fetch the inputs, run the operation in the sandbox, announce and store the outputs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from marshmallow import ValidationError

from geniequeue.errors import (
    CancelledError,
    InputError,
    PolicyError,
    RecordForbidden,
    RecordInvalid,
    RecordNotUnique,
    RightMissing,
    UpstreamError,
)
from geniequeue.jobs.broker import TASK_NAMES
from geniequeue.jobs.job import Spec, output_id_of
from geniequeue.jobs.outcome import Completed
from geniequeue.jobs.request import input_files
from geniequeue.operations import MEDIA_QUEUE, OPERATIONS
from geniequeue.records.protocol import Records
from geniequeue.sandbox.host import refuse_without_space
from geniequeue.sandbox.inside import Limits, Output
from geniequeue.sandbox.result import SandboxResult
from tasks.attempt import Attempt
from tasks.base import JobTask
from tasks.celery_app import app
from tasks.worker import JOB_FOLDER_PREFIX, empty_folder, media_sandbox

WORK_DONE_PERCENT = 95.0
OUTPUTS_AT_ONCE = 50


class MediaJob(JobTask):
    """A media operation on files."""

    abstract = False
    name = TASK_NAMES[MEDIA_QUEUE]

    def perform(self, attempt: Attempt) -> Completed:
        """Make and store the outputs of a media operation."""
        settings = attempt.services.settings
        refuse_without_space(settings.media_tmp_dir, settings.min_free_bytes)
        with job_folder(attempt) as folder:
            inputs = fetch_inputs(attempt, folder)
            result = run_in_sandbox(attempt, inputs, folder)
            attempt.peak_memory_bytes = result.peak_memory_bytes
            outputs = [
                store_output(attempt, number, folder / "out" / output.name, output)
                for number, output in enumerate(result.outputs)
            ]
        return Completed(summary(attempt, result, outputs))

    def discard(self, attempt: Attempt, *, keep: frozenset[str]) -> None:
        """Delete the outputs that this attempt stored, but the files in `keep`."""
        records = attempt.services.records
        own = {"job_id": attempt.run.spec.job_id, "attempt": attempt.lease.attempt}
        for row in records.list_items("media_job_outputs", own, limit=OUTPUTS_AT_ONCE):
            if row["file_id"] not in keep:
                with suppress(RecordForbidden):  # announced, never stored
                    records.delete_file(row["file_id"])
                records.delete_item("media_job_outputs", row["id"])


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
    )


def checked_params(spec: Spec) -> dict[str, Any]:
    """Return the frozen params, checked again by the schema of this version."""
    try:
        return OPERATIONS[spec.operation].load_params(spec.params)
    except ValidationError as error:
        message = f"The params are not valid for {spec.operation} any more: {error.messages}; send the job again."
        raise InputError(message, reason="invalid_params") from None


def store_output(attempt: Attempt, number: int, path: Path, output: Output) -> dict[str, Any]:
    """Announce an output with its hash, then upload it under its own id; both may have happened already."""
    records, spec = attempt.services.records, attempt.run.spec
    secret = attempt.services.settings.directus_secret
    file_id = output_id_of(secret, spec.job_id, attempt.lease.attempt, number)
    size_bytes = path.stat().st_size
    row = {
        "file_id": file_id,
        "role": output.role,
        "mime": output.mime,
        "width_px": output.width_px,
        "height_px": output.height_px,
        "duration_s": output.duration_s,
        "size_bytes": size_bytes,
        "sha256": sha256_of(path),
    }
    announced = {"id": file_id, "job_id": spec.job_id, "attempt": attempt.lease.attempt, **row}
    attempt.announced = True
    attempt.patiently(lambda: announce(records, announced))
    try:
        attempt.patiently(
            lambda: records.upload(
                path,
                file_id=file_id,
                filename=f"{spec.operation}-{spec.job_id}{path.suffix}",
                mime=output.mime,
                folder=spec.folder_id,
                owner_id=spec.owner_id,
            )
        )
    except RecordNotUnique:
        attempt.patiently(lambda: check_standing(records, file_id, size_bytes))
    return {**row, "path": records.location(file_id)}


def check_standing(records: Records, file_id: str, size_bytes: int) -> None:
    """Check that the file which has an output's id is that output: announced with its hash, and whole.

    Raises:
        UpstreamError: it is not; the next attempt has ids of its own.
    """
    try:
        whole = records.get_file(file_id).filesize == size_bytes
    except RecordForbidden:
        whole = False
    if not whole:
        raise _output_taken()


def announce(records: Records, row: dict[str, Any]) -> None:
    """Say which file is about to be stored, and its hash.

    Raises:
        UpstreamError: the same attempt had announced another content; the next attempt has ids of its own.
    """
    try:
        records.create_item("media_job_outputs", row)
    except RecordNotUnique:
        standing = records.get_item("media_job_outputs", row["id"])
        if standing["sha256"] != row["sha256"]:
            raise _output_taken() from None


def _output_taken() -> UpstreamError:
    message = "The output of an earlier try stands in the way; it is tried again under another name."
    return UpstreamError(message, reason="output_taken")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def summary(attempt: Attempt, result: SandboxResult, outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the record keeps of a completed job."""
    return {
        "outputs": outputs,
        "input": dict(result.outputs[0].facts) if result.outputs else {},
        "attempts": attempt.lease.tries,
        "peak_memory_bytes": result.peak_memory_bytes,
        "work_s": round(result.wall_s, 3),
    }


app.register_task(MediaJob())
