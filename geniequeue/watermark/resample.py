"""Resizing without aliasing, and the matrices that say which pixel went where.

Coordinates are of pixel centres at whole numbers: index i of n pixels covers [i - 0.5, i + 0.5].
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from scipy import sparse

from geniequeue.watermark.arrays import Field, Matrix, field

LOBES = 3


def scaling(factor_x: float, factor_y: float) -> Matrix:
    """3x3: index in a plane -> index in the same plane resized by the factors."""
    return np.array(
        [[factor_x, 0, 0.5 * factor_x - 0.5], [0, factor_y, 0.5 * factor_y - 0.5], [0, 0, 1.0]], dtype=np.float64
    )


def translation(x: float, y: float) -> Matrix:
    """3x3: moves by x, y pixels."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def inverse(matrix: Matrix) -> Matrix:
    """The map back."""
    return np.asarray(np.linalg.inv(matrix), np.float64)


def resized(plane: Field, width: float, height: float) -> Field:
    """Resize (H, W) float32 by a Lanczos kernel of three lobes, widened where it shrinks.

    Where it shrinks by more than four, the mean of blocks comes first: the eye and the detector see no difference.
    """
    size = max(1, round(width)), max(1, round(height))
    if size == plane.shape[::-1]:
        return plane
    blocks = [max(1, int(have // (want * 2))) for have, want in zip(plane.shape[::-1], size, strict=True)]
    if max(blocks) > 1:
        reduced = plane.shape[1] // blocks[0], plane.shape[0] // blocks[1]
        plane = field(cv2.resize(plane, reduced, interpolation=cv2.INTER_AREA))
    rows = _lanczos(size[1], plane.shape[0]) @ plane
    return np.ascontiguousarray(field((_lanczos(size[0], plane.shape[1]) @ rows.T).T))


@lru_cache(maxsize=32)
def _lanczos(n_out: int, n_in: int) -> sparse.csr_matrix:
    """Row i: the weights of the input pixels for output pixel i (Lanczos, *Applied Analysis*, 1956; sum 1)."""
    step = n_in / n_out
    reach = LOBES * max(1.0, step)
    centres = (np.arange(n_out) + 0.5) * step - 0.5
    first = np.ceil(centres - reach).astype(int)
    columns = first[:, None] + np.arange(int(2 * reach) + 1)[None]
    distance = (columns - centres[:, None]) / max(1.0, step)
    weights = np.where(np.abs(distance) < LOBES, np.sinc(distance) * np.sinc(distance / LOBES), 0)
    weights /= weights.sum(1, keepdims=True)
    rows = np.repeat(np.arange(n_out), columns.shape[1])
    entries = weights.ravel().astype(np.float32), (rows, np.clip(columns, 0, n_in - 1).ravel())
    return sparse.csr_matrix(entries, shape=(n_out, n_in), dtype=np.float32)


@lru_cache(maxsize=8)
def cubic_rows(n_out: int, n_in: int) -> sparse.csr_matrix:
    """(n_out, n_in) sparse: interpolates n_in samples at n_out places (Catmull and Rom, 1974)."""
    centres = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    columns = np.floor(centres).astype(int)[:, None] + np.arange(-1, 3)[None]
    d = np.abs(columns - centres[:, None])
    weights = np.where(d < 1, 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2)
    rows = np.repeat(np.arange(n_out), 4)
    entries = weights.ravel().astype(np.float32), (rows, np.clip(columns, 0, n_in - 1).ravel())
    return sparse.csr_matrix(entries, shape=(n_out, n_in), dtype=np.float32)
