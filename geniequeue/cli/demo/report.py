"""What the demo shows at the end: a table, and a contact sheet drawn in the sandbox."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from geniequeue.cli.demo.checks import metadata_marks
from geniequeue.cli.demo.steps import Done
from geniequeue.cli.show import coloured, console, seconds, size
from geniequeue.sandbox.client import Sandbox
from geniequeue.sandbox.inside import Limits

SHEET = "contact-sheet.png"
SHEET_TIMEOUT_S = 120.0
COLUMNS = ("operation", "state", "waited", "ran", "in → out", "pixels", "bytes", "peak memory", "path")


def print_table(done: list[Done]) -> None:
    """Print one row for each job."""
    table = Table(*(Column(name, overflow="fold") for name in COLUMNS), box=None, padding=(0, 1))
    for each in done:
        table.add_row(*_row(each))
    console().print(table)


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
    return str(output["mime"]).removeprefix("image/")


def draw_sheet(done: list[Done], photo: Path, folder: Path, *, sandbox: bool) -> dict[str, dict[str, Any]]:
    """Draw `contact-sheet.png` into `folder`; return by step what each picture was found to be.

    Args:
        sandbox: False draws without walls, as `SANDBOX=off` asks for.
    """
    root = folder / "sheet"
    shutil.rmtree(root, ignore_errors=True)
    (root / "out").mkdir(parents=True)
    files = {"source": photo, **{each.step.name: each.output for each in done if each.output is not None}}
    inputs = {role: root / f"in-{number}" for number, role in enumerate(files)}
    for role, path in files.items():
        shutil.copyfile(path, inputs[role])
    params = {
        "title": "geniequeue demo",
        "subtitle": f"{photo.name}, before and after each operation",
        "cards": [_card(each) for each in done],
    }
    with Sandbox(root, enabled=sandbox) as walls:
        result = walls.run(
            "geniequeue.media.contact:contact_sheet",
            inputs=inputs,
            out_dir=root / "out",
            params=params,
            limits=Limits(),
            timeout_s=SHEET_TIMEOUT_S,
            should_stop=lambda: False,
            on_progress=lambda _share: None,
        )
    sheet = result.outputs[0]
    shutil.copyfile(root / "out" / sheet.name, folder / SHEET)
    shutil.rmtree(root)
    pictures: dict[str, dict[str, Any]] = sheet.facts["pictures"]
    return pictures


def _card(done: Done) -> dict[str, Any]:
    wanted = ", ".join(f"{name} {value}" for name, value in done.step.params.items() if name != "watermark_text")
    facts = done.job["input"] or {}
    before: dict[str, Any] = {"picture": "source", "caption": f"{facts.get('format_in', '')} · {_source_size(facts)}"}
    weight = size(done.source.stat().st_size)
    if done.output is None:
        before = {"text": f"{weight} of it, cut off", "caption": "the first part of the same file"}
        after: dict[str, Any] = {"text": done.job["message"] or "", "alarm": True, "caption": _ending(done)}
        return {"title": f"{done.job['operation']} · {done.step.name}", "before": before, "after": after}
    before["caption"] += f" · {weight}"
    output = done.job["outputs"][0]
    caption = f"{_format(output)} · {output['width_px']}×{output['height_px']} · {size(output['size_bytes'])}"
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
