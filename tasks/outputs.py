"""The outputs of an attempt: announced with their hashes, then stored; or those of an earlier attempt, adopted.

An attempt announces all its outputs before it uploads the first. So when its process dies after the last upload, the
next attempt finds every file whole, and ends the job without making them again. What nobody adopts is removed when the
run is closed (`geniequeue.jobs.leftovers`); an attempt itself deletes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from geniequeue.errors import CancelledError, RecordForbidden, RecordNotUnique, UpstreamError
from geniequeue.jobs.job import output_id_of
from geniequeue.jobs.outcome import Completed
from geniequeue.log import get_logger
from geniequeue.records.protocol import Item, Records
from geniequeue.sandbox.inside import Output
from geniequeue.sandbox.result import SandboxResult
from tasks.attempt import Attempt

OUTPUTS_AT_ONCE = 100
SHOWN = ("file_id", "role", "mime", "width_px", "height_px", "duration_s", "size_bytes", "sha256")

log = get_logger(__name__)


def store(
    attempt: Attempt,
    result: SandboxResult,
    folder: Path,
    *,
    answer: Mapping[str, Any] | None = None,
    release: Callable[[str], None] = lambda _file_id: None,
) -> Completed:
    """Announce and upload what the sandbox made; each call may have happened already.

    Args:
        answer: what a trace has found; the result shows it.
        release: called with the id of the first output before anything is announced; raises to keep it back.
    """
    attempt.peak_memory_bytes = result.peak_memory_bytes
    about = {
        "of": len(result.outputs),
        "input": dict(result.outputs[0].facts) if result.outputs else {},
        "work_s": round(result.wall_s, 3),
        "peak_memory_bytes": result.peak_memory_bytes,
        **({"trace": answer} if answer is not None else {}),
    }
    paths = [folder / output.name for output in result.outputs]
    rows = [
        _row(attempt, number, path, output, about)
        for number, (path, output) in enumerate(zip(paths, result.outputs, strict=True))
    ]
    _stay_the_newest(attempt)
    attempt.patiently(lambda: release(rows[0]["file_id"]))
    for row in rows:
        _stay_the_newest(attempt)
        attempt.patiently(partial(announce, attempt.services.records, row))
    for row, path in zip(rows, paths, strict=True):
        _stay_the_newest(attempt)
        _upload(attempt, row, path)
    return _completed(attempt, rows, about)


def adopt(attempt: Attempt, folder: Path) -> Completed | None:
    """Return how the job ends with the outputs that an earlier attempt has stored, None where they are not whole.

    Args:
        folder: where the files may be put, to be read again.
    """
    first = attempt.run.spec.attempts_before + 1
    if attempt.lease.attempt <= first:
        return None
    rows = attempt.services.records.list_items(
        "media_job_outputs",
        {"job_id": attempt.run.spec.job_id, "attempt": {"_gte": first, "_lt": attempt.lease.attempt}},
        sort=("-attempt", "id"),
        limit=OUTPUTS_AT_ONCE,
    )
    for number, group in groupby(rows, itemgetter("attempt")):
        announced = list(group)
        if _is_all(announced) and all(_is_stored(attempt.services.records, row, folder) for row in announced):
            log.info("outputs of an earlier attempt adopted", made_by=number, outputs=len(announced))
            about = announced[0]["work"]
            attempt.peak_memory_bytes = about["peak_memory_bytes"]
            return _completed(attempt, announced, about)
    return None


def announce(records: Records, row: Mapping[str, Any]) -> None:
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


def check_standing(records: Records, file_id: str, size_bytes: int) -> None:
    """Check that the file which has an output's id is that output: announced with its hash, and whole.

    Raises:
        UpstreamError: it is not; the next attempt has ids of its own.
    """
    if not _has_size(records, file_id, size_bytes):
        raise _output_taken()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _row(attempt: Attempt, number: int, path: Path, output: Output, about: Mapping[str, Any]) -> dict[str, Any]:
    job_id, secret = attempt.run.spec.job_id, attempt.services.settings.directus_secret
    file_id = output_id_of(secret, job_id, attempt.lease.attempt, number)
    return {
        "id": file_id,
        "job_id": job_id,
        "attempt": attempt.lease.attempt,
        "file_id": file_id,
        "role": output.role,
        "mime": output.mime,
        "width_px": output.width_px,
        "height_px": output.height_px,
        "duration_s": output.duration_s,
        "size_bytes": path.stat().st_size,
        "sha256": sha256_of(path),
        "work": about,
    }


def _upload(attempt: Attempt, row: Mapping[str, Any], path: Path) -> None:
    records, spec = attempt.services.records, attempt.run.spec
    attempt.stored.append(row["file_id"])
    try:
        attempt.patiently(
            lambda: records.upload(
                path,
                file_id=row["file_id"],
                filename=f"{spec.operation}-{spec.job_id}{path.suffix}",
                mime=row["mime"],
                folder=spec.folder_id,
                owner_id=spec.owner_id,
            )
        )
    except RecordNotUnique:
        attempt.patiently(lambda: check_standing(records, row["file_id"], row["size_bytes"]))


def _completed(attempt: Attempt, rows: list[dict[str, Any]], about: Mapping[str, Any]) -> Completed:
    """Return what the record keeps of a completed job."""
    records = attempt.services.records
    outputs = [{name: row[name] for name in SHOWN} | {"path": records.location(row["file_id"])} for row in rows]
    return Completed(
        {
            "outputs": outputs,
            "input": about["input"],
            "attempts": attempt.lease.tries,
            "peak_memory_bytes": about["peak_memory_bytes"],
            "work_s": about["work_s"],
            **({"trace": about["trace"]} if "trace" in about else {}),
        }
    )


def _stay_the_newest(attempt: Attempt) -> None:
    """Store nothing for an attempt that a newer one has replaced, or that is to stop."""
    if attempt.progress.should_stop():
        raise CancelledError


def _is_all(announced: list[Item]) -> bool:
    """Tell whether these rows are all that their attempt made; rows of an older version do not say."""
    return all((row["work"] or {}).get("of") == len(announced) for row in announced)


def _is_stored(records: Records, row: Item, folder: Path) -> bool:
    """Tell whether an announced file is there, with the content that was announced."""
    if not _has_size(records, row["file_id"], row["size_bytes"]):
        return False
    path = folder / row["file_id"]
    try:
        records.download(row["file_id"], path, max_bytes=row["size_bytes"], size_bytes=row["size_bytes"])
    except RecordForbidden:
        return False
    try:
        return sha256_of(path) == str(row["sha256"])
    finally:
        path.unlink()


def _has_size(records: Records, file_id: str, size_bytes: int) -> bool:
    try:
        return records.get_file(file_id).filesize == size_bytes
    except RecordForbidden:
        return False


def _output_taken() -> UpstreamError:
    message = "The output of an earlier try stands in the way; it is tried again under another name."
    return UpstreamError(message, reason="output_taken")
