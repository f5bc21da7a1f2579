"""What is copied and not encoded, a strip and a cut on a key frame, against `cp` of the same file."""

from __future__ import annotations

from collections.abc import Iterator

from bench.video.job import Jobs
from bench.video.process import middle, peak_mib, run, seconds
from bench.video.sources import footage, repeated

MAX_RATIO, MAX_MIB = 1.2, 150
SIZE_BYTES, QUICK_BYTES = 1_000_000_000, 100_000_000
ROUNDS = 5
CASES = (("strip", "strip_metadata", {}), ("keyframe cut", "trim_videos", {"start": 4}))


def measure(jobs: Jobs, *, quick: bool) -> Iterator[str]:
    """Yield one line for each."""
    rounds = 2 if quick else ROUNDS
    short = jobs.folder / "short"
    footage(short, 20)
    repeated(short, jobs.source, QUICK_BYTES if quick else SIZE_BYTES)
    size_mb = jobs.source.stat().st_size / 1e6
    yield f"copies of {size_mb:.0f} MB, medians of {rounds} (aim {MAX_RATIO}, {MAX_MIB} MiB)"
    for name, operation, params in CASES:
        ours, copied = [], []
        for _ in range(rounds):
            copied.append(run(["cp", str(jobs.source), str(jobs.folder / "copy")]))
            (jobs.folder / "copy").unlink()
            ours.append(jobs.step(operation, params))
        job, copy, peak = middle(ours, seconds), middle(copied, seconds), max(map(peak_mib, ours))
        met = job / copy <= MAX_RATIO and peak <= MAX_MIB
        yield (
            f"{name:<13} job {job:6.2f} s  cp {copy:6.2f} s  ratio {job / copy:5.2f}  peak {peak:4.0f} MiB  "
            f"{'ok' if met else 'MISSED'}"
        )
