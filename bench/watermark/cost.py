"""Time and memory of embedding 12 megapixels and of a trace with 100,000 copies, each in a process of its own."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from bench.watermark.attacks import after, area, jpeg, scaled
from bench.watermark.marked import COPIES, KEY, LEAKED, marked
from geniequeue.watermark.embedding import embed
from geniequeue.watermark.plane import luma_of, plane_of
from geniequeue.watermark.reading import read, reference
from geniequeue.watermark.scoring import scores

Cost = tuple[float, float, float]


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


def run(_folder: Path, *, quick: bool = False) -> Iterable[str]:
    """One line each; memory of the trace is the whole process's."""
    parts: dict[str, Callable[[], Cost]] = {"embed 12 MP": embedding, "trace, 100,000 copies": tracing}
    for name, measure in parts.items():
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            found = [pool.submit(measure).result() for _ in range(1 if quick else 3)]
        wall, spent, memory = min(found)
        yield f"  {name:24s} {wall:.2f} s, {spent:.2f} s of CPU, {memory:.0f} MB"
