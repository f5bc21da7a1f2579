"""The mark of a video: what is laid over its frames, and how a leak of it is read.

No frame passes through Python when a copy is made: ffmpeg lays grey pictures over the luma, `GROUPS` of them in turn,
each for `GROUP_S` seconds, all with the same code word. A recompression leaves the mark in I-frames and the frame
after; those are read one by one, each against the original's frame of the same moment, and their chips add up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from geniequeue.watermark.arrays import Bytes, Field, Matrix, field
from geniequeue.watermark.derivation import CHIPS, Codes
from geniequeue.watermark.detector import frame_chips
from geniequeue.watermark.embedding import LEAST_SIDE_PX, CannotCarry
from geniequeue.watermark.pattern import BLIND_SHIFT_BITS, carrier, flat_pattern
from geniequeue.watermark.plane import LONGEST_SIDE_PX
from geniequeue.watermark.reading import LEAST_CORRELATION, Registration, reference
from geniequeue.watermark.registration.alignment import AFFINE, Aligner, Alignment
from geniequeue.watermark.registration.register import Match, register
from geniequeue.watermark.resample import cubic_rows, scaling
from geniequeue.watermark.residual import residual_of
from geniequeue.watermark.timeline import Sighting, Thumbnails, pieces_of

GROUPS, GROUP_S = 4, 4.0
AMPLITUDE = 1.4
MOST_FRAMES = 40
_SURE = 0.45
_LEAST_SIGHTING = 0.4
_AROUND_S = 0.25
_FOCUS_SIDE = 300
# Frames that agree on one map; how much better another map must fit than the whole frame; how far a frame may move it.
_AGREEING, _PREFERENCE, _DRIFT_PX = 6, 0.01, 2.0


@dataclass(frozen=True)
class Frame:
    """A moment of a video: seconds from its beginning and (H, W) uint8 luma."""

    time_s: float
    luma: Bytes


# Frames of the original from start to end in seconds, at most 1024 pixels wide or high.
Frames = Callable[[float, float], Iterable[Frame]]


@dataclass(frozen=True)
class VideoReading:
    """(4096,) chips of all frames that could be read, the registration of the best of them, and how many there were.

    seen_s: for each frame read its time in the leak and in the original.
    """

    chips: Field
    registration: Registration
    seen_s: tuple[tuple[float, float], ...]


def group_of(time_s: float) -> int:
    """Which of the mark pictures lies over this moment of the original."""
    return int(max(0.0, time_s) / GROUP_S) % GROUPS


def plane_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the plane of a video of this width and height."""
    factor = min(1.0, LONGEST_SIDE_PX / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def mark_pictures(
    size: tuple[int, int], key: bytes, asset: str, trace_id: int, *, strength: float = 1.0
) -> Iterator[Bytes]:
    """Yield `GROUPS` pictures (height, width) uint8 of `size` (width, height): 128 changes nothing, 129 adds one.

    Rounding is dithered, as the amplitude is about one step.

    Raises:
        CannotCarry: the video is too small.
    """
    if min(size) < LEAST_SIDE_PX:
        raise CannotCarry(f"expected at least {LEAST_SIDE_PX} pixels on the shorter side, got {size[0]}x{size[1]}")
    width, height = plane_size(size)
    chips = Codes(key, asset).chips(trace_id)
    dither = np.random.default_rng(0)
    for group in range(GROUPS):
        pattern = flat_pattern((height, width), key, f"{asset}#{group}", chips, trace_id >> BLIND_SHIFT_BITS)
        wide = (cubic_rows(size[0], width) @ (pattern * AMPLITUDE * strength).T).T
        light = cubic_rows(size[1], height) @ wide
        yield np.clip(np.floor(128 + light + dither.random(light.shape)), 0, 255).astype(np.uint8)


def read_video(thumbnails: Thumbnails, original: Frames, leak: Iterable[Frame], key: bytes, asset: str) -> VideoReading:
    """Read a leak against one original.

    Args:
        thumbnails: of the original, as stored.
        original: frames of the original between two times; asked for some tenths of a second at a time.
        leak: its I-frames and the frame after each, some forty in all, at most 1280 pixels wide or high.
        key: the system's secret.
        asset: the original's file id.
    """
    reader = _Reader(thumbnails, original, key, asset)
    frames = list(leak)
    laid = reader.laid(frames)
    if laid is None:
        return _nothing()
    moments = reader.moments(frames, laid)
    laid = reader.agreed(moments, laid)
    read = [(frame.time_s, reader.read(frame, time_s, laid)) for frame, time_s in moments]
    good = [(time_s, found) for time_s, found in read if found is not None]
    if not good:
        return _nothing()
    chips = field(np.sum([found.chips for _, found in good], 0))
    best = max((found for _, found in good), key=lambda found: found.match.alignment.correlation)
    return VideoReading(chips, best.registration, tuple((time_s, found.time_s) for time_s, found in good))


def _nothing() -> VideoReading:
    return VideoReading(np.zeros(CHIPS, np.float32), Registration(False, "none", np.eye(3), 0.0, 0.0, False), ())


@dataclass(frozen=True)
class _Read:
    chips: Field
    time_s: float
    match: Match
    overlap: float

    @property
    def registration(self) -> Registration:
        aligned = self.match.alignment
        return Registration(
            True, self.match.kind, aligned.matrix, self.overlap, aligned.correlation, self.match.mirrored
        )


class _Reader:
    """One original while one leak is read."""

    def __init__(self, thumbnails: Thumbnails, original: Frames, key: bytes, asset: str) -> None:
        self._thumbnails, self._original, self._key, self._asset = thumbnails, original, key, asset
        self._plane_shape: tuple[int, ...] | None = None

    def laid(self, frames: list[Frame]) -> Match | None:
        """How the leak lies on the original, from the first frame where features or windows agree well."""
        best: Match | None = None
        for frame in frames[:: max(1, len(frames) // 8)]:
            found = self._laid(frame)
            if found and (best is None or found.alignment.correlation > best.alignment.correlation):
                best = found
            if best and best.alignment.correlation > _SURE:
                return best
        return best if best and best.alignment.correlation > 2 * LEAST_CORRELATION else None

    def _laid(self, frame: Frame) -> Match | None:
        leak = field(frame.luma)
        shape = self._shape()
        best: Match | None = None
        for sighting in self._thumbnails.sightings(leak, shape, best=6):
            plane = self._plane_near(sighting.time_s)
            if plane is None:
                continue
            found = _aligned(plane, leak, sighting)
            if found.alignment.correlation <= _SURE:
                found = max((found, _by_features(plane, leak)), key=lambda match: match.alignment.correlation)
            if best is None or found.alignment.correlation > best.alignment.correlation:
                best = found
            if best.alignment.correlation > _SURE:
                break
        return best

    def _shape(self) -> tuple[int, ...]:
        if self._plane_shape is None:
            start_s = self._thumbnails.times_s[0]
            self._plane_shape = next(iter(self._original(start_s, start_s + 1.0))).luma.shape
        return self._plane_shape

    def _plane_near(self, time_s: float) -> Field | None:
        near = min(
            self._original(time_s - _AROUND_S, time_s + _AROUND_S), key=lambda f: abs(f.time_s - time_s), default=None
        )
        return None if near is None else field(near.luma)

    def moments(self, frames: list[Frame], laid: Match) -> list[tuple[Frame, float]]:
        """Frames of the leak with their times in the original; frames on no common piece of time are left out."""
        shape = self._shape()
        seen: list[tuple[Frame, float]] = []
        for frame in frames:
            leak = _oriented(frame, laid)
            values = self._thumbnails.under(leak, laid.alignment.matrix, shape)
            index = int(values.argmax())
            if values[index] > _LEAST_SIGHTING:
                seen.append((frame, self._thumbnails.times_s[index]))
        if len(seen) < 3:
            return seen
        pieces = pieces_of([frame.time_s for frame, _ in seen], [time_s for _, time_s in seen])
        return [(seen[i][0], piece.original_time(seen[i][0].time_s)) for piece in pieces for i in piece.frames]

    def agreed(self, moments: list[tuple[Frame, float]], laid: Match) -> Match:
        """One map for the whole leak.

        A pan can be taken for a shift of the crop, frame by frame; over many frames only one map fits. A leak that
        shows the whole frame is so common that it is preferred unless it fits worse.
        """
        some = moments[:: max(1, len(moments) // _AGREEING)]
        shape, matrix = self._shape(), laid.alignment.matrix
        for _ in range(2):
            found = [self._focused(_oriented(f, laid), t, matrix, iterations=4) for f, t in some]
            good = [one[0].matrix for one in found if one is not None and one[0].correlation > LEAST_CORRELATION]
            matrix = _median(good, shape) if good else matrix
        leak_shape = laid.leak.shape
        whole = scaling(leak_shape[1] / shape[1], leak_shape[0] / shape[0])
        fits = [self._fit(some, laid, candidate) for candidate in (whole, matrix)]
        chosen = whole if fits[0] > fits[1] - _PREFERENCE else matrix
        return Match(laid.kind, laid.leak, laid.mirrored, Alignment(chosen, max(fits)))

    def _fit(self, some: list[tuple[Frame, float]], laid: Match, matrix: Matrix) -> float:
        found = [self._focused(_oriented(frame, laid), time_s, matrix, iterations=0) for frame, time_s in some]
        return float(np.mean([one[0].correlation if one else 0.0 for one in found])) if found else 0.0

    def _focused(
        self, leak: Field, time_s: float, matrix: Matrix, *, iterations: int
    ) -> tuple[Alignment, Frame] | None:
        """The original's frame around this time that agrees best under the map, refined by some iterations."""
        best: tuple[Alignment, Frame] | None = None
        for candidate in self._original(time_s - _AROUND_S, time_s + _AROUND_S):
            aligned = Aligner(field(candidate.luma), leak).run(matrix, _FOCUS_SIDE, iterations, AFFINE)
            if best is None or aligned.correlation > best[0].correlation:
                best = aligned, candidate
        return best

    def read(self, frame: Frame, time_s: float, laid: Match) -> _Read | None:
        """Chips of one frame against the original's frame of the same moment, found by alignment."""
        leak = _oriented(frame, laid)
        best = self._focused(leak, time_s, laid.alignment.matrix, iterations=0)
        if best is None or best[0].correlation < LEAST_CORRELATION:
            return None
        plane = field(best[1].luma)
        alignment = Aligner(plane, leak).run(best[0].matrix, max(plane.shape), 0, AFFINE)
        finer = Aligner(plane, leak).run(best[0].matrix, max(plane.shape), 3, AFFINE)
        if (
            finer.correlation > alignment.correlation
            and _drift(finer.matrix, alignment.matrix, plane.shape) < _DRIFT_PX
        ):
            alignment = finer
        if alignment.correlation < LEAST_CORRELATION:
            return None
        match = Match(laid.kind, leak, laid.mirrored, alignment)
        residual = residual_of(plane, match)
        carried = carrier(self._key, f"{self._asset}#{group_of(best[1].time_s)}", plane.shape)
        return _Read(frame_chips(plane, residual, carried), best[1].time_s, match, float(residual.inside.mean()))


def _oriented(frame: Frame, laid: Match) -> Field:
    leak = field(frame.luma)
    return np.ascontiguousarray(leak[:, ::-1]) if laid.mirrored else leak


def _corners(matrix: Matrix, shape: tuple[int, ...]) -> Matrix:
    """(4, 2): where the plane's corners lie in the leak."""
    corners = np.array([[0, 0, 1], [shape[1], 0, 1], [shape[1], shape[0], 1], [0, shape[0], 1.0]])
    mapped = corners @ matrix.T
    return np.asarray(mapped[:, :2] / mapped[:, 2:], np.float64)


def _drift(first: Matrix, second: Matrix, shape: tuple[int, ...]) -> float:
    """How far apart two maps lay the corners, in pixels of the leak."""
    return float(np.abs(_corners(first, shape) - _corners(second, shape)).max())


def _median(matrices: list[Matrix], shape: tuple[int, ...]) -> Matrix:
    """The map whose corners are the medians of the corners."""
    target = np.median([_corners(matrix, shape) for matrix in matrices], 0)
    source = _corners(np.eye(3), shape)
    return np.asarray(cv2.getPerspectiveTransform(field(source), field(target)), np.float64)


def _aligned(plane: Field, leak: Field, sighting: Sighting) -> Match:
    oriented = np.ascontiguousarray(leak[:, ::-1]) if sighting.mirrored else leak
    return Match("thumbnails", oriented, sighting.mirrored, Aligner(plane, oriented).full(sighting.matrix))


def _by_features(plane: Field, leak: Field) -> Match:
    kept = reference(np.clip(plane, 0, 255).astype(np.uint8), (plane.shape[1], plane.shape[0]))
    return register(kept, leak, thorough=False)
