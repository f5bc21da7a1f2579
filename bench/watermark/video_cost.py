"""What marking a video costs: the encode of the operation with the mark against the same encode without it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.video.process import Took, cpu_seconds, middle, run, seconds
from bench.video.sources import footage
from bench.watermark.film import marked
from bench.watermark.marked import KEY, LEAKED
from geniequeue.media import ffmpeg, filters, remake
from geniequeue.media.clip import Clip, probe
from geniequeue.sandbox.inside import Limits

MAX_RATIO = 1.15
ROUNDS, SECONDS, QUICK_SECONDS = 3, 20.0, 4.0


def measure(*, quick: bool) -> Iterator[str]:
    """Say both times and their ratio; runs are interleaved."""
    rounds, length_s = (1, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        footage(folder / "input", length_s)
        clip = probe(folder / "input", Limits())
        plans = {"without": plain(clip), "marked": marked(clip, folder, KEY, "asset", LEAKED)}
        took: dict[str, list[Took]] = {which: [] for which in plans}
        for _ in range(rounds):
            for which, plan in plans.items():
                command = ffmpeg.command(remake.arguments_of(plan, folder / f"{which}.mp4"))
                took[which].append(run(command, folder))
        sizes = [(folder / f"{which}.mp4").stat().st_size for which in ("marked", "without")]
    (wall, bare), (spent, bare_spent) = (
        [middle(took[which], of) for which in ("marked", "without")] for of in (seconds, cpu_seconds)
    )
    verdict = "ok" if wall / bare <= MAX_RATIO else "MISSED"
    yield (
        f"  encode 1080p30 of {length_s:g} s, medians of {rounds}: {bare:.2f} s, marked {wall:.2f} s, "
        f"ratio {wall / bare:.3f} (aim {MAX_RATIO})  {verdict}"
    )
    yield (
        f"    of CPU {bare_spent:.2f} s, marked {spent:.2f} s, ratio {spent / bare_spent:.3f}; "
        f"bytes x{sizes[0] / sizes[1]:.2f}"
    )


def plain(clip: Clip) -> remake.Plan:
    """What delivers the clip as it is: neither mark nor thumbnails."""
    shown = clip.look.shown
    return remake.plan_of(clip, filters.chain(filters.prepared(clip), filters.delivered(*shown)), filters.even(*shown))
