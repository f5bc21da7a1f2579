"""What the web app does to have a job done: store the file, create the item, POST it, fetch the output."""

from __future__ import annotations

import mimetypes
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from marshmallow import ValidationError

from geniequeue.cli.api_client import Job
from geniequeue.cli.exits import Refused, WrongUsage
from geniequeue.cli.session import Session
from geniequeue.jobs.view import view_of
from geniequeue.operations import LEAST_TOGETHER, OPERATIONS, SEVERAL_INPUTS
from geniequeue.records.filenames import FALLBACK_TYPE, clean_filename
from geniequeue.records.protocol import Item


@dataclass(frozen=True)
class Submitted:
    """A job whose item exists.

    Attributes:
        path: the file it was made for, of several the first.
        item: as the record store has it.
        file_ids: files that were stored for it alone.
    """

    path: Path
    item: Item
    file_ids: tuple[str, ...]

    @property
    def job_id(self) -> str:
        """Id of the item, hence of the job."""
        return str(self.item["id"])

    @property
    def view(self) -> Job:
        """The job as it is before anybody sent it."""
        return view_of(self.item, None)


def upload(session: Session, path: Path, file_id: str = "") -> str:
    """Store a file as its user, under a new id where none is given, and return its id."""
    file_id = file_id or str(uuid.uuid4())
    mime = mimetypes.guess_type(path.name)[0] or FALLBACK_TYPE
    session.records.upload(path, file_id=file_id, filename=path.name, mime=mime)
    return file_id


def check_params(operation: str, params: Mapping[str, Any]) -> None:
    """Refuse wrong params before anything is stored for them.

    Raises:
        WrongUsage: names each.
    """
    try:
        OPERATIONS[operation].load_params(params)
    except ValidationError as error:
        told = error.messages_dict
        faults = "; ".join(f"params.{name}: {' '.join(map(str, messages))}" for name, messages in told.items())
        raise WrongUsage(f"{operation}: {faults}") from None


def create_item(
    session: Session, operation: str, path: Path, params: Mapping[str, Any], priority: int | None = None
) -> Submitted:
    """Store a file and create the `media_jobs` item for it."""
    return _created(session, operation, path, [upload(session, path)], params, priority=priority)


def create_items(
    session: Session, operation: str, files: Sequence[Path], params: Mapping[str, Any], priority: int | None
) -> list[Submitted]:
    """Store files and create the items: one for each file, or one for all where `is_one_job` says so.

    Raises:
        WrongUsage: params are wrong, or files are too few; nothing was stored.
    """
    if not is_one_job(operation, params):
        check_params(operation, params)
        return [create_item(session, operation, path, params, priority) for path in files]
    if len(files) < LEAST_TOGETHER:
        raise WrongUsage(f"{operation}: expected at least {LEAST_TOGETHER} files, got {len(files)}")
    ids = [str(uuid.uuid4()) for _ in files]
    joined = {**params, SEVERAL_INPUTS: ids}
    check_params(operation, joined)
    for path, file_id in zip(files, ids, strict=True):
        upload(session, path, file_id)
    return [_created(session, operation, files[0], ids, joined, priority=priority)]


def is_one_job(operation: str, params: Mapping[str, Any]) -> bool:
    """Tell whether all files are the inputs of one job: where it takes several, and no param lists them."""
    return OPERATIONS[operation].takes_several and SEVERAL_INPUTS not in params


def _created(
    session: Session,
    operation: str,
    path: Path,
    file_ids: Sequence[str],
    params: Mapping[str, Any],
    *,
    priority: int | None,
) -> Submitted:
    fields: dict[str, Any] = {"operation": operation, "input_file_id": file_ids[0], "params": dict(params)}
    if priority is not None:
        fields["priority"] = priority
    created = session.records.create_item("media_jobs", fields)
    return Submitted(path, session.records.get_item("media_jobs", created["id"]), tuple(file_ids))


def enqueue_all(session: Session, submitted: Sequence[Submitted]) -> None:
    """POST jobs in their order; what is refused, and what comes after it, is taken back.

    Raises:
        Refused: says also which jobs were sent before, and which items stay where they may not be deleted.
    """
    for number, each in enumerate(submitted):
        try:
            enqueue(session, each)
        except Refused as refusal:
            unsent = submitted[number:]
            stay = [it.job_id for it in unsent if not session.discard(it.job_id, it.file_ids)]
            told = [refusal.message]
            told += [f"sent before: {it.job_id}" for it in submitted[:number]]
            told += [f"not sent, its item stays: {job_id}" for job_id in stay]
            raise Refused("\n".join(told), refusal.code) from None


def enqueue(session: Session, submitted: Submitted) -> Job:
    """POST a job to the API; return `jobId` and `bullJobId`."""
    item = submitted.item
    body = {"jobId": submitted.job_id, **{name: item[name] for name in ("operation", "input_file_id", "params")}}
    if item["priority"] is not None:
        body["priority"] = item["priority"]
    return session.api.enqueue(body)


def output_target(session: Session, job: Job, path: Path, target: Path, *, folder: bool) -> Path | None:
    """Return where the first output of a job shall be copied to, None where it has none.

    Args:
        path: the file that the job was made for; the copy is named after it.
        target: a file's path, or with `folder` a folder that is made where missing.
    """
    if not job["outputs"] or not folder:
        return target if job["outputs"] else None
    target.mkdir(parents=True, exist_ok=True)
    stored = session.records.get_file(job["outputs"][0]["file_id"]).filename_download
    stem = PurePosixPath(clean_filename(path.name)).stem
    return _unused(target / f"{stem}-{job['operation']}{PurePosixPath(stored).suffix}")


def fetch_output(session: Session, job: Job, target: Path) -> None:
    """Copy the first output of a job to `target`, whole or not at all, and say so in the job."""
    fetch_file(session, job["outputs"][0], target)


def fetch_file(session: Session, output: Job, target: Path) -> None:
    """Copy an output to `target`, whole or not at all, and say so in it."""
    part = target.with_name(f".{uuid.uuid4()}.part")
    try:
        session.records.download(output["file_id"], part, max_bytes=output["size_bytes"])
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    output["path"] = str(target.resolve())


def fill_paths(session: Session, job: Job) -> None:
    """Say for each output where the record store keeps it, where that is not said yet."""
    for output in job["outputs"]:
        output["path"] = output.get("path") or session.records.location(output["file_id"])


def _unused(path: Path) -> Path:
    candidates = (path, *(path.with_stem(f"{path.stem}-{number}") for number in range(2, 10_000)))
    return next(candidate for candidate in candidates if not candidate.exists())
