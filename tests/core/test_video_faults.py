"""A video program that hangs, ignores TERM, breeds or runs out of room ends in a clear error, and all of it dies."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from geniequeue.errors import HostError, JobError, LostError, MemoryLimitError, PolicyError, TimeLimitError, ToolError
from geniequeue.operations import OPERATIONS
from geniequeue.sandbox import jail
from geniequeue.sandbox.client import Sandbox
from geniequeue.sandbox.inside import Limits
from geniequeue.sandbox.processes import descendants
from geniequeue.sandbox.result import SandboxResult
from tests.core import videos

Start = Callable[..., Sandbox]


@pytest.fixture(params=["walled", "bare"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Start a sandbox whose ffmpeg is a script of the test."""
    why_not = jail.available()
    if request.param == "walled" and why_not:
        pytest.skip(why_not)
    started: list[Sandbox] = []

    def call(script: str | None = None, *, root: Path | None = None, **limits: int) -> Sandbox:
        program = tmp_path / "program" / "ffmpeg" if script is not None else None
        if program is not None:
            program.parent.mkdir()
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
        walled = request.param == "walled"
        sandbox = Sandbox(root or tmp_path / "jobs", enabled=walled, ffmpeg=program, **limits)
        sandbox.start()
        started.append(sandbox)
        (sandbox.root / "out").mkdir()
        return sandbox

    yield call
    for sandbox in started:
        sandbox.close()


def resize(sandbox: Sandbox, *, timeout_s: float = 120.0, **params: object) -> SandboxResult:
    source = sandbox.root / "input"
    if not source.exists():
        videos.ffmpeg(*videos.scene(), "-f", "mp4", source)
    return sandbox.run(
        OPERATIONS["resize_video"].function,
        inputs={"input": source},
        out_dir=sandbox.root / "out",
        params=OPERATIONS["resize_video"].load_params(params or {"width": 64}),
        limits=Limits(),
        timeout_s=timeout_s,
        should_stop=lambda: False,
        on_progress=lambda _share: None,
    )


def alive(word: str) -> list[int]:
    """Process ids below this one whose command line holds a word."""
    found = []
    for pid in descendants(os.getpid()):
        with suppress(OSError):
            program, _, arguments = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")
            if word.encode() in arguments and not program.endswith(b"bwrap"):
                found.append(pid)
    return found


def failure(sandbox: Sandbox, **options: object) -> JobError:
    with pytest.raises(JobError) as caught:
        resize(sandbox, **options)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(
    "script",
    [
        "exec sleep 3607",
        "sleep 3607 & wait",
        "trap '' TERM INT HUP; while :; do sleep 3607; done",
        "while :; do :; done # 3607",
    ],
    ids=["f13_sleeps", "f13_sleeps_in_a_child", "f14_ignores_signals", "f13_spins"],
)
def test_f13_f14_a_program_that_does_not_end_dies_at_the_limit_with_its_family(
    start: Start, tmp_path: Path, script: str
) -> None:
    sandbox, began = start(script), time.monotonic()
    error = failure(sandbox, timeout_s=1.5)
    assert isinstance(error, TimeLimitError)
    assert time.monotonic() - began < 60
    assert alive("3607") == [] and alive("program/ffmpeg") == []
    good = tmp_path / "program" / "ffmpeg"
    good.write_text(f'#!/bin/sh\nexec {videos.FFMPEG} "$@"\n')
    assert resize(sandbox).outputs[0].width_px == 64  # by the successor


def test_a_program_that_leaves_a_child_behind_leaves_it_behind_dead(start: Start) -> None:
    error = failure(start("setsid sleep 3608 >/dev/null 2>&1 & exit 1"))
    assert error.kind in ("input", "tool")
    assert alive("3608") == []


def test_f49_a_program_that_breeds_is_ended(start: Start, request: pytest.FixtureRequest) -> None:
    if "bare" in request.node.name:
        pytest.skip("without walls the count would include other processes of this user")
    error = failure(start("i=0; while [ $i -lt 2000 ]; do sleep 3609 & i=$((i+1)); done; wait"), timeout_s=60)
    assert isinstance(error, ToolError | TimeLimitError) or error.kind == "input"
    assert alive("3609") == []


def test_f11_a_program_that_takes_too_much_memory_is_ended(start: Start) -> None:
    sandbox = start(memory_bytes=250 << 20)
    source = sandbox.root / "input"
    videos.ffmpeg(*videos.scene(1920, 1080, seconds=4), "-preset", "ultrafast", "-f", "mp4", source)
    error = failure(sandbox, width=3840, upscale=True)
    assert isinstance(error, MemoryLimitError)


def test_f30_an_output_that_grows_too_large_is_ended(start: Start) -> None:
    sandbox = start(file_bytes=100_000)
    videos.ffmpeg(*videos.scene(640, 360, seconds=2), "-crf", "10", "-f", "mp4", sandbox.root / "input")
    error = failure(sandbox, width=640)
    assert isinstance(error, PolicyError) and error.reason == "output_too_large"


def test_f30_a_full_disk_says_so(start: Start, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        sandbox = start(root=disk / "jobs")
        noise = ["-f", "lavfi", "-i", "testsrc2=s=640x360:r=30:d=2,noise=alls=30:allf=t"]
        videos.ffmpeg(*noise, "-crf", "44", "-f", "mp4", sandbox.root / "input")
        (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - 50_000))
        error = failure(sandbox, width=640)
        assert isinstance(error, HostError) and error.reason == "no_space" and error.retryable
        sandbox.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_program_that_is_killed_is_a_lost_job(start: Start) -> None:
    error = failure(start("kill -SEGV $$"))
    assert isinstance(error, LostError) and error.retryable
