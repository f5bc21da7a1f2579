"""Jobs and numbers for a person: tables and progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from geniequeue.cli.api_client import Job
from geniequeue.jobs.job import FINAL_STATES

PLAIN_WIDTH = 200
# Before so much is done, or so long, the time left is a guess that jumps.
LEFT_FROM_PERCENT, LEFT_AFTER_S = 5.0, 2.0
LONGEST_PACE = "99.9× · 1:00:00 left"
COLOURS = {"completed": "green", "failed": "red", "cancelled": "yellow", "active": "cyan"}


def console() -> Console:
    """Return standard output; where it is no terminal, lines are wide rather than wrapped."""
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)


def coloured(state: str) -> str:
    """Return a state in its colour."""
    colour = COLOURS.get(state)
    return f"[{colour}]{state}[/]" if colour else state


def seconds(value: float | None) -> str:
    """Return a duration; a dash for none."""
    return "–" if value is None else f"{value:.2f} s"


def size(value: float | None) -> str:
    """Return a number of bytes in a unit that reads well."""
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def pace(found: Job) -> str:
    """Return how fast a job is and how long it will take, where that is known: `1.4× · 0:12 left`."""
    speed = found.get("speed")
    left_s = found.get("left_s") if found["progress"] >= LEFT_FROM_PERCENT else None
    told = [f"{speed:.1f}×"] if speed is not None else []
    if left_s is not None:
        minutes, rest = divmod(round(left_s), 60)
        hours, minutes = divmod(minutes, 60)
        told.append(f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left")
    return " · ".join(told)


def job(found: Job) -> None:
    """Print one job, a member per line."""
    table = Table.grid(padding=(0, 2))
    for name, value in _members(found):
        table.add_row(name, value)
    console().print(table)


def _members(found: Job) -> list[tuple[str, str]]:
    timings = found["timings"]
    members = [
        ("job", f"{found['jobId']} ({found['bullJobId'] or 'not enqueued'})"),
        ("operation", escape(str(found["operation"]))),
        ("state", ", ".join(filter(None, (coloured(found["state"]), f"{found['progress']:.0f} %", pace(found))))),
        ("attempts", f"{found['attempts']}, retried {found['retry_count']}×"),
        ("times", f"waited {seconds(timings['waited_s'])}, ran {seconds(timings['ran_s'])}"),
    ]
    if found["input_file_id"]:
        members.append(("input", found["input_file_id"]))
    if found["message"]:
        name, word = ("error", found["error"]) if found["error"] else ("put off", found["reason"])
        members.append((name, escape(f"{found['message']} ({word})")))
    how = _how(found)
    return members + [("output", escape(_output(output, how))) for output in found["outputs"]]


def _how(found: Job) -> str:
    """Return whether a cut was copied; nothing for jobs that have no such choice."""
    lossless = (found["input"] or {}).get("lossless")
    return "" if lossless is None else "copied, not encoded" if lossless else "encoded"


def _output(output: Job, how: str) -> str:
    pixels = f"{output['width_px']}×{output['height_px']}" if output["width_px"] else ""
    lasts = f"{output['duration_s']:g} s" if output.get("duration_s") else ""
    place = str(output.get("path") or output["file_id"])
    return ", ".join(filter(None, (output["mime"], pixels, lasts, size(output["size_bytes"]), how, place)))


def jobs(found: Sequence[Job]) -> None:
    """Print jobs as a table."""
    if not found:
        click.echo("no jobs")
        return
    table = Table("job", "operation", "state", "progress", "accepted", "ran", "error", box=None)
    for each in found:
        state, timings = each["state"], each["timings"]
        table.add_row(
            *(each["jobId"], escape(str(each["operation"])), coloured(state), f"{each['progress']:.0f} %"),
            *(timings["accepted_at"], seconds(timings["ran_s"]), escape(each["message"] or "")),
        )
    console().print(table)


def stats(found: Job) -> None:
    """Print the numbers of the queues as a table."""
    columns = ("waiting", "active", "delayed", "completed", "failed")
    table = Table("queue", *columns, box=None)
    for queue, numbers in found["stats"].items():
        table.add_row(queue, *(str(numbers[column]) for column in columns))
    console().print(table)


class PlainFollower:
    """Prints a line when a job's state changes.

    Args:
        label: what to call the job; its id where empty.
        quiet: print nothing.
    """

    def __init__(self, label: str = "", *, quiet: bool = False) -> None:
        self._label = label
        self._quiet = quiet
        self._shown = ""

    def __enter__(self) -> PlainFollower:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, job: Job) -> None:
        """Print the job's state where it is new."""
        if job["state"] == self._shown or self._quiet:
            return
        self._shown = job["state"]
        click.echo(f"{self._label or job['jobId']}: {self._shown}{_why(job)}")


class BarFollower:
    """Draws a progress bar on a terminal; its width stays, whatever is told behind it."""

    def __init__(self, label: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        behind = Column(min_width=len("elapsed · ") + len(LONGEST_PACE), no_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn(),
            TextColumn("elapsed · {task.fields[told]}", table_column=behind), console=console(),
        )  # fmt: skip
        self._label = label
        self._clock = clock
        self._paced_since: float | None = None
        self._task: Any = None

    def __enter__(self) -> BarFollower:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, job: Job) -> None:
        """Move the bar."""
        if self._task is None:
            if self._label:
                self._bar.console.print(f"job {job['jobId']}")
            self._task = self._bar.add_task(escape(self._label or job["jobId"]), total=100, told="")
        self._bar.update(self._task, completed=job["progress"], told=self._told(job))
        if job["state"] in FINAL_STATES and job["message"]:
            self._bar.console.print(escape(job["message"]))

    def _told(self, job: Job) -> str:
        """Return the pace of a job that has one, else its state."""
        if job.get("left_s") is None:
            self._paced_since = None
        elif self._paced_since is None:
            self._paced_since = self._clock()
        settled = self._paced_since is not None and self._clock() - self._paced_since >= LEFT_AFTER_S
        return pace(job if settled else {**job, "left_s": None}) or coloured(job["state"])


def follower(label: str = "", *, quiet: bool = False) -> PlainFollower | BarFollower:
    """Return a progress bar on a terminal, plain lines elsewhere; nothing where `quiet`."""
    bar = sys.stdout.isatty() and not quiet
    return BarFollower(label) if bar else PlainFollower(label, quiet=quiet)


def label_of(path: Path, operation: str) -> str:
    """Return what to call a job of the command line."""
    return f"{operation} {path.name}"


def _why(job: Job) -> str:
    return f": {job['message']}" if job["message"] else ""
