"""What each preset of x264 takes and gives at the same crf, and the one that is chosen by it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.video.job import Jobs
from bench.video.process import Took
from bench.video.sources import footage
from geniequeue.media import ffmpeg
from geniequeue.media.encoding import DEFAULT_PRESET

PRESETS = ("superfast", "veryfast", "faster", "fast", "medium", "slow")
CRF = 28
SECONDS, QUICK_SECONDS = 20.0, 2.0
# The choice is the fastest of those that are nearly as good as the best and nearly as small as the smallest of these.
NEARLY_AS_GOOD, NEARLY_AS_SMALL = 1.0, 1.1


@dataclass(frozen=True)
class Outcome:
    """What one preset came to; `vmaf` from 0 to 100."""

    preset: str
    took: Took
    size_bytes: int
    vmaf: float


def measure(jobs: Jobs, *, quick: bool) -> Iterator[str]:
    """Yield one line for each preset, and one for the choice."""
    footage(jobs.source, QUICK_SECONDS if quick else SECONDS)
    yield f"compress_video of 1080p30 at crf {CRF} by preset"
    outcomes = []
    for preset in PRESETS:
        took = jobs.step("compress_video", {"crf": CRF, "preset": preset})
        outcomes.append(Outcome(preset, took, jobs.made.stat().st_size, _vmaf(jobs)))
        yield _line(outcomes[-1])
    yield f"chosen by this: {chosen(outcomes).preset}; the default is {DEFAULT_PRESET}"


def chosen(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the fastest preset that costs next to nothing in looks and size."""
    best = max(each.vmaf for each in outcomes)
    good = [each for each in outcomes if each.vmaf >= best - NEARLY_AS_GOOD]
    smallest = min(each.size_bytes for each in good)
    return min(
        (each for each in good if each.size_bytes <= NEARLY_AS_SMALL * smallest), key=lambda each: each.took.seconds
    )


def _vmaf(jobs: Jobs) -> float:
    graph = "[0:v]settb=AVTB,setpts=N[a];[1:v]settb=AVTB,setpts=N[b];[a][b]libvmaf=n_threads=2:log_path=vmaf.xml"
    inputs = ["-i", str(jobs.made), "-f", "mp4", "-i", str(jobs.source)]
    ffmpeg.run([*inputs, "-lavfi", graph, "-f", "null", "-"], cwd=jobs.folder)
    found = re.search(r'<metric name="vmaf"[^>]* mean="([\d.]+)"', (jobs.folder / "vmaf.xml").read_text())
    if found is None:
        raise SystemExit("libvmaf wrote no score")
    return float(found[1])


def _line(outcome: Outcome) -> str:
    return (
        f"{outcome.preset:<10} {outcome.took.seconds:6.1f} s  {outcome.size_bytes / 1e6:6.2f} MB  "
        f"VMAF {outcome.vmaf:5.1f}  peak {outcome.took.peak_mib:4.0f} MiB"
    )
