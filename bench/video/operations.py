"""Each operation: the whole job-side step against its own ffmpeg alone, and moviepy's loop over frames beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from bench.video.cases import CASES, MOVIEPY, Case
from bench.video.job import Jobs
from bench.video.process import Took, bare, middle, peak_mib, run, seconds
from bench.video.sources import footage
from geniequeue.media.encoding import DEFAULT_PRESET

MAX_RATIO = 1.05
ROUNDS = 3
SECONDS, QUICK_SECONDS = 20.0, 4.0


def measure(jobs: Jobs, *, quick: bool) -> Iterator[str]:
    """Yield one line for each operation."""
    rounds = 1 if quick else ROUNDS
    length_s = QUICK_SECONDS if quick else SECONDS
    footage(jobs.source, length_s)
    size_mb = jobs.source.stat().st_size / 1e6
    yield f"1080p30 of {length_s:g} s, {size_mb:.1f} MB, medians of {rounds} interleaved rounds (aims {MAX_RATIO})"
    for case in (each for each in CASES if each.is_chosen):
        command = jobs.command(case.operation, case.params)
        ours, alone = [], []
        for _ in range(rounds):
            ours.append(jobs.step(case.operation, case.params))
            alone.append(run(command, jobs.planned_in(case.operation)))
        yield _line(case.name, ours, alone, _moviepy(jobs, case))


def _moviepy(jobs: Jobs, case: Case) -> Took:
    mark = jobs.folder / "mark.png"
    bare("-f", "lavfi", "-i", "color=white@0.7:s=288x60,format=rgba", "-frames:v", "1", str(mark))
    script = MOVIEPY.format(expression=case.moviepy.replace("MARK", str(mark)), crf=case.crf, preset=DEFAULT_PRESET)
    named = jobs.source.with_suffix(".mp4")
    named.unlink(missing_ok=True)
    named.hardlink_to(jobs.source)
    try:
        return run([sys.executable, "-c", script, str(named), str(jobs.folder / "moviepy.mp4")])
    finally:
        named.unlink()


def _line(name: str, ours: list[Took], alone: list[Took], loop: Took) -> str:
    job, peer = middle(ours, seconds), middle(alone, seconds)
    memory, peer_memory = middle(ours, peak_mib), middle(alone, peak_mib)
    met = job / peer <= MAX_RATIO and memory / peer_memory <= MAX_RATIO
    return (
        f"{name:<10} job {job:6.2f} s  bare ffmpeg {peer:6.2f} s  ratio {job / peer:5.3f}  "
        f"peak {memory:4.0f} MiB  bare {peer_memory:4.0f} MiB  ratio {memory / peer_memory:5.3f}  {_verdict(met)}  "
        f"moviepy {loop.seconds / peer:4.2f}×, {loop.peak_mib / peer_memory:4.2f}×"
    )


def _verdict(met: bool) -> str:
    return "ok    " if met else "MISSED"
