"""What a 3x3 matrix cannot say: lenses and curved screens, as a cubic displacement over the plane."""

from __future__ import annotations

import cv2
import numpy as np

from geniequeue.watermark.arrays import Field, Flags, Matrix, field, locally_normalised, shrunk_mask
from geniequeue.watermark.registration.alignment import Aligner, Level, correlation, gradients, solve

_DEGREE = 3
TERMS = (_DEGREE + 1) * (_DEGREE + 2) // 2
# Side of the overlap in pixels and iterations, coarse to fine.
_SCHEDULE = ((160, 6), (320, 5), (800, 3))
_LEAST_PIXELS = 3000
_WORTH_IT = 0.008


def powers(x: Field, y: Field, shape: tuple[int, ...]) -> Field:
    """(10, ...) monomials up to degree 3 of plane coordinates, centred and over the longest side."""
    side = max(shape)
    u, v = (x - shape[1] / 2) / side, (y - shape[0] / 2) / side
    return field(np.stack([u**i * v ** (d - i) for d in range(_DEGREE + 1) for i in range(d, -1, -1)]))


def lookup(matrix: Matrix, bend: Matrix, x: Field, y: Field, terms: Field) -> tuple[Field, Field]:
    """Where plane coordinates x, y lead: first bent by (2, 10) coefficients, then mapped by the matrix."""
    u, v = x + np.tensordot(bend[0], terms, 1), y + np.tensordot(bend[1], terms, 1)
    below = matrix[2, 0] * u + matrix[2, 1] * v + matrix[2, 2]
    to_x = (matrix[0, 0] * u + matrix[0, 1] * v + matrix[0, 2]) / below
    return field(to_x), field((matrix[1, 0] * u + matrix[1, 1] * v + matrix[1, 2]) / below)


def sampled(values: Field, to_x: Field, to_y: Field, interpolation: int) -> tuple[Field, Flags]:
    """The values there, and where that is inside."""
    inside = (to_x >= 0) & (to_y >= 0) & (to_x <= values.shape[1] - 1) & (to_y <= values.shape[0] - 1)
    return field(cv2.remap(values, to_x, to_y, interpolation, borderMode=cv2.BORDER_REPLICATE)), inside


def bend_of(aligner: Aligner, matrix: Matrix) -> tuple[Matrix, float] | None:
    """(2, 10) coefficients in pixels of the plane and the correlation with them; None where nothing is to bend."""
    bend, reached = np.zeros((2, TERMS)), -1.0
    for index, (side, iterations) in enumerate(_SCHEDULE):
        level = aligner.level(matrix, side)
        if level is None:
            return None
        refined = _refined(level, aligner.plane.shape, matrix, bend, iterations)
        if refined is None:
            return None
        bend, first, reached = refined
        if index == 0 and reached < first + _WORTH_IT:
            return None
    return bend, reached


def _refined(
    level: Level, shape: tuple[int, ...], matrix: Matrix, bend: Matrix, iterations: int
) -> tuple[Matrix, float, float] | None:
    """Gauss-Newton at one level: coefficients, first and last correlation."""
    rows, columns = np.mgrid[0 : level.original.shape[0], 0 : level.original.shape[1]].astype(np.float32)
    x = field(level.to_plane[0, 0] * columns + level.to_plane[0, 2])
    y = field(level.to_plane[1, 1] * rows + level.to_plane[1, 2])
    terms, target = powers(x, y, shape), locally_normalised(level.original)
    reached: list[float] = []
    for left in range(iterations, -1, -1):
        to_x, to_y = lookup(level.leak_scaling @ matrix, bend, x, y, terms)
        values, inside = sampled(level.leak, to_x, to_y, cv2.INTER_LINEAR)
        inside = shrunk_mask(inside, 5)
        if inside.sum() < _LEAST_PIXELS:
            return None
        leak = locally_normalised(field(np.where(inside, values, level.original)))
        reached.append(correlation(target[inside], leak[inside]))
        if left:
            dx, dy = gradients(leak)
            dx, dy = dx[inside] / level.to_plane[0, 0], dy[inside] / level.to_plane[1, 1]
            directions = np.concatenate([terms[:, inside] * dx, terms[:, inside] * dy])
            bend = bend + solve(directions, (target - leak)[inside]).reshape(2, TERMS)
    return bend, reached[0], reached[-1]
