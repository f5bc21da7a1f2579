"""The tail of the scores of wrong ids beside Hoeffding's bound, exp(-z*z/2): counted, told and drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

STEP = 0.1
LEVELS = np.arange(80) * STEP
_TOLD = (2, 3, 4, 5)
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 480, 70, 30, 30, 60
_INK, _FAINT, _RED, _BLUE = (60, 60, 60), (225, 225, 225), (40, 40, 200), (120, 60, 20)
_MOST_Z, _POWERS = 8, 8

Counts = NDArray[np.int64]
Picture = NDArray[np.uint8]


def counted(scores: NDArray[np.float32]) -> Counts:
    """How many scores are at each of the levels or above."""
    steps = np.clip(np.floor(scores / STEP), -1, len(LEVELS) - 1).astype(np.int64) + 1
    return np.bincount(steps, minlength=len(LEVELS) + 1)[:0:-1].cumsum()[::-1]


def bound(level: float) -> float:
    """The share of wrong ids that may reach a score, whatever the chips are."""
    return math.exp(-(level**2) / 2)


def lines(counts: Counts, total: int) -> Iterator[str]:
    """The tail at some levels, and whether it lies under the bound at all of them."""
    above = [level for level, count in zip(LEVELS, counts, strict=True) if count > total * bound(level)]
    verdict = f"MISSED at {above[0]:.1f}" if above else "ok"
    yield f"{total} scores, under Hoeffding's bound at all of {len(LEVELS)} levels  {verdict}"
    for level in _TOLD:
        share = counts[round(level / STEP)] / total
        below = f"{bound(level) / share:.0f} times below" if share else "none seen"
        yield f"  z >= {level}: {share:.2e}, bound {bound(level):.2e}, {below}"


def draw(counts: Counts, total: int, path: Path) -> None:
    """Draw the measured tail (dots) under the bound (line), on a logarithmic scale from 1 to 1e-8."""
    canvas = _grid()
    line = [_place(level, bound(level)) for level in np.arange(0, 6.05, 0.05)]
    cv2.polylines(canvas, [np.array(line, np.int32)], False, _RED, 2, cv2.LINE_AA)
    for level, count in zip(LEVELS, counts, strict=True):
        if count:
            cv2.circle(canvas, _place(level, count / total), 3, _BLUE, -1, cv2.LINE_AA)
    said = f"share of {total} wrong ids with a score of z or more (dots) under exp(-z*z/2) (line)"
    _write(canvas, said, (_LEFT, _HEIGHT - 10))
    cv2.imwrite(str(path), canvas)


def _grid() -> Picture:
    canvas = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    for power in range(_POWERS + 1):
        y = _place(0, 10.0**-power)[1]
        cv2.line(canvas, (_LEFT, y), (_WIDTH - _RIGHT, y), _FAINT, 1)
        _write(canvas, f"1e-{power}", (10, y + 5))
    for level in range(_MOST_Z + 1):
        _write(canvas, str(level), (_place(level, 1)[0] - 4, _HEIGHT - 35))
    return canvas


def _place(level: float, share: float) -> tuple[int, int]:
    power = -math.log10(max(share, 10.0**-_POWERS))
    right, down = level / _MOST_Z, power / _POWERS
    return int(_LEFT + right * (_WIDTH - _LEFT - _RIGHT)), int(_TOP + down * (_HEIGHT - _TOP - _BOTTOM))


def _write(canvas: Picture, text: str, at: tuple[int, int]) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
