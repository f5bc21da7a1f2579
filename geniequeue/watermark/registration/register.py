"""Register a leak to a plane: features, then the original's own scale, then correlation over scales and angles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from geniequeue.watermark.arrays import Field, Matrix
from geniequeue.watermark.registration import search
from geniequeue.watermark.registration.alignment import AFFINE, SIMILARITY, Aligner, Alignment, overlap_flags
from geniequeue.watermark.registration.features import Features, features, votes
from geniequeue.watermark.registration.lens import bend_of
from geniequeue.watermark.resample import inverse, resized, scaling

PLANE_FEATURES, LEAK_FEATURES = 5000, 6000
_FEATURE_SIDES = (420, 840, 1500)
_BEYOND_DOUBT = 60
_GOOD = 25.0
_NATIVE_SCHEDULE = ((2000, 5, SIMILARITY),)
# Correlation at the original's own size says less than features with the same significance: many places are tried.
_NATIVE_DISCOUNT = 0.25
_ANGLES = (3, -3, 6, -6, 9, -9, 12, -12, 15, -15, 18, -18, 90, 180, 270)


@dataclass(frozen=True)
class Original:
    """What registration needs of an original: (h, w) float32 plane, its features, its own width over the plane's."""

    plane: Field
    features: Features
    native: float


@dataclass(frozen=True)
class Match:
    """How a leak lies on an original; `leak` is mirrored already where `mirrored` says so."""

    kind: str
    leak: Field
    mirrored: bool
    alignment: Alignment
    bend: Matrix | None = None


def register(original: Original, leak: Field, *, thorough: bool = True) -> Match:
    """Find and refine the most probable map; the caller judges its correlation.

    Args:
        leak: (H, W) float32 luma 0 to 255.
        thorough: try angles too when neither features nor scales found anything; seconds more.
    """
    sides = _Sides(original, leak)
    best = Match("none", leak, False, Alignment(np.eye(3)))
    for stage in (_by_features, _by_native_size, _by_scale, _by_angle)[: 4 if thorough else 3]:
        for found in stage(original, sides):
            if found.alignment.significance > best.alignment.significance:
                best = found
        if best.alignment.significance >= _GOOD:
            break
    return _refined(best, sides)


class _Sides:
    """The leak as it is and mirrored, each with its aligner."""

    def __init__(self, original: Original, leak: Field) -> None:
        self.leaks = {False: leak, True: np.ascontiguousarray(leak[:, ::-1])}
        self.aligners = {side: Aligner(original.plane, picture) for side, picture in self.leaks.items()}

    def judged(self, kind: str, mirrored: bool, alignment: Alignment) -> Match:
        return Match(kind, self.leaks[mirrored], mirrored, alignment)


def _refined(best: Match, sides: _Sides) -> Match:
    if best.kind == "none":
        return best
    aligner = sides.aligners[best.mirrored]
    schedule = {"schedule": _NATIVE_SCHEDULE} if best.kind == "native size" else {}
    alignment = aligner.full(best.alignment.matrix, **schedule)
    shown = overlap_flags(aligner.plane.shape, best.leak.shape, alignment.matrix).mean()
    bent = bend_of(aligner, alignment.matrix) if alignment.correlation > 0.1 and shown > 0.15 else None
    if bent is None or bent[1] <= aligner.run(alignment.matrix, 800, 0, SIMILARITY).correlation + 0.01:
        return Match(best.kind, best.leak, best.mirrored, alignment)
    alignment = Alignment(alignment.matrix, bent[1], alignment.significance)
    return Match(f"{best.kind} and lens", best.leak, best.mirrored, alignment, bent[0])


def _by_features(original: Original, sides: _Sides) -> Iterator[Match]:
    leak = sides.leaks[False]
    small = _at_feature_size(leak)
    to_small = scaling(small.shape[1] / leak.shape[1], small.shape[0] / leak.shape[0])
    found = features(small, LEAK_FEATURES)
    cast = [(vote, False) for vote in votes(original.features, found)]
    if max((vote.count for vote, _ in cast), default=0) <= _BEYOND_DOUBT:
        cast += [(vote, True) for vote in votes(original.features, found.mirrored(small.shape[1]))]
    cast.sort(key=lambda one: -one[0].count)
    for vote, mirrored in cast:
        if vote.count >= 0.25 * cast[0][0].count:
            freedom = SIMILARITY if vote.kind == "similarity" else AFFINE
            matrix = inverse(to_small) @ vote.matrix
            yield sides.judged(f"features, {vote.kind}", mirrored, sides.aligners[mirrored].short(matrix, freedom))


def _at_feature_size(leak: Field) -> Field:
    """At most 1500 pixels; thumbnails are enlarged, because small points are not found otherwise."""
    small, wanted, most = _FEATURE_SIDES
    side = max(leak.shape)
    factor = min(1.0, most / side) if side >= small else min(2.5, wanted / side)
    return resized(leak, leak.shape[1] * factor, leak.shape[0] * factor)


def _by_native_size(original: Original, sides: _Sides) -> Iterator[Match]:
    """A crop at the original's size or half of it: correlation at full resolution finds film grain in plain sky."""
    side = max(original.plane.shape)
    sheet = search.sheet_of(original.plane, side)
    for mirrored, leak in sides.leaks.items():
        scales = [max(leak.shape) / (original.native * ratio * side) for ratio in (1.0, 0.5)]
        for matrix in search.candidates(sheet, leak, [s for s in scales if s < 1.6], best=2, least=0.01):
            found = sides.aligners[mirrored].run(matrix, 400, 4, SIMILARITY)
            rated = Alignment(found.matrix, found.correlation, found.significance * _NATIVE_DISCOUNT)
            yield sides.judged("native size", mirrored, rated)


def _by_scale(original: Original, sides: _Sides) -> Iterator[Match]:
    return _by_search(original, sides, "scales", search.SCALES, (0,))


def _by_angle(original: Original, sides: _Sides) -> Iterator[Match]:
    return _by_search(original, sides, "scales and angles", search.SCALES[::2], _ANGLES)


def _by_search(
    original: Original, sides: _Sides, kind: str, scales: tuple[float, ...], angles: tuple[int, ...]
) -> Iterator[Match]:
    sheet = search.sheet_of(original.plane)
    for mirrored, leak in sides.leaks.items():
        for matrix in search.candidates(sheet, leak, scales, angles):
            yield sides.judged(kind, mirrored, sides.aligners[mirrored].short(matrix))
