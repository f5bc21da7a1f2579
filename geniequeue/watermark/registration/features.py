"""Points that two pictures share, and the maps between the pictures that they vote for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from geniequeue.watermark.arrays import Field, Matrix, field

_RATIO = 0.86
_REPROJECTION_PX = 3.0
_ITERATIONS, _CONFIDENCE = 10_000, 0.9999


@dataclass(frozen=True)
class Features:
    """(N, 2) float32 positions and (N, 128) float32 descriptors of length 1."""

    points: Field
    descriptors: Field

    def mirrored(self, width: int) -> Features:
        """What the mirrored picture would give: spatial columns reversed, orientations negated."""
        points = self.points * np.array([-1, 1]) + np.array([width - 1, 0])
        cells = self.descriptors.reshape(-1, 4, 4, 8)[:, ::-1, :, (-np.arange(8)) % 8]
        return Features(field(points), np.ascontiguousarray(cells).reshape(-1, 128))


@dataclass(frozen=True)
class Vote:
    """A map from plane to leak and how many points agree with it."""

    count: int
    matrix: Matrix
    kind: str


@lru_cache(maxsize=4)
def _detector(count: int) -> Any:
    return cv2.SIFT.create(count, contrastThreshold=0.008, edgeThreshold=14)


def features(plane: Field, count: int) -> Features:
    """The strongest `count` points (Lowe, 2004) with RootSIFT descriptors (Arandjelovic and Zisserman, 2012)."""
    grey = np.clip(plane + 0.5, 0, 255).astype(np.uint8)
    points, descriptors = _detector(count).detectAndCompute(grey, None)
    if descriptors is None:
        return Features(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    share = descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6)
    return Features(field([point.pt for point in points]), field(np.sqrt(share)))


def matches(first: Field, second: Field) -> NDArray[np.int64]:
    """(M, 2) indices of descriptors that are each other's nearest and clearly nearer than the next."""
    if min(len(first), len(second)) < 4:
        return np.zeros((0, 2), np.int64)
    likeness = first @ second.T
    rows = np.arange(len(first))
    nearest, best_back = likeness.argmax(1), likeness.max(0)
    best = likeness[rows, nearest]
    likeness[rows, nearest] = -1
    closeness = np.sqrt(np.maximum(1 - best, 0)) / np.sqrt(np.maximum(1 - likeness.max(1), 1e-9))
    kept = (closeness < _RATIO) & (best == best_back[nearest])
    return np.stack([rows[kept], nearest[kept]], 1)


def votes(plane: Features, leak: Features) -> list[Vote]:
    """Maps that the matches agree on: similarity, affine, homography; without the absurd ones."""
    pairs = matches(plane.descriptors, leak.descriptors)
    here, there = plane.points[pairs[:, 0]], leak.points[pairs[:, 1]]
    found = []
    for kind, inverse, agreeing in _estimates(here, there):
        matrix = _plausible_inverse(inverse)
        if matrix is not None:
            found.append(Vote(agreeing, matrix, kind))
    return found


def _estimates(here: Field, there: Field) -> Iterator[tuple[str, Matrix, int]]:
    """RANSAC (Fischler and Bolles, 1981) from leak to plane, so that the tolerance is in pixels of the plane."""
    options = {"ransacReprojThreshold": _REPROJECTION_PX, "maxIters": _ITERATIONS, "confidence": _CONFIDENCE}
    similarity: Callable[..., Any] = cv2.estimateAffinePartial2D
    affine: Callable[..., Any] = cv2.estimateAffine2D
    for kind, least, estimate in (("similarity", 5, similarity), ("affine", 7, affine)):
        if len(here) >= least:
            cv2.setRNGSeed(1)
            matrix, inliers = estimate(there, here, method=cv2.RANSAC, **options)
            if matrix is not None:
                yield kind, np.vstack([matrix, [0, 0, 1]]), int(inliers.sum())
    if len(here) >= 9:
        cv2.setRNGSeed(1)
        found, inliers = cv2.findHomography(
            there, here, cv2.USAC_MAGSAC, _REPROJECTION_PX, maxIters=_ITERATIONS, confidence=_CONFIDENCE
        )
        if found is not None:
            yield "homography", np.asarray(found, np.float64), int(inliers.sum())


def _plausible_inverse(inverse: Matrix) -> Matrix | None:
    """The inverse, unless it mirrors, shears by more than three or scales beyond 0.08 to 14."""
    try:
        matrix = np.linalg.inv(inverse)
    except np.linalg.LinAlgError:
        return None
    matrix = matrix / matrix[2, 2]
    if not np.isfinite(matrix).all() or np.linalg.det(matrix[:2, :2]) <= 0:
        return None
    large, small = np.linalg.svd(matrix[:2, :2])[1]
    return matrix if large < 3 * small and small > 0.08 and large < 14 else None
