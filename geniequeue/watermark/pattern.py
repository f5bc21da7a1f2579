"""The mark as a picture: what is added to the luma of one copy, at the size of the plane."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from geniequeue.watermark.arrays import Bytes, Field, field, unit_variance
from geniequeue.watermark.derivation import CHIPS, Codes, signs, words
from geniequeue.watermark.frequency import VIDEO_LOW_SHARE, filtered, informed_band
from geniequeue.watermark.mask import tolerance
from geniequeue.watermark.tile import SIDE_PX, tile

# Share of the mark's energy that the blind tile gets.
BLIND_SHARE = 0.5
# Before rounding to whole steps, which takes a third of a decibel: 48 dB are kept.
PSNR_DB = 48.4
LEAST_SSIM = 0.9942
BLIND_SHIFT_BITS = 16


@dataclass(frozen=True)
class Carrier:
    """Which chip a pixel of the plane carries, and with which sign."""

    chip: NDArray[np.uint16]
    sign: Field

    def spread(self, chips: Field) -> Field:
        """(4096,) chips -> (h, w) white pattern."""
        return field(self.sign * chips[self.chip])

    def collect(self, values: Field) -> Field:
        """(h, w) -> (4096,): the sum over the pixels of each chip; the transpose of `spread`."""
        return field(np.bincount(self.chip.ravel(), (self.sign * values).ravel(), CHIPS))


@lru_cache(maxsize=4)
def carrier(key: bytes, asset: str, shape: tuple[int, int]) -> Carrier:
    """The asset's carrier, not periodic, the same for all of its copies."""
    drawn = words(shape[0] * shape[1], key, "carrier", asset, *shape).reshape(shape)
    return Carrier(drawn >> np.uint16(4), signs(drawn))


def mark_pattern(plane: Bytes, key: bytes, asset: str, trace_id: int, *, strength: float = 1.0) -> Field:
    """Difference of luma that marks a copy: (h, w) float32 for a plane of (h, w) uint8.

    Both layers lie under one mask. The amplitude keeps PSNR above 48 dB and SSIM (measured on the plane) above
    0.9942 at strength 1.
    """
    grey = field(plane)
    informed = carrier(key, asset, grey.shape).spread(Codes(key, asset).chips(trace_id))
    layers = np.sqrt(1 - BLIND_SHARE) * unit_variance(filtered(informed, informed_band(grey.shape)))
    layers += np.sqrt(BLIND_SHARE) * _tiled(tile(key, trace_id >> BLIND_SHIFT_BITS), grey.shape)
    return field(_limited(grey, field(tolerance(grey) * layers)) * strength)


def flat_pattern(shape: tuple[int, int], key: bytes, group: str, codes: Field, bits: int) -> Field:
    """Both layers of unit variance without a mask: (h, w); for videos, whose frames bring their own mask."""
    informed = filtered(carrier(key, group, shape).spread(codes), informed_band(shape, VIDEO_LOW_SHARE))
    layers = np.sqrt(1 - BLIND_SHARE) * unit_variance(informed) + np.sqrt(BLIND_SHARE) * _tiled(tile(key, bits), shape)
    return unit_variance(field(layers))


def _tiled(values: Field, shape: tuple[int, int]) -> Field:
    repeats = shape[0] // SIDE_PX + 1, shape[1] // SIDE_PX + 1
    return np.tile(values, repeats)[: shape[0], : shape[1]]


def _limited(grey: Field, mark: Field) -> Field:
    """Scale a mark down to what PSNR and SSIM allow, as rounded to whole steps of luma.

    1 - SSIM goes nearly with the square of the amplitude, so two steps are enough.
    """
    mark = field(mark * min(1.0, 255 / 10 ** (PSNR_DB / 20) / max(float(mark.std()), 1e-9)))
    for _ in range(2):
        loss = max(1e-6, 1 - ssim(grey, field(np.rint(grey + mark))))
        mark = field(mark * min(1.0, np.sqrt((1 - LEAST_SSIM) / loss)))
    return mark


def ssim(first: Field, second: Field) -> float:
    """Structural similarity of two luma planes 0 to 255 (Wang, Bovik, Sheikh and Simoncelli, 2004; 7x7 mean)."""

    def mean(values: Field) -> Field:
        return field(cv2.blur(values, (7, 7)))

    mean_1, mean_2 = mean(first), mean(second)
    var_1, var_2 = mean(first * first) - mean_1**2, mean(second * second) - mean_2**2
    covariance = mean(first * second) - mean_1 * mean_2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    alike = (2 * mean_1 * mean_2 + c1) * (2 * covariance + c2)
    return float((alike / ((mean_1**2 + mean_2**2 + c1) * (var_1 + var_2 + c2))).mean())
