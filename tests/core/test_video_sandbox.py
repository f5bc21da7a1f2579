"""Videos through the real sandbox: progress comes out, nothing is left behind, and a tool that hangs dies."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from geniequeue.errors import CancelledError, TimeLimitError
from geniequeue.operations import OPERATIONS
from geniequeue.sandbox import jail
from geniequeue.sandbox.client import Sandbox
from geniequeue.sandbox.inside import Limits
from geniequeue.sandbox.processes import descendants
from geniequeue.sandbox.result import SandboxResult
from tests.core import videos


class Bench:
    """Runs `resize_video` in one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.progress: list[float] = []
        self.out_dir = sandbox.root / "out"
        self.out_dir.mkdir()

    def run(self, source: Path, *, timeout_s: float = 150.0, stop_at: float = 2.0, **params: object) -> SandboxResult:
        return self.sandbox.run(
            OPERATIONS["resize_video"].function,
            inputs={"input": source},
            out_dir=self.out_dir,
            params=OPERATIONS["resize_video"].load_params(params),
            limits=Limits(),
            timeout_s=timeout_s,
            should_stop=lambda: bool(self.progress) and self.progress[-1] >= stop_at,
            on_progress=self.progress.append,
        )


@pytest.fixture(params=["walled", "bare"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    why_not = jail.available()
    if request.param == "walled" and why_not:
        pytest.skip(why_not)
    with Sandbox(tmp_path / "jobs", enabled=request.param == "walled") as sandbox:
        yield Bench(sandbox)


def _encoders() -> list[int]:
    """Process ids of every ffmpeg below this process."""
    return [pid for pid in descendants(os.getpid()) if b"ffmpeg" in _command(pid)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_video_is_made_inside_with_progress_and_nothing_beside_it(bench: Bench) -> None:
    source = bench.sandbox.root / "input"
    videos.ffmpeg(*videos.scene(640, 360, seconds=4), *videos.tone(4), "-preset", "ultrafast", "-f", "mp4", source)
    result = bench.run(source, width=480)
    videos.progress_of(bench.progress)
    assert len(bench.progress) > 3
    assert [path.name for path in bench.out_dir.iterdir()] == ["output.mp4"]
    assert result.outputs[0].width_px == 480
    assert 10 << 20 < result.peak_memory_bytes < 400 << 20
    assert _encoders() == []


def _long(bench: Bench) -> Path:
    source = bench.sandbox.root / "input"
    videos.ffmpeg(*videos.scene(640, 360, seconds=20), "-preset", "ultrafast", "-f", "mp4", source)
    return source


def test_a_cancelled_encode_is_gone_with_its_program_and_the_next_one_runs(bench: Bench) -> None:
    source = _long(bench)
    with pytest.raises(CancelledError):
        bench.run(source, stop_at=0.05, width=1280, upscale=True)
    assert _encoders() == []
    bench.progress.clear()
    short = bench.sandbox.root / "short"
    videos.ffmpeg(*videos.scene(seconds=0.2), "-f", "mp4", short)
    assert bench.run(short, width=160).outputs[0].width_px == 160


def test_an_encode_that_takes_too_long_is_ended_by_the_wall_clock(bench: Bench) -> None:
    source = _long(bench)
    began = time.monotonic()
    with pytest.raises(TimeLimitError):
        bench.run(source, timeout_s=1.5, width=1920, upscale=True)
    assert time.monotonic() - began < 60
    assert _encoders() == []
