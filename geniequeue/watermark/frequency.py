"""The pass-bands of the mark, in cycles per pixel of the plane, and filtering by them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import fft

from geniequeue.watermark.arrays import Field, field

# Survives a downscale to about 450 pixels.
MIDDLE = (0.07, 0.24)
# Survives thumbnails of 320 pixels and hard quantisation; half of the informed mark's energy lies here.
LOW = (0.022, 0.085)
LOW_SHARE = 0.5
# Of a video's; a hard recompression leaves little else.
VIDEO_LOW_SHARE = 0.7
# Where the detector splits the pass-band to weigh its parts.
EDGES = (0.045, 0.08, 0.12, 0.165)


@lru_cache(maxsize=16)
def frequencies(shape: tuple[int, int]) -> Field:
    """Radial frequency of each coefficient of rfft2 of an array of this shape, 0 to 0.71."""
    return field(np.hypot(fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])[None]))


def middle_band(f: Field) -> Field:
    """Amplitude of the middle band, 0 to 1, with soft edges."""
    low, high = MIDDLE
    return field(np.exp(-((f / high) ** 4)) * (1 - np.exp(-((f / low) ** 2))))


def low_band(f: Field) -> Field:
    """Amplitude of the low band, 0 to 1, with soft edges."""
    low, high = LOW
    return field(np.exp(-((f / high) ** 4)) * (1 - np.exp(-((f / low) ** 4))))


def energy(spectrum: Field, shape: tuple[int, int]) -> float:
    """Variance that white noise of variance 1 keeps behind this amplitude (Parseval)."""
    weight = np.full(spectrum.shape[1], 2.0)
    weight[0] = 1
    if shape[1] % 2 == 0:
        weight[-1] = 1
    return float((spectrum.astype(np.float64) ** 2 @ weight).sum() / (shape[0] * shape[1]))


@lru_cache(maxsize=8)
def informed_band(shape: tuple[int, int], low_share: float = LOW_SHARE) -> Field:
    """Amplitude spectrum of the informed mark: both bands, unit variance for white input."""
    f = frequencies(shape)
    middle, low = middle_band(f), low_band(f)
    parts = (1 - low_share) * middle**2 / energy(middle, shape) + low_share * low**2 / energy(low, shape)
    return field(np.sqrt(parts))


def filtered(values: Field, spectrum: Field) -> Field:
    """Multiply the array's spectrum (circular convolution)."""
    return field(fft.irfft2(fft.rfft2(values) * spectrum, s=values.shape))


def split(f: Field, edges: Sequence[float] = EDGES) -> list[Field]:
    """Sub-bands that sum to 1 at every frequency, by steps of (f/edge)^10."""
    steps = [field((q := (f / edge) ** 10) / (1 + q)) for edge in edges]
    above, below = [np.ones_like(f), *steps], [*steps, np.zeros_like(f)]
    return [field(a - b) for a, b in zip(above, below, strict=True)]
