"""Nobody is accused who did nothing: traces of pictures that hold no mark of the copies they are compared with."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.watermark.attacks import Picture, after, area, fitted, jpeg, noise, scaled
from bench.watermark.marked import KEY, LEAKED, NAMED_FROM, Marked, marked
from bench.watermark.photographs import PHOTOGRAPHS
from geniequeue.watermark.scoring import scores

COPIES, TRACES, SCORES = 1000, 20_000, 20_000_000
PLOT = "watermark-innocents.png"
LEVELS = np.arange(0, 8, 0.1)


def chips_of_innocents(one: Marked) -> list[NDArray[np.float32]]:
    """Readings of one photograph's leaks: unmarked, of another copy, and averages of copies; attacked."""
    copies = [one.copy(LEAKED + 1000 + number) for number in range(3)]
    mean = np.rint(np.mean(copies, 0)).astype(np.uint8)
    attacks = (jpeg(60), after(area(0.5), jpeg(70)), scaled(0.3), noise(6), after(fitted(320), jpeg(60)))
    sources: list[Picture] = [one.original, copies[0], mean]
    readings = [one.reading(attack(source), thorough=False) for source in sources for attack in attacks]
    return [reading.chips for reading in readings if reading.registration.accepted]


def varied(base: list[NDArray[np.float32]], count: int) -> Iterable[NDArray[np.float32]]:
    """Traces of synthetic variation: mixtures of real readings with noise of their own and some chips lost."""
    rng = np.random.default_rng(11)
    for _ in range(count):
        first, second = (base[i] / np.linalg.norm(base[i]) for i in rng.integers(0, len(base), 2))
        noise_chips = rng.normal(size=first.shape) / np.sqrt(len(first))
        mixed = rng.random() * first + rng.random() * second + rng.random() * noise_chips
        yield (mixed * (rng.random(first.shape) < rng.uniform(0.05, 1))).astype(np.float32)


def run(folder: Path, *, quick: bool = False) -> Iterable[str]:
    """Accused, the highest score, and the tail beside the bound."""
    cv2.setNumThreads(1)
    chosen, traces = (range(0, len(PHOTOGRAPHS), 5), 4_000) if quick else (range(len(PHOTOGRAPHS)), TRACES)
    base = [chips for index in chosen for chips in chips_of_innocents(marked(index))]
    counts, highest, accused, total = np.zeros(len(LEVELS)), 0.0, 0, 0
    for number, chips in enumerate(varied(base, traces)):
        ids = np.arange(1, COPIES + 1, dtype=np.uint64) + np.uint64(number * COPIES)
        z = scores(chips, KEY, f"innocent {number % 500}", ids)
        counts += (z[:, None] >= LEVELS[None]).sum(0)
        highest, accused, total = max(highest, float(z.max())), accused + int((z >= NAMED_FROM).any()), total + len(z)
    yield f"{traces} traces of {len(base)} readings varied, {COPIES} copies each: {accused} accused"
    yield f"{total} scores of wrong ids, the highest {highest:.2f}; named from {NAMED_FROM:.2f}"
    for level in (2.0, 3.0, 4.0, 5.0):
        share, bound = counts[round(level * 10)] / total, math.exp(-(level**2) / 2)
        below = f"{bound / share:.0f} times below" if share else "none seen"
        yield f"  z >= {level:.0f}: {share:.2e}, bound {bound:.2e}, {below}"
    draw(counts / total, folder / PLOT)
    yield f"drawn in {PLOT}"


def draw(shares: NDArray[np.float64], path: Path) -> None:
    """The measured tail (dots) under the bound (line), log scale from 1 to 1e-8."""
    width, height, left, top = 720, 480, 70, 30
    canvas = np.full((height, width, 3), 255, np.uint8)

    def place(level: float, share: float) -> tuple[int, int]:
        return int(left + level / 8 * (width - 100)), int(top - math.log10(max(share, 1e-8)) / 8 * (height - 90))

    for power in range(9):
        y = place(0, 10.0**-power)[1]
        cv2.line(canvas, (left, y), (width - 30, y), (225, 225, 225), 1)
        cv2.putText(canvas, f"1e-{power}", (10, y + 5), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (60, 60, 60), 1, cv2.LINE_AA)
    for level in range(9):
        x = place(level, 1)[0]
        cv2.putText(
            canvas, str(level), (x - 4, height - 35), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (60, 60, 60), 1, cv2.LINE_AA
        )
    line = np.array([place(level, math.exp(-(level**2) / 2)) for level in np.arange(0, 6.05, 0.05)], np.int32)
    cv2.polylines(canvas, [line], False, (40, 40, 200), 2, cv2.LINE_AA)
    for level, share in zip(LEVELS, shares, strict=True):
        if share > 0:
            cv2.circle(canvas, place(float(level), float(share)), 3, (120, 60, 20), -1, cv2.LINE_AA)
    said = "share of wrong ids with a score of z or more (dots) under exp(-z*z/2) (line)"
    cv2.putText(canvas, said, (left, height - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (60, 60, 60), 1, cv2.LINE_AA)
    cv2.imwrite(str(path), canvas)
