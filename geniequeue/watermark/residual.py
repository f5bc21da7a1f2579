"""What a leak has that the original has not: the mark, and what the attack left of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from geniequeue.watermark.arrays import Field, Flags, Matrix, field, gauss, shrunk_mask
from geniequeue.watermark.registration import lens
from geniequeue.watermark.registration.alignment import covered, warped
from geniequeue.watermark.registration.register import Match
from geniequeue.watermark.resample import inverse, resized, scaling

_CLIP = 12.0
_LOCAL_PX = 12.0
# Two dozen unknowns need no more than every third pixel.
_EVERY = 3


@dataclass(frozen=True)
class Residual:
    """Leak minus original on the plane's grid.

    values: (h, w) float32, 0 outside. inside: (h, w), where the leak covers. resolution: pixels of the leak per pixel
    of the plane, at most 1. leak: the leak on the plane's grid.
    """

    values: Field
    inside: Flags
    resolution: float
    leak: Field


def residual_of(plane: Field, match: Match) -> Residual:
    """Subtract at a resolution that is no finer than the leak's, so that nothing is invented."""
    scale = float(np.sqrt(abs(np.linalg.det(match.alignment.matrix[:2, :2]))))
    factor = min(1.0, scale * 1.02)
    size = max(16, round(plane.shape[1] * factor)), max(16, round(plane.shape[0] * factor))
    coarse = resized(plane, *size) if factor < 0.97 else plane
    leak, inside = _laid_over(coarse, plane.shape, match)
    values = _without_filtering(coarse, inside, _without_local_gain(coarse, leak, inside))
    if coarse is plane:
        return Residual(values, inside, min(1.0, scale), leak)
    finer = plane.shape[1], plane.shape[0]
    flags = np.asarray(cv2.resize(inside.astype(np.uint8), finer, interpolation=cv2.INTER_NEAREST)) > 0
    return Residual(resized(values, *finer) * flags, flags, min(1.0, scale), resized(leak, *finer))


def _laid_over(coarse: Field, plane_shape: tuple[int, ...], match: Match) -> tuple[Field, Flags]:
    """The leak on the grid of `coarse`, the original where it does not reach, and where it reaches."""
    size = coarse.shape[1], coarse.shape[0]
    to_coarse = scaling(size[0] / plane_shape[1], size[1] / plane_shape[0])
    to_leak = match.alignment.matrix @ inverse(to_coarse)
    shrink_x, shrink_y = (min(1.0, 1.12 / float(n)) for n in np.hypot(to_leak[:2, 0], to_leak[:2, 1]))
    source = match.leak
    if min(shrink_x, shrink_y) < 0.99:
        source = resized(source, source.shape[1] * shrink_x, source.shape[0] * shrink_y)
    matrix = scaling(source.shape[1] / match.leak.shape[1], source.shape[0] / match.leak.shape[0]) @ to_leak
    if match.bend is None:
        values, inside = warped(source, matrix, size, cv2.INTER_CUBIC), covered(source.shape, matrix, size)
    else:
        to_x, to_y = _bent(matrix @ to_coarse, inverse(to_coarse), match.bend, size, plane_shape)
        values, inside = lens.sampled(source, to_x, to_y, cv2.INTER_CUBIC)
    inside = shrunk_mask(inside, 7)
    return field(np.where(inside, values, coarse)), inside


def _bent(
    matrix: Matrix, to_plane: Matrix, bend: Matrix, size: tuple[int, int], plane_shape: tuple[int, ...]
) -> tuple[Field, Field]:
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    x = field(to_plane[0, 0] * columns + to_plane[0, 2])
    y = field(to_plane[1, 1] * rows + to_plane[1, 2])
    return lens.lookup(matrix, bend, x, y, lens.powers(x, y, plane_shape))


def _without_local_gain(original: Field, leak: Field, inside: Flags) -> Field:
    """Regress the leak on the original place by place: brightness, contrast and shading go."""
    weight = field(inside)
    density = np.maximum(gauss(weight, _LOCAL_PX), 1e-3)

    def mean(values: Field) -> Field:
        return field(gauss(values * weight, _LOCAL_PX) / density)

    of_original, of_leak = mean(original), mean(leak)
    covariance = mean(original * leak) - of_original * of_leak
    variance = mean(original * original) - of_original * of_original
    gain = covariance / (variance + 2.0)
    return field(leak - (gain * (original - of_original) + of_leak))


def _without_filtering(original: Field, inside: Flags, values: Field) -> Field:
    """Regress on the original's 5x5 neighbourhood: blur and sharpening, everywhere the same, go."""
    if inside.sum() <= 500:
        return field(values * inside)
    offsets = [(i, j) for i in range(-2, 3) for j in range(-2, 3) if (i, j) != (0, 0)]
    changes = np.stack([(np.roll(original, offset, (0, 1)) - original)[inside] for offset in offsets])
    seen = np.clip(values[inside], -_CLIP, _CLIP)[::_EVERY]
    some = np.ascontiguousarray(changes[:, ::_EVERY])
    weighted = some / (1 + (seen / 6) ** 2)
    normal = (weighted @ some.T).astype(np.float64)
    normal += (1e-4 * np.trace(normal) / len(normal) + 1e-3) * np.eye(len(normal))
    kernel = np.linalg.solve(normal, (weighted @ seen).astype(np.float64))
    result = np.zeros_like(values)
    result[inside] = values[inside] - field(kernel) @ changes
    return result
