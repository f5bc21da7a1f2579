"""Read 48 bits from a picture without knowing which asset it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from geniequeue.watermark import payload
from geniequeue.watermark.arrays import Bytes, Field, field, gauss, unit_variance
from geniequeue.watermark.lattice import guesses, whitened
from geniequeue.watermark.plane import LONGEST_SIDE_PX
from geniequeue.watermark.resample import resized
from geniequeue.watermark.tile import SIDE_PX, in_band, soft_chips, tile_parts

_LONGEST_SIDE_PX = 1400
_GUESSES, _QUICK_GUESSES = 40, 4
_UPRIGHT = field([0.0])
# Height of the synchronisation peak in deviations: read at once from here, not at all below.
_SURE, _LEAST = 11.0, 6.0
ORIENTATIONS: tuple[Callable[[Field], Field], ...] = (
    lambda a: a,
    lambda a: a[:, ::-1],
    np.rot90,
    lambda a: np.rot90(a, 3),
    lambda a: np.rot90(a, 2),
    lambda a: np.rot90(a)[:, ::-1],
    lambda a: np.rot90(a, 3)[:, ::-1],
    lambda a: a[::-1],
)


@dataclass(frozen=True)
class BlindReading:
    """48 bits whose CRC fits: the high bits of a trace id. score: height of the synchronisation peak in deviations."""

    payload: int
    score: float
    period_px: float
    angle_deg: float
    mirrored: bool


@dataclass(frozen=True)
class _Lattice:
    """A guess at the tiles' grid, and how well the folded tile agrees with the key's synchronisation part."""

    score: float
    period: float
    angle: float
    orientation: int = 0
    offset: tuple[int, int] = (0, 0)


def read_blind(luma: Bytes | Field, key: bytes, *, thorough: bool = True) -> BlindReading | None:
    """The payload of (H, W) luma 0 to 255, or None where there is none or it cannot be read.

    Args:
        thorough: False tries the whole picture, rescaled at most, and the four likeliest lattices that are not turned:
            enough to see that a file as delivered is marked already.
    """
    return _read(_detail(luma, _LONGEST_SIDE_PX if thorough else LONGEST_SIDE_PX), key, thorough)


def read_blind_frames(frames: Iterable[Bytes], key: bytes, *, thorough: bool = True) -> BlindReading | None:
    """The same for frames (H, W) of one size of a video: their details add up, twenty or more are plenty."""
    total, count = None, 0
    for frame in frames:
        detail = _detail(frame, LONGEST_SIDE_PX)
        total, count = detail if total is None else field(total + detail), count + 1
    return None if total is None else _read(field(total / np.sqrt(count)), key, thorough)


def _read(detail: Field, key: bytes, thorough: bool) -> BlindReading | None:
    likely = guesses(detail, _GUESSES) if thorough else guesses(detail, _QUICK_GUESSES, _UPRIGHT)
    found = _found(detail, key, likely)
    if found.score < _LEAST:
        return None
    best = _refined(detail, key, found)
    upright = ORIENTATIONS[best.orientation](fold(detail, best.period, best.angle))
    aligned = np.roll(upright, (-best.offset[0], -best.offset[1]), (0, 1))
    bits = payload.decode(soft_chips(key, np.ascontiguousarray(aligned)))
    if bits is None:
        return None
    mirrored = best.orientation in {1, 5, 6, 7}
    return BlindReading(bits, best.score, best.period, float(np.rad2deg(best.angle)), mirrored)


def _detail(luma: Bytes | Field, longest_side_px: int) -> Field:
    factor = min(1.0, longest_side_px / max(luma.shape))
    grey = np.ascontiguousarray(field(luma))
    return whitened(resized(grey, luma.shape[1] * factor, luma.shape[0] * factor))


def _found(detail: Field, key: bytes, likely: Iterator[tuple[float, float]]) -> _Lattice:
    """The best of the whole picture only rescaled and of what the autocorrelation says."""
    best = _Lattice(-np.inf, SIDE_PX, 0.0)
    whole = SIDE_PX * max(detail.shape) / LONGEST_SIDE_PX
    for period, angle in chain([(whole, 0.0)], likely):
        tile = fold(detail, period, angle)
        for orientation, turned in enumerate(ORIENTATIONS):
            score, offset = _agreement(turned(tile), key)
            if score > best.score:
                best = _Lattice(score, period, angle, orientation, offset)
        if best.score > _SURE:
            break
    return best


def _refined(detail: Field, key: bytes, best: _Lattice) -> _Lattice:
    turned = ORIENTATIONS[best.orientation]
    for step in (0.0012, 0.0006, 0.0003):
        centre = best
        for stretch, turn in [(i * step, j * step) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
            period, angle = centre.period * (1 + stretch), centre.angle + turn
            score, offset = _agreement(turned(fold(detail, period, angle)), key)
            if score > best.score:
                best = _Lattice(score, period, angle, best.orientation, offset)
    return best


def fold(detail: Field, period: float, angle: float) -> Field:
    """(128, 128): the sum of all tiles of this lattice, around the middle of the picture."""
    height, width = detail.shape
    step = period / SIDE_PX
    count = (int(np.hypot(height, width) / step) // SIDE_PX + 1) * SIDE_PX
    along = np.arange(count, dtype=np.float32) - count / 2
    c, s = np.cos(angle) * step, np.sin(angle) * step
    x = field(width / 2 + along[None] * c - along[:, None] * s)
    y = field(height / 2 + along[:, None] * c + along[None] * s)
    source = gauss(detail, 0.4 * step) if step > 1.25 else detail
    laid = cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return field(laid.reshape(count // SIDE_PX, SIDE_PX, count // SIDE_PX, SIDE_PX).sum((0, 2)))


@lru_cache(maxsize=4)
def _sync_spectrum(key: bytes) -> NDArray[np.complex64]:
    return np.asarray(np.conj(fft.rfft2(unit_variance(in_band(tile_parts(key).sync)))), np.complex64)


def _agreement(tile: Field, key: bytes) -> tuple[float, tuple[int, int]]:
    """Height of the correlation peak with the synchronisation part in deviations, and where it is."""
    spectrum = fft.rfft2(in_band(np.ascontiguousarray(tile)))
    spectrum /= np.sqrt(np.abs(spectrum)) + 1e-9
    values = fft.irfft2(spectrum * _sync_spectrum(key), s=(SIDE_PX, SIDE_PX))
    row, column = (int(i) for i in np.unravel_index(values.argmax(), values.shape))
    return float((values.max() - values.mean()) / values.std()), (row, column)
