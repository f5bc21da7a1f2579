"""Run a program, and say what it took."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from geniequeue.media import ffmpeg


@dataclass(frozen=True)
class Took:
    """What one run took: wall clock, the resident size of the largest process at its largest, and time of processors.

    The last is 0 where it was not measured.
    """

    seconds: float
    peak_mib: float
    cpu_s: float = 0.0


def run(command: Sequence[str], cwd: Path | None = None) -> Took:
    """Run a program to its end; a failure ends the benchmark with what the program says."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    complaints = process.stderr.read()
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"{' '.join(command)}\n{complaints.decode(errors='replace')[-2000:]}")
    return Took(time.perf_counter() - began, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def bare(*arguments: str, cwd: Path | None = None) -> Took:
    """Run the ffmpeg of the jobs."""
    return run(ffmpeg.command(arguments), cwd)


def middle(runs: Sequence[Took], of: Callable[[Took], float]) -> float:
    """Return the median of a figure."""
    return median(map(of, runs))


def seconds(took: Took) -> float:
    """Return the wall clock."""
    return took.seconds


def cpu_seconds(took: Took) -> float:
    """Return the time of processors, which other programs on the machine change little."""
    return took.cpu_s


def peak_mib(took: Took) -> float:
    """Return the memory."""
    return took.peak_mib
