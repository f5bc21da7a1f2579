"""What the demo asks for, and what it got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geniequeue.cli.api_client import Job
from geniequeue.cli.follow import await_final
from geniequeue.cli.session import Session
from geniequeue.cli.show import follower
from geniequeue.cli.submission import create_item, enqueue, fetch_output

MARK = "© otter 🦦 مرحبا 你好"
SHARE_LEFT = 0.4
FILM, FILM_S = Path("film.mp4"), 9


@dataclass(frozen=True)
class Step:
    """One job of the demo.

    Attributes:
        name: of the output's file, and of the line.
        fails: whether the job must end as failed.
        film: it works on the film and not on the photograph.
    """

    name: str
    operation: str
    params: Mapping[str, Any] = field(default_factory=dict)
    fails: bool = False
    film: bool = False


STEPS = (
    Step("convert-webp", "convert_image", {"format": "webp"}),
    Step("convert-avif", "convert_image", {"format": "avif", "quality": 60}),
    Step("resize", "resize_image", {"width": 1080}),
    Step("crop", "crop_image", {"aspect": "4:5"}),
    Step("strip", "strip_metadata"),
    Step("watermark", "apply_watermark", {"watermark_text": MARK, "position": "tr", "scale": 0.5, "margin": 80}),
)
TEASER = Step("teaser", "create_teaser", {"duration": 5, "clips": 3, "watermark_text": "© otter"}, film=True)
CORRUPT = Step("corrupt", "convert_image", {"format": "webp"}, fails=True)
RETRY = Step("corrupt, retried", "convert_image", {"format": "webp"}, fails=True)


@dataclass(frozen=True)
class Done:
    """A step and how its job ended.

    Attributes:
        source: the file that was sent.
        output: copy of the output; None where there is none.
    """

    step: Step
    source: Path
    job: Job
    output: Path | None


def run_steps(session: Session, photo: Path, film: Path, folder: Path) -> list[Done]:
    """Send every job, follow each to its end, and copy the outputs to `folder`."""
    sent = [(step, create_item(session, step.operation, photo, step.params)) for step in STEPS]
    for _, submitted in sent:
        enqueue(session, submitted)
    done = [_follow(session, step, submitted.job_id, photo, folder) for step, submitted in sent]
    done.append(_follow(session, TEASER, _sent(session, TEASER, film), film, folder))
    broken = folder / f"corrupt{photo.suffix}"
    broken.write_bytes(photo.read_bytes()[: int(photo.stat().st_size * SHARE_LEFT)])
    job_id = _sent(session, CORRUPT, broken)
    done.append(_follow(session, CORRUPT, job_id, broken, folder))
    if done[-1].job["state"] == "failed":
        session.api.retry(job_id)
        done.append(_follow(session, RETRY, job_id, broken, folder))
    return done


def _sent(session: Session, step: Step, source: Path) -> str:
    submitted = create_item(session, step.operation, source, step.params)
    enqueue(session, submitted)
    return submitted.job_id


def _follow(session: Session, step: Step, job_id: str, source: Path, folder: Path) -> Done:
    with follower(f"{step.name:<16}") as watcher:
        job = await_final(session.api, job_id, watcher)
    if not job["outputs"]:
        return Done(step, source, job, None)
    suffix = Path(session.records.get_file(job["outputs"][0]["file_id"]).filename_download).suffix
    target = folder / f"{step.name}{suffix}"
    fetch_output(session, job, target)
    return Done(step, source, job, target)
