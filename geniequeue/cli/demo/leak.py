"""Who leaked it? A photograph is marked for two fans, one of them leaks a part of it, and is found.

The unmarked original is traced, too, and accuses nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from geniequeue.cli.api_client import Job
from geniequeue.cli.follow import await_final
from geniequeue.cli.session import Session
from geniequeue.cli.show import console, follower
from geniequeue.cli.submission import fetch_file, fetch_output, upload
from geniequeue.marks.evidence import NotGenuine, public_key_of, verify

FANS = ("fan Ada", "fan Bo")
CROP, WIDTH, QUALITY = {"aspect": "5:3"}, 1600, 50
EVIDENCE = {"evidence": "evidence.json", "evidence_picture": "evidence.png"}


@dataclass(frozen=True)
class Traced:
    """What came of it.

    Attributes:
        leaked: whose copy was leaked.
        leak, original: the jobs that traced the leak, and the unmarked photograph.
        bundle: the evidence against whoever leaked.
        faults: what is not as it should be, a sentence each.
    """

    leaked: str
    leak: Job
    original: Job
    bundle: Path
    faults: list[str]


def run_leak(session: Session, photo: Path, folder: Path) -> Traced:
    """Mark, leak, trace; copy what a person may want to look at to `folder`."""
    asset = upload(session, photo)
    copies = [_done(session, f"mark for {fan}", _marking(asset, fan)) for fan in FANS]
    if any(job["state"] != "completed" for job in copies):
        failed = [f"expected a marked copy, got {job['state']}: {job['message']}" for job in copies]
        return Traced(FANS[0], copies[0], copies[0], folder, failed)
    for fan, job in zip(FANS, copies, strict=True):
        fetch_output(session, job, folder / f"copy-{fan.split()[-1].lower()}.jpg")
    leak = _attacked(session, copies[0]["outputs"][0]["file_id"])
    fetch_output(session, leak, folder / "leak.jpg")
    traced = _trace(session, "trace the leak", folder / "leak.jpg", asset)
    original = _trace(session, "trace the original", photo, asset)
    for output in traced["outputs"]:
        fetch_file(session, output, folder / EVIDENCE[output["role"]])
    bundle = folder / EVIDENCE["evidence"]
    faults = [*_faults(traced, original), *_bundle_faults(session, bundle, traced)]
    return Traced(FANS[0], traced, original, bundle, faults)


def _marking(asset: str, fan: str) -> Mapping[str, Any]:
    return {"operation": "apply_steganographic_watermark", "input_file_id": asset, "params": {"fan_id": fan}}


def _attacked(session: Session, file_id: str) -> Job:
    """Do to a copy what fans do, with the service's own operations: crop, less than half the size, quality 50."""
    cropped = _done(session, "crop his copy", {"operation": "crop_image", "input_file_id": file_id, "params": CROP})
    params = {"width": WIDTH, "quality": QUALITY, "format": "jpeg"}
    cut = cropped["outputs"][0]["file_id"]
    return _done(session, "shrink it", {"operation": "resize_image", "input_file_id": cut, "params": params})


def _done(session: Session, label: str, item: Mapping[str, Any]) -> Job:
    job_id = session.records.create_item("media_jobs", item)["id"]
    session.api.enqueue({"jobId": job_id, **item})
    return _followed(session, label, job_id)


def _trace(session: Session, label: str, path: Path, asset: str) -> Job:
    accepted = session.api.trace({"file_id": upload(session, path), "asset_file_id": asset})
    return _followed(session, label, accepted["jobId"])


def _followed(session: Session, label: str, job_id: str) -> Job:
    with follower(f"{label:<16}") as watcher:
        return await_final(session.api, job_id, watcher)


def _faults(traced: Job, original: Job) -> list[str]:
    faults = []
    answer, other = traced["trace"] or {}, original["trace"] or {}
    named = [each["fan_id"] for each in answer.get("candidates", [])]
    if (answer.get("verdict"), named) != ("match", [FANS[0]]):
        faults.append(
            f"leak: expected a match with {FANS[0]}, got {answer.get('verdict')} {named}: {traced['message']}"
        )
    if (other.get("verdict"), other.get("candidates")) != ("inconclusive", []):
        faults.append(f"original: expected inconclusive, got {other.get('verdict')}: {original['message']}")
    return faults


def _bundle_faults(session: Session, bundle: Path, traced: Job) -> list[str]:
    seed = session.settings.evidence_key
    try:
        claims = verify(bundle.read_bytes(), public_key_of(seed) if seed else None).claims
    except (OSError, NotGenuine) as error:
        return [f"evidence: {error}"]
    return [] if claims["answer"] == traced["trace"] else ["evidence: expected the job's answer, got another"]


def print_leak(traced: Traced, folder: Path) -> None:
    """Print who leaked, in a few lines."""
    if traced.faults:
        return
    answer, [named] = traced.leak["trace"], traced.leak["trace"]["candidates"]
    table = Table("who leaked it?", "verdict", "named", "score", "an innocent reaches it below", box=None)
    table.add_row(
        f"{traced.leaked}'s copy, cropped, {WIDTH} pixels wide, quality {QUALITY}",
        *(f"[green]{answer['verdict']}[/]", escape(named["fan_id"]), f"{named['score']:.1f}"),
        f"{named['false_accusation']:.0e}",
    )
    table.add_row("the unmarked original", traced.original["trace"]["verdict"], "nobody", "–", "–")
    console().print(table)
    click.echo(f"evidence: {folder / EVIDENCE['evidence_picture']}, signed in {traced.bundle}")
