"""Several fans put their copies together: who is named, and is it ever a third?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.watermark.attacks import Picture, as_picture, jpeg
from bench.watermark.marked import NAMED_FROM, OTHERS, marked
from bench.watermark.photographs import PHOTOGRAPHS

Stack = NDArray[np.uint8]


def minmax(copies: Stack) -> Picture:
    """The middle between the darkest and the brightest value of each pixel."""
    return as_picture((copies.min(0).astype(np.float32) + copies.max(0)) / 2)


def mosaic(copies: Stack) -> Picture:
    """Blocks of 32 pixels, each from another copy."""
    count, height, width = copies.shape[:3]
    which = np.random.default_rng(5).integers(0, count, (-(-height // 32), -(-width // 32)))
    which = which.repeat(32, 0).repeat(32, 1)[:height, :width]
    return np.take_along_axis(copies, which[None, ..., None], 0)[0]


MIXES: dict[str, Callable[[Stack], Picture]] = {
    "mean": lambda copies: as_picture(copies.mean(0)),
    "median": lambda copies: as_picture(np.median(copies, 0)),
    "min/max": minmax,
    "mosaic": mosaic,
}


def run(_folder: Path, *, quick: bool = False) -> Iterable[str]:
    """For each mix and number: in how many pictures somebody was named, how many of the colluders, and thirds."""
    cv2.setNumThreads(1)
    chosen = range(0, len(PHOTOGRAPHS), 12 if quick else 2)
    found: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for index in chosen:
        one = marked(index)
        fans = np.random.default_rng(index).integers(1 << 62, 1 << 63, 8, dtype=np.uint64)
        copies = np.stack([one.copy(int(fan)) for fan in fans])
        for name, mix in MIXES.items():
            for count in (2, 3, 5, 8):
                z, _ = one.scores(jpeg(85)(mix(copies[:count])), np.concatenate([fans[:count], fans[count:], OTHERS]))
                named = int((z[:count] >= NAMED_FROM).sum())
                found.setdefault((name, count), []).append((named, float(z[count:].max())))
    yield f"copies mixed, then JPEG 85; named from z = {NAMED_FROM:.1f}; {len(chosen)} photographs"
    for (name, count), rows in found.items():
        somebody, named = sum(row[0] > 0 for row in rows), sum(row[0] for row in rows)
        third = max(row[1] for row in rows)
        yield (
            f"  {name:8s} of {count}: somebody named in {somebody}/{len(rows)}, "
            f"{named}/{count * len(rows)} colluders, highest z of a third {third:.1f}"
        )
