"""What the demo shows at the end: a table, and a contact sheet drawn in the sandbox."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.measure import Measurement
from rich.table import Column, Table

from geniequeue.cli.demo.checks import metadata_marks
from geniequeue.cli.demo.steps import FILM, Done
from geniequeue.cli.demo.walled import walled
from geniequeue.cli.show import coloured, console, seconds, size
from geniequeue.config import Settings

SHEET = "contact-sheet.png"
COLUMNS = ("operation", "state", "waited", "ran", "in → out", "pixels", "bytes", "peak memory", "path")
WIDEST = 1000
# What stands in each line of a job where the terminal is narrow.
STACKED = (("state", "ran", "in → out", "bytes"), ("pixels", "peak memory"), ("path",))


def print_table(done: list[Done]) -> None:
    """Print one row for each job; where the terminal is too narrow for that, some lines."""
    rows, screen = [_row(each) for each in done], console()
    table = Table(*(Column(name, no_wrap=True) for name in COLUMNS), box=None, padding=(0, 1))
    for row in rows:
        table.add_row(*row)
    wanted = Measurement.get(screen, screen.options.update(max_width=WIDEST), table).maximum
    if wanted <= screen.width:
        screen.print(table)
        return
    for row in rows:
        screen.print(_stacked(dict(zip(COLUMNS, row, strict=True))), soft_wrap=True)


def _stacked(row: Mapping[str, str]) -> str:
    """Return a row as lines that fit into 80 columns: the operation, and what came of it below."""
    row = {**row, "ran": f"ran {row['ran']}", "peak memory": f"peak memory {row['peak memory']}"}
    lines = [" · ".join(row[name] for name in names if row[name] != "–") for names in STACKED]
    return "\n  ".join(filter(None, [row["operation"], *lines]))


def _row(done: Done) -> tuple[str, ...]:
    job, facts = done.job, done.job["input"] or {}
    output = job["outputs"][0] if job["outputs"] else None
    formats = f"{facts.get('format_in', '?')} → {_format(output)}" if output else "–"
    pixels = f"{_source_size(facts)} → {output['width_px']}×{output['height_px']}" if output else "–"
    weight = f"{size(done.source.stat().st_size)} → {size(output['size_bytes']) if output else '–'}"
    path = os.path.relpath(done.output) if done.output else "–"
    timings = job["timings"]
    return (
        *(job["operation"] + (f" ({done.step.name})" if done.step.fails else ""), coloured(job["state"])),
        *(seconds(timings["waited_s"]), seconds(timings["ran_s"])),
        *(formats, pixels, weight, size(job["peak_memory_bytes"]), escape(path)),
    )


def _source_size(facts: Mapping[str, Any]) -> str:
    return f"{facts.get('width_in_px', '?')}×{facts.get('height_in_px', '?')}"


def _format(output: Mapping[str, Any]) -> str:
    return str(output["mime"]).partition("/")[2]


def draw_sheet(done: list[Done], photo: Path, folder: Path, settings: Settings) -> dict[str, dict[str, Any]]:
    """Draw `contact-sheet.png` into `folder`; return by step what each picture or video was found to be."""
    files = {"source": photo}
    for each in done:
        files |= {sent(each): each.source, each.step.name: each.output} if each.output else {}
    params = {
        "title": "geniequeue demo",
        "subtitle": f"{photo.name}, before and after each operation",
        "cards": [_card(each) for each in done],
    }
    with walled("geniequeue.media.contact:contact_sheet", files, params, folder, settings) as (sheet, path):
        shutil.copyfile(path, folder / SHEET)
    pictures: dict[str, dict[str, Any]] = sheet.facts["pictures"]
    return pictures


def sent(done: Done) -> str:
    """Return the name under which the sheet has what a step was sent."""
    return FILM.stem if done.step.film else "source"


def _card(done: Done) -> dict[str, Any]:
    wanted = ", ".join(f"{name} {value}" for name, value in done.step.params.items() if name != "watermark_text")
    facts = done.job["input"] or {}
    before: dict[str, Any] = {"picture": sent(done), "caption": f"{facts.get('format_in', '')} · {_source_size(facts)}"}
    weight = size(done.source.stat().st_size)
    if done.output is None:
        before = {"text": f"{weight} of it, cut off", "caption": "the first part of the same file"}
        after: dict[str, Any] = {"text": done.job["message"] or "", "alarm": True, "caption": _ending(done)}
        return {"title": f"{done.job['operation']} · {done.step.name}", "before": before, "after": after}
    before["caption"] += f" · {weight}"
    output = done.job["outputs"][0]
    caption = f"{_format(output)} · {output['width_px']}×{output['height_px']} · {size(output['size_bytes'])}"
    if done.step.film:
        before["caption"] += f" · {facts.get('duration_in_s')} s"
        caption += f" · {output['duration_s']} s"
    after = {"picture": done.step.name, "caption": caption}
    if done.step.name == "strip":
        before["caption"] += f" · {_metadata(done.source)}"
        after["caption"] += f" · {_metadata(done.output)}"
    title = f"{done.job['operation']}{' · ' + wanted if wanted else ''}"
    return {"title": title, "before": before, "after": after}


def _metadata(path: Path) -> str:
    return ", ".join(metadata_marks(path)) or "no metadata"


def _ending(done: Done) -> str:
    state = str(done.job["state"])
    return f"{state}, as it should" if done.step.fails and state == "failed" else f"{state}, unexpectedly"
