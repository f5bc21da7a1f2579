"""Follow a leaked video through its original: which frame of it, and where in that frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from geniequeue.watermark.arrays import Bytes, Field, Matrix, field
from geniequeue.watermark.registration.alignment import AFFINE, FINE_SCHEDULE, Aligner, Alignment
from geniequeue.watermark.registration.features import features
from geniequeue.watermark.registration.register import PLANE_FEATURES, Match, Original, register
from geniequeue.watermark.resample import scaling
from geniequeue.watermark.timeline import Sighting, Thumbnails, pieces_of

# Correlation of two frames: surely the same, barely the same; of thumbnails that may show the same.
_SURE, _LEAST, _LEAST_SIGHTING = 0.45, 0.3, 0.4
# Frames that are laid from scratch, sightings of each that are tried, and of these by features, which take a second.
_TRIED, _SIGHTINGS, _BY_FEATURES = 4, 6, 2
# Frames that every map is tested with.
_TESTED = 8
# Another map must be supported by more than the whole frame's share. Where the frames are this much like the thumbnails
# as they are, no other map is looked for: whole frames reached 0.94, with boxes over them 0.82, crops by 4 % 0.66.
_WHOLE_SHARE, _CLEARLY_WHOLE = 0.95, 0.7
_AROUND_S = 0.25
# Decoded stretches of the original that are kept: those of the agreeing frames, which are looked at four times.
_WINDOWS_KEPT = 8
_FOCUS_SIDE = 300
# Most frames that agree on one map; how much better another must fit than the whole frame; how far a frame may move it.
_AGREEING, _PREFERENCE, _DRIFT_PX = _WINDOWS_KEPT, 0.01, 2.0


@dataclass(frozen=True)
class Frame:
    """A moment of a video: seconds from its beginning and (H, W) uint8 luma."""

    time_s: float
    luma: Bytes


# Frames of the original from start to end in seconds, at most 1024 pixels wide or high.
Frames = Callable[[float, float], Iterable[Frame]]
Moments = list[tuple[Frame, float]]


@dataclass(frozen=True)
class Pair:
    """A frame of the leak laid on the original's frame of the same moment; forty are kept, so as bytes."""

    leak: Frame
    original: Frame
    kind: str
    mirrored: bool
    alignment: Alignment

    @property
    def match(self) -> Match:
        """The same with the leak's luma as the residual wants it."""
        return Match(self.kind, _turned(self.leak, self.mirrored), self.mirrored, self.alignment)


class Follower:
    """One original while one leak is read."""

    def __init__(self, thumbnails: Thumbnails, original: Frames) -> None:
        self._thumbnails, self._original = thumbnails, original
        start_s = thumbnails.times_s[0]
        self._shape = next(iter(original(start_s, start_s + 1.0))).luma.shape
        self._around = lru_cache(maxsize=_WINDOWS_KEPT)(self._window)

    def _window(self, time_s: float) -> list[Frame]:
        return list(self._original(time_s - _AROUND_S, time_s + _AROUND_S))

    def laid(self, frames: list[Frame]) -> Match | None:
        """How the leak lies on the original.

        The whole frame where it fits nearly all; else, of some frames' maps, the one under which most are found again.
        """
        some = frames[:: max(1, len(frames) // _TESTED)]
        whole = [(self._support(some, found), found) for found in self._whole(frames)]
        for support, found in whole:
            if support > _CLEARLY_WHOLE * len(some):
                return found
        rated = [(self._support(some, found), found) for found in self._distinct(frames)]
        rated += [(support / _WHOLE_SHARE, found) for support, found in whole]
        support, best = max(rated, key=lambda pair: pair[0])
        return best if support > 0 else None

    def _distinct(self, frames: list[Frame]) -> list[Match]:
        """Maps of some frames, each once."""
        candidates: list[Match] = []
        for frame in frames[:: max(1, len(frames) // _TRIED)]:
            for found in self._candidates(frame):
                if not any(self._alike(found, known) for known in candidates):
                    candidates.append(found)
        return candidates

    def _whole(self, frames: list[Frame]) -> list[Match]:
        """The whole frame, as it is and mirrored.

        In a steady pan over a still scene another moment with another crop is the same picture; then this is the one.
        """
        if not frames:
            return []
        leak = field(frames[0].luma)
        matrix = scaling(leak.shape[1] / self._shape[1], leak.shape[0] / self._shape[0])
        sides = ((False, leak), (True, np.ascontiguousarray(leak[:, ::-1])))
        return [Match("whole frame", picture, mirrored, Alignment(matrix, 1.0)) for mirrored, picture in sides]

    def _alike(self, one: Match, other: Match) -> bool:
        """Whether two maps lay the corners within one per cent of the picture of each other."""
        drift = _corners(one.alignment.matrix, self._shape) - _corners(other.alignment.matrix, self._shape)
        return one.mirrored == other.mirrored and float(np.abs(drift).max()) < max(one.leak.shape) / 100

    def _support(self, frames: list[Frame], laid: Match) -> float:
        """Sum of the thumbnails' correlations with those frames that lie on common pieces of time."""
        times = {id(frame) for frame, _ in self.moments(frames, laid)}
        return sum(value for frame, _, value in self._seen(frames, laid) if id(frame) in times)

    def _candidates(self, frame: Frame) -> Iterator[Match]:
        leak = field(frame.luma)
        for number, sighting in enumerate(self._thumbnails.sightings(leak, self._shape, best=_SIGHTINGS)):
            plane = self._plane_near(sighting.time_s)
            if plane is None:
                continue
            found = _aligned(plane, leak, sighting)
            if found.alignment.correlation <= _SURE and number < _BY_FEATURES:
                found = max((found, _by_features(plane, leak)), key=lambda match: match.alignment.correlation)
            if found.alignment.correlation > _LEAST:
                yield found

    def _plane_near(self, time_s: float) -> Field | None:
        near = min(self._around(time_s), key=lambda frame: abs(frame.time_s - time_s), default=None)
        return None if near is None else field(near.luma)

    def moments(self, frames: list[Frame], laid: Match) -> Moments:
        """Frames of the leak with their times in the original; frames on no common piece of time are left out."""
        seen = list(self._seen(frames, laid))
        if len(frames) < 3:
            return [(frame, time_s) for frame, time_s, _ in seen]
        pieces = pieces_of([frame.time_s for frame, _, _ in seen], [time_s for _, time_s, _ in seen])
        return [(seen[i][0], piece.original_time(seen[i][0].time_s)) for piece in pieces for i in piece.frames]

    def _seen(self, frames: list[Frame], laid: Match) -> Iterator[tuple[Frame, float, float]]:
        """Frame, time of the thumbnail that is most like it under the map, and how much."""
        for frame in frames:
            values = self._thumbnails.under(_oriented(frame, laid), laid.alignment.matrix, self._shape)
            index = int(values.argmax())
            if values[index] > _LEAST_SIGHTING:
                yield frame, self._thumbnails.times_s[index], float(values[index])

    def agreed(self, moments: Moments, laid: Match) -> Match:
        """One map for the whole leak.

        A pan can be taken for a shift of the crop, frame by frame; over many frames only one map fits. A leak that
        shows the whole frame is so common that it is preferred unless it fits worse.
        """
        some = moments[:: -(-len(moments) // _AGREEING) or 1]
        matrix = laid.alignment.matrix
        for _ in range(2):
            found = [self._focused(_oriented(f, laid), t, matrix, iterations=4) for f, t in some]
            good = [one[0].matrix for one in found if one is not None and one[0].correlation > _LEAST / 2]
            matrix = _median(good, self._shape) if good else matrix
        whole = scaling(laid.leak.shape[1] / self._shape[1], laid.leak.shape[0] / self._shape[0])
        fits = [self._fit(some, laid, candidate) for candidate in (whole, matrix)]
        chosen = whole if fits[0] > fits[1] - _PREFERENCE else matrix
        return Match(laid.kind, laid.leak, laid.mirrored, Alignment(chosen, max(fits)))

    def _fit(self, some: Moments, laid: Match, matrix: Matrix) -> float:
        found = [self._focused(_oriented(frame, laid), time_s, matrix, iterations=0) for frame, time_s in some]
        return float(np.mean([one[0].correlation if one else 0.0 for one in found])) if found else 0.0

    def _focused(
        self, leak: Field, time_s: float, matrix: Matrix, *, iterations: int
    ) -> tuple[Alignment, Frame] | None:
        """The original's frame around this time that agrees best under the map, refined by some iterations."""
        best: tuple[Alignment, Frame] | None = None
        aligner: Aligner | None = None
        for candidate in self._around(time_s):
            plane = field(candidate.luma)
            aligner = Aligner(plane, leak) if aligner is None else aligner.on(plane)
            aligned = aligner.run(matrix, _FOCUS_SIDE, iterations, AFFINE)
            if best is None or aligned.correlation > best[0].correlation:
                best = aligned, candidate
        return best

    def matched(self, frame: Frame, time_s: float, laid: Match) -> Pair | None:
        """The original's frame of the same moment under the common map, refined by no more than two pixels."""
        leak = _oriented(frame, laid)
        best = self._focused(leak, time_s, laid.alignment.matrix, iterations=0)
        if best is None:
            return None
        aligner = Aligner(field(best[1].luma), leak)
        alignment = aligner.run(laid.alignment.matrix, max(self._shape), 0, AFFINE)
        finer = aligner.run(laid.alignment.matrix, max(self._shape), 3, AFFINE)
        drift = np.abs(_corners(finer.matrix, self._shape) - _corners(alignment.matrix, self._shape)).max()
        if finer.correlation > alignment.correlation and drift < _DRIFT_PX:
            alignment = finer
        if alignment.correlation < _LEAST / 2:
            return None
        return Pair(frame, best[1], laid.kind, laid.mirrored, alignment)


def _oriented(frame: Frame, laid: Match) -> Field:
    return _turned(frame, laid.mirrored)


def _turned(frame: Frame, mirrored: bool) -> Field:
    leak = field(frame.luma)
    return np.ascontiguousarray(leak[:, ::-1]) if mirrored else leak


def _corners(matrix: Matrix, shape: tuple[int, ...]) -> Matrix:
    """(4, 2): where the plane's corners lie in the leak."""
    corners = np.array([[0, 0, 1], [shape[1], 0, 1], [shape[1], shape[0], 1], [0, shape[0], 1.0]])
    mapped = corners @ matrix.T
    return np.asarray(mapped[:, :2] / mapped[:, 2:], np.float64)


def _median(matrices: list[Matrix], shape: tuple[int, ...]) -> Matrix:
    """The map whose corners are the medians of the corners."""
    target = np.median([_corners(matrix, shape) for matrix in matrices], 0)
    return np.asarray(cv2.getPerspectiveTransform(field(_corners(np.eye(3), shape)), field(target)), np.float64)


def _aligned(plane: Field, leak: Field, sighting: Sighting) -> Match:
    oriented = np.ascontiguousarray(leak[:, ::-1]) if sighting.mirrored else leak
    alignment = Aligner(plane, oriented).full(sighting.matrix, FINE_SCHEDULE[:-1])
    return Match("thumbnails", oriented, sighting.mirrored, alignment)


def _by_features(plane: Field, leak: Field) -> Match:
    return register(Original(plane, features(plane, PLANE_FEATURES), 1.0), leak, thorough=False)
