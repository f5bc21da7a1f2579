"""Nobody is accused who did nothing: traces of pictures against copies of the same asset that did not go into them.

Each trace is one of the worker: chips of one asset's carrier, compared with the code words of 1000 copies of that very
asset, judged by the bound of `geniequeue.marks.answer`. What is read is real: unmarked pictures, copies of others,
averages of copies, all attacked, and other photographs, marked for assets of their own. Those are never accepted by the
registration; here they are laid on the asset in spite of that.

Some hundred readings make no 20,000 traces, so each is traced once as it was read, and the other traces vary them:
sums of two readings of the asset with random weights and random noise, from which a random share of the chips is lost.
The ids are fresh ones in each trace. So what is many is the code words, which the bound is about, not the pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.watermark import tail
from bench.watermark.attacks import Picture, after, area, fitted, jpeg, noise, scaled
from bench.watermark.marked import KEY, LEAKED, TRACES, Marked, marked
from bench.watermark.photographs import PHOTOGRAPHS
from geniequeue.marks.answer import Bound
from geniequeue.watermark.detector import soft_chips
from geniequeue.watermark.pattern import carrier
from geniequeue.watermark.plane import luma_of
from geniequeue.watermark.reading import lay
from geniequeue.watermark.registration.alignment import Alignment
from geniequeue.watermark.registration.register import Match
from geniequeue.watermark.resample import resized
from geniequeue.watermark.residual import residual_of
from geniequeue.watermark.scoring import scores

COPIES, RUNS, QUICK_RUNS = 1000, 20_000, 1_000
PLOT = "watermark-innocents.png"
# Ids that went into what is read; those of the innocents have the highest bit, which none of these has.
EMBEDDED = np.array([LEAKED + number for number in range(3)], np.uint64)
INNOCENT = np.uint64(1 << 63)
ATTACKS = {
    "JPEG 60": jpeg(60),
    "half the area, JPEG 70": after(area(0.5), jpeg(70)),
    "0.3x": scaled(0.3),
    "noise of 6": noise(6),
    "thumbnail": after(fitted(320), jpeg(60)),
}
Chips = NDArray[np.float32]


@dataclass
class Found:
    """Of some traces.

    Attributes:
        readings: how many of each kind there were.
        accepted: other photographs that the registration took for the asset.
        looks: most readings of a leak that the best was kept of.
        own: scores of ids that went into what was read, once each.
        counts: scores of innocents at each level of `tail.LEVELS` or above.
    """

    readings: dict[str, int] = field(default_factory=dict)
    accepted: int = 0
    looks: int = 1
    own: list[float] = field(default_factory=list)
    traces: int = 0
    accused: int = 0
    highest: float = -math.inf
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(tail.LEVELS), np.int64))

    def add(self, other: Found) -> None:
        """Take in what another process found."""
        for kind, count in other.readings.items():
            self.readings[kind] = self.readings.get(kind, 0) + count
        self.accepted, self.looks = self.accepted + other.accepted, max(self.looks, other.looks)
        self.own, self.counts = self.own + other.own, self.counts + other.counts
        self.traces, self.accused = self.traces + other.traces, self.accused + other.accused
        self.highest = max(self.highest, other.highest)


def readings_of(index: int, found: Found) -> list[Chips]:
    """Chips of everything that is read against one photograph."""
    one, other = marked(index), marked((index + 1) % len(PHOTOGRAPHS))
    copies = [one.copy(int(trace_id)) for trace_id in EMBEDDED]
    mean = np.rint(np.mean(copies, 0)).astype(np.uint8)
    sources = {
        "unmarked": (one.original, EMBEDDED[:0]),
        "copies": (copies[0], EMBEDDED[:1]),
        "averages of three": (mean, EMBEDDED),
    }
    every: list[Chips] = []
    for kind, (source, ids) in sources.items():
        chips = [each for attack in ATTACKS.values() if (each := _read(one, attack(source), found)) is not None]
        found.readings[kind] = len(chips)
        found.own += [float(z) for each in chips for z in scores(each, KEY, one.photograph.name, ids)]
        every += chips
    foreign = [_laid_anyway(one, attack(other.leaked), found) for attack in ATTACKS.values()]
    found.readings["other photographs"] = len(foreign)
    return [*every, *foreign]


def _read(one: Marked, leak: Picture, found: Found) -> Chips | None:
    """As the worker reads it; None where it says nothing, as it cannot be registered."""
    reading = one.reading(leak, thorough=False)
    found.looks = max(found.looks, reading.registration.looks)
    return reading.chips if reading.registration.accepted else None


def _laid_anyway(one: Marked, foreign: Picture, found: Found) -> Chips:
    """Another photograph, stretched over the asset's plane; it is counted when the registration accepts it, too."""
    luma, plane = luma_of(foreign).astype(np.float32), one.reference.plane
    found.accepted += int(lay(one.reference, luma, thorough=False).registration.accepted)
    stretched = resized(luma, plane.shape[1], plane.shape[0])
    residual = residual_of(plane, Match("none", stretched, False, Alignment(np.eye(3))))
    return soft_chips(plane, residual, carrier(KEY, one.photograph.name, plane.shape))


def varied(base: list[Chips], count: int, rng: np.random.Generator) -> Iterator[Chips]:
    """Each reading as it is, then sums of two with noise of their own and some chips lost: `count` in all."""
    yield from base[:count]
    for _ in range(count - len(base)):
        first, second = (base[i] / np.linalg.norm(base[i]) for i in rng.integers(0, len(base), 2))
        noise_chips = rng.normal(size=first.shape) / np.sqrt(len(first))
        mixed = rng.random() * first + rng.random() * second + rng.random() * noise_chips
        yield (mixed * (rng.random(first.shape) < rng.uniform(0.05, 1))).astype(np.float32)


def traced(index: int, runs: int) -> Found:
    """So many traces of leaks of one photograph, each against 1000 copies of it that were issued to others."""
    cv2.setNumThreads(1)
    found, rng = Found(), np.random.default_rng(index)
    base = readings_of(index, found)
    named_from = Bound(COPIES, found.looks, TRACES).threshold
    for chips in varied(base, runs, rng):
        ids = rng.integers(0, INNOCENT, COPIES, np.uint64) | INNOCENT
        z = scores(chips, KEY, PHOTOGRAPHS[index].name, ids)
        found.counts += tail.counted(z)
        found.highest, found.accused = max(found.highest, float(z.max())), found.accused + int(z.max() >= named_from)
        found.traces += 1
    return found


def run(folder: Path, *, quick: bool = False) -> Iterable[str]:
    """Accused, the highest score, and the tail beside the bound."""
    chosen = range(0, len(PHOTOGRAPHS), 7) if quick else range(len(PHOTOGRAPHS))
    runs, every = QUICK_RUNS if quick else RUNS, Found()
    shares = [runs * (n + 1) // len(chosen) - runs * n // len(chosen) for n in range(len(chosen))]
    with ProcessPoolExecutor(2) as pool:
        for found in pool.map(traced, chosen, shares):
            every.add(found)
    yield from lines(every)
    yield from tail.lines(every.counts, every.traces * COPIES)
    tail.draw(every.counts, every.traces * COPIES, folder / PLOT)
    yield f"drawn in {PLOT}"


def lines(found: Found) -> Iterator[str]:
    """What was read, who was accused, and from where on one is."""
    real = ", ".join(f"{count} {kind}" for kind, count in found.readings.items())
    bound = Bound(COPIES, found.looks, TRACES)
    verdict = "MISSED" if found.accused else "ok"
    yield f"{found.traces} traces, {sum(found.readings.values())} as they were read ({real}), the others varied"
    yield f"{COPIES} copies of the same asset each, none of them in what was read: {found.accused} accused  {verdict}"
    judged = f"{bound.threshold:.2f} (copies {bound.copies}, looks {bound.looks}, traces {bound.traces})"
    yield f"highest score of theirs {found.highest:.2f}; named from {judged}"
    named = sum(z >= bound.threshold for z in found.own)
    yield f"for comparison, ids that were in it: {named}/{len(found.own)} named, median {np.median(found.own):.1f}"
    yield f"other photographs that the registration accepts: {found.accepted}/{found.readings['other photographs']}"
