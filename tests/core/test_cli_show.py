"""What the command line shows of a job."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from geniequeue.cli import show
from geniequeue.cli.api_client import Job

JOB: Job = {
    **{"jobId": "1", "bullJobId": "bull:media-jobs:1", "operation": "trim_videos", "input_file_id": "asset"},
    **{"state": "completed", "progress": 100, "attempts": 1, "retry_count": 0, "message": None, "error": None},
    "timings": {"waited_s": 0.1, "ran_s": 2.0},
}
OUTPUT = {"mime": "video/mp4", "width_px": 1280, "height_px": 720, "size_bytes": 10, "path": "/made.mp4"}


class Terminal:
    """A terminal of 80 columns, on which a bar is drawn by a clock that the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self._console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
        monkeypatch.setattr(show, "console", lambda: self._console)
        self.bar = show.BarFollower("create_teaser film.mp4", clock=lambda: self.now)

    def line(self, **told: Any) -> str:
        """Show the job's next state and return the line."""
        self.bar.update({**JOB, "state": "active", "speed": 0.9, "left_s": 4.0, **told})
        with self._console.capture() as capture:
            self._console.print(self.bar._bar.get_renderable())
        return capture.get().rstrip("\n")


def bar_of(line: str) -> tuple[int, int]:
    """Return where the bar begins and where what follows it does."""
    return line.index("mp4") + 4, line.index(" %")


def test_the_bar_keeps_its_place_whatever_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch)
    told: list[dict[str, Any]] = [
        {"progress": 0, "state": "waiting", "speed": None, "left_s": None},
        {"progress": 3},
        {"progress": 30},
        {"progress": 60, "left_s": 3725.0},
        {"progress": 100, "state": "completed", "speed": None, "left_s": None},
    ]
    lines = []
    for each in told:
        terminal.now += 2
        lines.append(terminal.line(**each))
    assert len({bar_of(line) for line in lines}) == 1
    assert all(len(line) <= 80 and "\n" not in line for line in lines)
    assert "1:02:05 left" in lines[3] and "completed" in lines[4]


def test_no_time_left_is_told_before_it_can_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch)
    assert "left" not in terminal.line(progress=50)
    terminal.now += 1.9
    assert "left" not in terminal.line(progress=60)
    terminal.now += 0.2
    assert "0:04 left" in terminal.line(progress=60)
    assert "left" not in terminal.line(progress=4)


def shown(capsys: pytest.CaptureFixture[str], **members: Any) -> str:
    show.job({**JOB, **members})
    return capsys.readouterr().out


def test_a_video_tells_how_long_it_is_and_a_cut_whether_it_was_copied(capsys: pytest.CaptureFixture[str]) -> None:
    video = {**OUTPUT, "duration_s": 2.7}
    assert "1280×720, 2.7 s, 10 B, /made.mp4" in shown(capsys, outputs=[video], input={})
    assert "10 B, copied, not encoded, /made.mp4" in shown(capsys, outputs=[video], input={"lossless": True})
    assert "10 B, encoded, /made.mp4" in shown(capsys, outputs=[video], input={"lossless": False})


def test_the_file_that_a_trace_asks_for_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, outputs=[], input=None).splitlines()
    assert ["input", "asset"] in [line.split() for line in lines]
    assert "input" not in shown(capsys, outputs=[], input=None, input_file_id=None)
