"""Make a map between plane and leak exact: Gauss-Newton on locally normalised pictures, inside the overlap only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from geniequeue.watermark.arrays import Field, Flags, Matrix, field, locally_normalised, shrunk_mask
from geniequeue.watermark.resample import inverse, resized, scaling, translation

_LEAST_OVERLAP = 0.004
_LEAST_PIXELS = 400
SIMILARITY, AFFINE, HOMOGRAPHY = 4, 6, 8
# Side of the overlap in pixels, iterations, degrees of freedom: coarse to fine.
FINE_SCHEDULE = ((110, 8, AFFINE), (220, 8, AFFINE), (220, 6, HOMOGRAPHY), (460, 6, HOMOGRAPHY), (2000, 5, HOMOGRAPHY))
SHORT_SIDE = 96


@dataclass(frozen=True)
class Alignment:
    """A map plane -> leak, the correlation of the pictures under it, and that times the root of the pixels."""

    matrix: Matrix
    correlation: float = -1.0
    significance: float = 0.0


@dataclass(frozen=True)
class Level:
    """The overlap at one resolution: `to_plane` and `to_leak` map level and resized-leak indices back."""

    original: Field
    to_plane: Matrix
    leak: Field
    leak_scaling: Matrix


def overlap_flags(plane_shape: tuple[int, ...], leak_shape: tuple[int, ...], matrix: Matrix, side: int = 128) -> Flags:
    """A small picture of the plane: where the leak covers it."""
    factor = side / max(plane_shape)
    size = max(8, round(plane_shape[1] * factor)), max(8, round(plane_shape[0] * factor))
    to_small = scaling(size[0] / plane_shape[1], size[1] / plane_shape[0])
    return covered(leak_shape, matrix @ inverse(to_small), size)


def covered(shape: tuple[int, ...], matrix: Matrix, size: tuple[int, int]) -> Flags:
    """(height, width) of `size` (width, height): where the map leads into an array of `shape`."""
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(np.ones(shape[:2], np.uint8), matrix, size, flags=flags)) > 0


def warped(values: Field, matrix: Matrix, size: tuple[int, int], interpolation: int = cv2.INTER_LINEAR) -> Field:
    """Sample `values` where the map leads for each pixel of `size` (width, height)."""
    flags = interpolation | cv2.WARP_INVERSE_MAP
    return field(cv2.warpPerspective(values, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def correlation(first: Field, second: Field) -> float:
    """Cosine of two lists of values."""
    return float((first * second).mean() / np.sqrt((first * first).mean() * (second * second).mean() + 1e-9))


class Aligner:
    """Refines maps between one plane and one leak; resized leaks are kept for the next run."""

    def __init__(self, plane: Field, leak: Field) -> None:
        self.plane, self.leak = plane, leak
        self._resized: dict[tuple[int, int], Field] = {}

    def on(self, plane: Field) -> Aligner:
        """Return one for another plane and the same leak, with what is kept of it."""
        other = Aligner(plane, self.leak)
        other._resized = self._resized
        return other

    def short(self, matrix: Matrix, freedom: int = AFFINE) -> Alignment:
        """Judge a candidate cheaply."""
        return self.run(matrix, SHORT_SIDE, 8, freedom)

    def full(self, matrix: Matrix, schedule: Sequence[tuple[int, int, int]] = FINE_SCHEDULE) -> Alignment:
        """Refine coarse to fine."""
        best = Alignment(matrix)
        for side, iterations, freedom in schedule:
            found = self.run(best.matrix, side, iterations, freedom)
            best = found if found.correlation > 0 else best
        return best

    def run(self, matrix: Matrix, side: int, iterations: int, freedom: int) -> Alignment:
        """Gauss-Newton (Lucas and Kanade, 1981) with Cauchy weights at one level."""
        level = self.level(matrix, side)
        if level is None:
            return Alignment(matrix)
        target = locally_normalised(level.original)
        current = level.leak_scaling @ matrix @ level.to_plane
        moved, found, significance = np.inf, -1.0, 0.0
        for left in range(iterations, -1, -1):
            inside, leak = self._sampled(level, current)
            if inside.sum() < _LEAST_PIXELS:
                return Alignment(matrix)
            found = correlation(target[inside], leak[inside])
            significance = found * float(np.sqrt(inside.sum()))
            if left == 0 or moved < 0.02:
                break
            change, moved = _step(target, leak, inside, freedom)
            current = current @ change
            current = current / current[2, 2]
        result = inverse(level.leak_scaling) @ current @ inverse(level.to_plane)
        return Alignment(result / result[2, 2], found, significance)

    def level(self, matrix: Matrix, side: int) -> Level | None:
        """Cut out the overlap and shrink both pictures so that it has about `side` squared pixels."""
        flags = overlap_flags(self.plane.shape, self.leak.shape, matrix)
        if flags.mean() < _LEAST_OVERLAP:
            return None
        factor = min(1.0, side / float(np.sqrt(flags.mean() * self.plane.size)))
        x0, y0, x1, y1 = _box(flags, self.plane.shape, int(8 / factor))
        width, height = max(8, round((x1 - x0) * factor)), max(8, round((y1 - y0) * factor))
        original = resized(np.ascontiguousarray(self.plane[y0:y1, x0:x1]), width, height)
        to_plane = translation(x0, y0) @ inverse(scaling(width / (x1 - x0), height / (y1 - y0)))
        step = float(np.sqrt(abs(np.linalg.det((matrix @ to_plane)[:2, :2]))))
        leak = self._leak(min(1.0, 1.1 / max(step, 1e-9)))
        leak_scaling = scaling(leak.shape[1] / self.leak.shape[1], leak.shape[0] / self.leak.shape[0])
        return Level(original, to_plane, leak, leak_scaling)

    def _leak(self, factor: float) -> Field:
        if factor >= 1:
            return self.leak
        size = max(1, round(self.leak.shape[1] * factor)), max(1, round(self.leak.shape[0] * factor))
        if size not in self._resized:
            self._resized[size] = resized(self.leak, *size)
        return self._resized[size]

    @staticmethod
    def _sampled(level: Level, current: Matrix) -> tuple[Flags, Field]:
        size = level.original.shape[1], level.original.shape[0]
        inside = shrunk_mask(covered(level.leak.shape, current, size), 5)
        leak = field(np.where(inside, warped(level.leak, current, size), level.original))
        return inside, locally_normalised(leak)


def _box(flags: Flags, shape: tuple[int, ...], margin: int) -> tuple[int, int, int, int]:
    """Bounding box of the flags in pixels of the plane: x0, y0, x1, y1."""
    rows, columns = np.flatnonzero(flags.any(1)), np.flatnonzero(flags.any(0))
    per_x, per_y = shape[1] / flags.shape[1], shape[0] / flags.shape[0]
    x0, y0 = max(0, int(columns[0] * per_x) - margin), max(0, int(rows[0] * per_y) - margin)
    x1 = min(shape[1], int((columns[-1] + 1) * per_x + 1) + margin)
    return x0, y0, x1, min(shape[0], int((rows[-1] + 1) * per_y + 1) + margin)


def gradients(values: Field) -> tuple[Field, Field]:
    """Derivatives along x and y per pixel (Sobel)."""
    along_x = cv2.Sobel(values, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    along_y = cv2.Sobel(values, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    return field(along_x), field(along_y)


def _step(target: Field, leak: Field, inside: Flags, freedom: int) -> tuple[Matrix, float]:
    """One step: the change as a map on the level, and by how many pixels it moves."""
    height, width = target.shape
    side = max(height, width)
    rows, columns = np.nonzero(inside)
    x, y = field((columns - width / 2) / side), field((rows - height / 2) / side)
    dx, dy = (gradient[inside] * side for gradient in gradients(leak))
    error = (target - leak)[inside]
    solution = solve(_directions(dx, dy, x, y, freedom), error)
    centred = np.array([[1 / side, 0, -width / 2 / side], [0, 1 / side, -height / 2 / side], [0, 0, 1.0]])
    return inverse(centred) @ _change(solution, freedom) @ centred, float(np.abs(solution).max() * side)


def _directions(dx: Field, dy: Field, x: Field, y: Field, freedom: int) -> Field:
    """How each value changes with each parameter."""
    if freedom == SIMILARITY:
        return np.stack([dx * x + dy * y, dy * x - dx * y, dx, dy])
    affine = [dx * x, dx * y, dx, dy * x, dy * y, dy]
    if freedom == AFFINE:
        return np.stack(affine)
    outward = dx * x + dy * y
    return np.stack([*affine, -outward * x, -outward * y])


def solve(directions: Field, error: Field, ridge: float = 1e-5) -> Matrix:
    """Weighted least squares; Cauchy weights keep what was painted over from pulling."""
    weighted = directions / (1 + error * error)
    normal = (weighted @ directions.T).astype(np.float64)
    normal += (ridge * np.trace(normal) / len(normal) + 1e-6) * np.eye(len(normal))
    return np.asarray(np.linalg.solve(normal, (weighted @ error).astype(np.float64)), np.float64)


def _change(p: Matrix, freedom: int) -> Matrix:
    if freedom == SIMILARITY:
        return np.array([[1 + p[0], -p[1], p[2]], [p[1], 1 + p[0], p[3]], [0, 0, 1]])
    bent = (p[6], p[7]) if freedom == HOMOGRAPHY else (0.0, 0.0)
    return np.array([[1 + p[0], p[1], p[2]], [p[3], 1 + p[4], p[5]], [*bent, 1]])
