"""When in the original a frame of a leak was shown: thumbnails by correlation, then straight pieces of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from geniequeue.watermark.arrays import Bytes, Field, Matrix, field, locally_normalised
from geniequeue.watermark.registration.alignment import covered, warped
from geniequeue.watermark.resample import inverse, resized, scaling, translation

SIDE_PX = 64
PER_SECOND = 5
_LOCAL_PX = 3.0
_BLOCK = 2048
# Shares of the original's width and height that a cropped leak may show, and where its window may lie.
_WINDOWS = (1.0, 0.9, 0.8, 0.68, 0.55)
_STEPS = (0.0, 0.5, 1.0)
# A piece of an edit: how much faster or slower, how exactly its frames lie on a line, how many there must be.
_SPEEDS = (0.8, 1.25)
_TOLERANCE_S = 0.35
_LEAST_FRAMES, _MOST_PIECES = 3, 6


@dataclass(frozen=True)
class Sighting:
    """A frame of the leak at a time of the original, laid there by a matrix (plane of the original -> leak)."""

    time_s: float
    correlation: float
    matrix: Matrix
    mirrored: bool


def thumbnail(luma: Bytes) -> Bytes:
    """(h, w) uint8 of at most 64 pixels; five a second are kept of an original."""
    factor = SIDE_PX / max(luma.shape)
    size = max(1, round(luma.shape[1] * factor)), max(1, round(luma.shape[0] * factor))
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8)


class Thumbnails:
    """An original's thumbnails, normalised, and the search in them."""

    def __init__(self, times_s: Sequence[float], pictures: Bytes) -> None:
        """Take n times and (n, h, w) uint8."""
        self.times_s, self.shape = list(times_s), pictures.shape[1:]
        self._rows = np.empty((len(pictures), int(np.prod(self.shape))), np.float16)
        for index, picture in enumerate(pictures):
            self._rows[index] = locally_normalised(field(picture), _LOCAL_PX).ravel()

    def correlations(self, picture: Field, inside: Field) -> Field:
        """(n,) correlation of each thumbnail with a picture of its shape where `inside` is 1."""
        weight, values = inside.ravel(), (locally_normalised(picture, _LOCAL_PX) * inside).ravel()
        length = float(np.linalg.norm(values)) + 1e-6
        result = np.empty(len(self._rows), np.float32)
        for start in range(0, len(self._rows), _BLOCK):
            rows = self._rows[start : start + _BLOCK].astype(np.float32)
            own = np.sqrt((rows * rows) @ weight + 1e-6)
            result[start : start + _BLOCK] = rows @ values / own / length
        return result

    def under(self, leak: Field, matrix: Matrix, plane_shape: tuple[int, ...]) -> Field:
        """Correlations of a leak under a known map from the plane."""
        height, width = self.shape
        to_small = scaling(width / plane_shape[1], height / plane_shape[0])
        to_leak = matrix @ inverse(to_small)
        shrink = min(1.0, 1.0 / float(np.sqrt(abs(np.linalg.det(to_leak[:2, :2])))))
        small = resized(leak, leak.shape[1] * shrink, leak.shape[0] * shrink)
        to_leak = scaling(small.shape[1] / leak.shape[1], small.shape[0] / leak.shape[0]) @ to_leak
        inside = covered(small.shape, to_leak, (width, height)).astype(np.float32)
        mean = float(small.mean())
        laid = np.where(inside > 0, warped(small, to_leak, (width, height)), mean)
        return self.correlations(field(laid), field(inside))

    def sightings(self, leak: Field, plane_shape: tuple[int, ...], best: int = 10) -> list[Sighting]:
        """The likeliest times and windows of a leak whose geometry is unknown."""
        found = []
        for mirrored, picture in ((False, leak), (True, np.ascontiguousarray(leak[:, ::-1]))):
            for matrix in _windows(picture.shape, plane_shape):
                values = self.under(picture, matrix, plane_shape)
                for index in _apart(values, 2):
                    found.append(Sighting(self.times_s[index], float(values[index]), matrix, mirrored))
        found.sort(key=lambda sighting: -sighting.correlation)
        return found[:best]


def _windows(leak_shape: tuple[int, ...], plane_shape: tuple[int, ...]) -> Iterator[Matrix]:
    """Maps plane -> leak for windows of the original that the whole leak may show."""
    for share in _WINDOWS:
        steps = _STEPS if share < 1 else (0.5,)
        for right in steps:
            for down in steps:
                width, height = plane_shape[1] * share, plane_shape[0] * share
                left, top = (plane_shape[1] - width) * right, (plane_shape[0] - height) * down
                yield scaling(leak_shape[1] / width, leak_shape[0] / height) @ translation(-left, -top)


def _apart(values: Field, count: int, distance: int = PER_SECOND) -> Iterator[int]:
    """Indices of the highest values that are no neighbours."""
    left = values.copy()
    for _ in range(count):
        index = int(left.argmax())
        yield index
        left[max(0, index - distance) : index + distance + 1] = -np.inf


@dataclass(frozen=True)
class Piece:
    """A stretch of the leak: time in the original = speed x time in the leak + start."""

    speed: float
    start_s: float
    frames: tuple[int, ...]

    def original_time(self, leak_time_s: float) -> float:
        """Seconds from the original's beginning."""
        return self.speed * leak_time_s + self.start_s


def pieces_of(leak_times_s: Sequence[float], original_times_s: Sequence[float]) -> list[Piece]:
    """Lines that most frames lie on, the longest first: an edit of several pieces gives several."""
    left, pieces = set(range(len(leak_times_s))), list[Piece]()
    there, here = np.array(leak_times_s), np.array(original_times_s)
    while len(pieces) < _MOST_PIECES:
        frames = _longest_line(there, here, sorted(left))
        if len(frames) < _LEAST_FRAMES:
            break
        speed, start_s = (float(value) for value in np.polyfit(there[frames], here[frames], 1))
        pieces.append(Piece(speed, start_s, tuple(frames)))
        left -= set(frames)
    return pieces


def _longest_line(there: Matrix, here: Matrix, left: list[int]) -> list[int]:
    """Every pair of frames is tried; of equally many frames those nearest to the line win."""
    best: tuple[int, float] = (0, 0.0)
    chosen: list[int] = []
    index = np.array(left, int)
    for first in left:
        for second in left:
            if there[second] - there[first] < 0.5:
                continue
            speed = (here[second] - here[first]) / (there[second] - there[first])
            if not _SPEEDS[0] <= speed <= _SPEEDS[1]:
                continue
            miss = np.abs(here[index] - here[first] - speed * (there[index] - there[first]))
            near = miss < _TOLERANCE_S
            rank = int(near.sum()), -float(miss[near].sum())
            if rank > best:
                best, chosen = rank, [int(i) for i in index[near]]
    return chosen
