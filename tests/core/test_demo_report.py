"""The table that the demo ends with."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from geniequeue.cli.demo import report
from geniequeue.cli.demo.steps import CORRUPT, Done, Step

STEP = Step("watermark", "apply_steganographic_watermark")
OUTPUT = {"mime": "image/jpeg", "width_px": 3840, "height_px": 2160, "size_bytes": 1_700_000}


def printed(monkeypatch: pytest.MonkeyPatch, folder: Path, width: int) -> list[str]:
    """Print a job that completed and one that failed on a terminal; return its lines."""
    source = folder / "photo.jpg"
    source.write_bytes(b"x")
    screen = Console(file=io.StringIO(), width=width)
    monkeypatch.setattr(report, "console", lambda: screen)
    monkeypatch.chdir(folder)
    timings = {"waited_s": 5.07, "ran_s": 0.74}
    facts = {"format_in": "jpeg", "width_in_px": 3840, "height_in_px": 2160}
    ended = {"operation": STEP.operation, "timings": timings, "peak_memory_bytes": 78_200_000, "input": facts}
    done = Done(STEP, source, {**ended, "state": "completed", "outputs": [OUTPUT]}, folder / "outputs" / "mark.jpg")
    failed = Done(CORRUPT, source, {**ended, "state": "failed", "outputs": [], "input": None}, None)
    with screen.capture() as capture:
        report.print_table([done, failed])
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_wide_terminal_has_a_row_for_each_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    header, done, failed = printed(monkeypatch, tmp_path, 200)
    assert header.split()[:3] == ["operation", "state", "waited"]
    assert done.endswith("outputs/mark.jpg")
    assert failed.split()[:2] == [STEP.operation, "(corrupt)"]


def test_a_narrow_terminal_has_some_lines_for_each_job_and_no_word_is_cut(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = printed(monkeypatch, tmp_path, 80)
    assert lines == [
        "apply_steganographic_watermark",
        "  completed · ran 0.74 s · jpeg → jpeg · 1 B → 1.7 MB",
        "  3840×2160 → 3840×2160 · peak memory 78.2 MB",
        "  outputs/mark.jpg",
        "apply_steganographic_watermark (corrupt)",
        "  failed · ran 0.74 s · 1 B → –",
        "  peak memory 78.2 MB",
    ]
