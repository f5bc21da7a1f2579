"""What marks cost: embedding 12 megapixels, a trace with 100,000 copies, and the encode of a video; medians.

Each picture is measured in a process of its own, so that the peak of memory is that of the step.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from bench.watermark import video_cost
from bench.watermark.attacks import after, area, jpeg, scaled
from bench.watermark.marked import COPIES, KEY, LEAKED, marked
from geniequeue.watermark.embedding import embed
from geniequeue.watermark.plane import luma_of, plane_of
from geniequeue.watermark.reading import read, reference
from geniequeue.watermark.scoring import scores

ROUNDS = 3
Cost = tuple[float, float, float]


@dataclass(frozen=True)
class Part:
    """What is measured: seconds, seconds of CPU and megabytes, and the most that the first and the last may be."""

    name: str
    measure: Callable[[], Cost]
    most_s: float
    most_mb: float = math.inf


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def embedding() -> Cost:
    """4000x3000 from pixels to pixels, its plane included."""
    picture = cv2.resize(marked(6).original, (4000, 3000), interpolation=cv2.INTER_CUBIC)
    embed(picture[:600, :800].copy(), plane_of(luma_of(picture[:600, :800])), KEY, "a", LEAKED)
    before, started, spent = peak_mb(), time.monotonic(), time.process_time()
    embed(picture, plane_of(luma_of(picture)), KEY, "a", LEAKED)
    return time.monotonic() - started, time.process_time() - spent, peak_mb() - before


def tracing() -> Cost:
    """A crop at half size, JPEG 60, from the stored plane on, with 100,000 code words."""
    one = marked(6)
    leak = luma_of(after(area(0.6), scaled(0.5), jpeg(60))(one.leaked)).astype(np.float32)
    ids, size = np.arange(COPIES, dtype=np.uint64), (one.original.shape[1], one.original.shape[0])
    plane, name = one.plane, one.photograph.name
    started, spent = time.monotonic(), time.process_time()
    scores(read(reference(plane, size), leak, KEY, name).chips, KEY, name, ids)
    return time.monotonic() - started, time.process_time() - spent, peak_mb()


PARTS = (
    Part("embed 12 MP", embedding, most_s=0.6),
    Part("trace, 100,000 copies", tracing, most_s=2.5, most_mb=600),
)


def run(_folder: Path, *, quick: bool = False) -> Iterable[str]:
    """Yield a line for each part, and those of videos; memory of the trace is the whole process's."""
    for part in PARTS:
        found = []
        for _ in range(1 if quick else ROUNDS):
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                found.append(pool.submit(part.measure).result())
        yield _line(part, *(median(figures) for figures in zip(*found, strict=True)))
    yield from video_cost.measure(quick=quick)


def _line(part: Part, wall_s: float, cpu_s: float, memory_mb: float) -> str:
    aims = f"aim {part.most_s:g} s" + (f", {part.most_mb:g} MB" if part.most_mb < math.inf else "")
    verdict = "ok" if wall_s <= part.most_s and memory_mb <= part.most_mb else "MISSED"
    return f"  {part.name:24s} {wall_s:.2f} s, {cpu_s:.2f} s of CPU, {memory_mb:.0f} MB ({aims})  {verdict}"
