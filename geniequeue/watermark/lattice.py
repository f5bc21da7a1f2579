"""Find the blind tile's lattice in a picture: its period and angle from the autocorrelation."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from scipy import fft

from geniequeue.watermark.arrays import Field, field, gauss
from geniequeue.watermark.frequency import frequencies, middle_band

PERIODS_PX = field(np.exp(np.arange(np.log(34), np.log(370), 0.0022)))
ANGLES = field(np.deg2rad(np.arange(-6, 6.01, 0.12)))
# Lattice vectors that are summed: rows 0 to 3 and columns -3 to 3 of the tiles.
_VECTORS = [(i, j) for i in range(4) for j in range(-3, 4) if (i, j) > (0, 0)]
_WHITENING_PX = 15


def whitened(luma: Field) -> Field:
    """The detail over its local deviation, clipped at 2.5: the mark counts as much in strong texture as elsewhere."""
    variance = gauss((luma - gauss(luma, 1.2)) ** 2, 2.5)
    return field(np.clip((luma - gauss(luma, 2.2)) / np.sqrt(variance + 1.5), -2.5, 2.5))


def autocorrelation(detail: Field) -> Field:
    """Of (H, W), in units of its own deviation, displacement 0 in the middle; the spectrum is flattened first."""
    shape = fft.next_fast_len(2 * detail.shape[0], True), fft.next_fast_len(2 * detail.shape[1], True)
    magnitude = field(np.abs(fft.rfft2(detail, shape)))
    local = cv2.blur(magnitude, (_WHITENING_PX, _WHITENING_PX), borderType=cv2.BORDER_REFLECT)
    flat = (magnitude / (local + 1e-9)) ** 2 * np.sqrt(middle_band(frequencies(shape)))
    values = field(fft.irfft2(flat, s=shape))
    return field(fft.fftshift(values / values[1:, 1:].std()))


def likelihood(detail: Field, angles: Field) -> Field:
    """(periods, angles): sum of the autocorrelation over the lattice of each."""
    values, (height, width) = autocorrelation(detail), detail.shape
    total = np.zeros((len(PERIODS_PX), len(angles)), np.float32)
    cosine, sine = np.cos(angles)[None], np.sin(angles)[None]
    for i, j in _VECTORS:
        y, x = PERIODS_PX[:, None] * (i * cosine + j * sine), PERIODS_PX[:, None] * (j * cosine - i * sine)
        found = cv2.remap(values, field(x + values.shape[1] // 2), field(y + values.shape[0] // 2), cv2.INTER_LINEAR)
        pixels = np.clip(1 - np.abs(y) / height, 0, 1) * np.clip(1 - np.abs(x) / width, 0, 1)
        usable = (np.abs(y) < 0.8 * height) & (np.abs(x) < 0.8 * width)
        total += np.where(usable, np.clip(found, -4, 6) * np.sqrt(pixels), 0)
    return total


def guesses(detail: Field, count: int, angles: Field = ANGLES) -> Iterator[tuple[float, float]]:
    """Period in pixels and angle in radians, the most likely first."""
    left = likelihood(detail, angles)
    for _ in range(count):
        i, j = (int(n) for n in np.unravel_index(left.argmax(), left.shape))
        yield float(PERIODS_PX[i]), float(angles[j])
        left[max(0, i - 4) : i + 5, max(0, j - 3) : j + 4] = -np.inf
