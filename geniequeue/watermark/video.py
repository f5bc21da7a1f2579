"""The mark of a video: what is laid over its frames, and how a leak of it is read.

No frame passes through Python when a copy is made: ffmpeg lays grey pictures over the luma, `GROUPS` of them in turn,
each for `GROUP_S` seconds, all with the same code word. A recompression leaves the mark in I-frames and the frame
after; those are read one by one, each against the original's frame of the same moment, and their chips add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from geniequeue.watermark.arrays import Bytes, Field, field
from geniequeue.watermark.derivation import CHIPS, Codes
from geniequeue.watermark.detector import frame_chips
from geniequeue.watermark.embedding import LEAST_SIDE_PX, CannotCarry
from geniequeue.watermark.following import Follower, Frame, Frames, Pair
from geniequeue.watermark.pattern import BLIND_SHIFT_BITS, carrier, flat_pattern
from geniequeue.watermark.plane import LONGEST_SIDE_PX
from geniequeue.watermark.reading import Registration
from geniequeue.watermark.resample import cubic_rows
from geniequeue.watermark.residual import residual_of
from geniequeue.watermark.timeline import PER_SECOND, Thumbnails

__all__ = [
    "Frame",
    "Frames",
    "LaidVideo",
    "Thumbnails",
    "VideoReading",
    "chips_of_video",
    "group_of",
    "lay_video",
    "mark_pictures",
    "plane_size",
    "read_video",
]

# One picture becomes the next one within the last two seconds of its time.
GROUPS, GROUP_S, FADE_S = 4, 4.0, 2.0
AMPLITUDE = 1.4
MOST_FRAMES = 40
LEAST_MOMENTS = 4
"""Moments of a leak that must be found again in the original, or it is not taken for a part of it; see `lay_video`."""
_APART_S = 1 / PER_SECOND


@dataclass(frozen=True)
class LaidVideo:
    """A leaked video laid on an original, without any key.

    registration: of the best frame. pairs: the frames that could be laid; none where the registration was not accepted.
    """

    registration: Registration
    pairs: tuple[Pair, ...] = ()

    @property
    def seen_s(self) -> tuple[tuple[float, float], ...]:
        """For each frame laid its time in the leak and in the original."""
        return tuple((pair.leak.time_s, pair.original.time_s) for pair in self.pairs)


@dataclass(frozen=True)
class VideoReading:
    """(4096,) chips of all frames that could be read, how the leak lies, and when those frames were shown."""

    chips: Field
    registration: Registration
    seen_s: tuple[tuple[float, float], ...]


def group_of(time_s: float) -> int:
    """Which of the mark pictures lies over this moment of the original, or more of it than of the next one."""
    return int((max(0.0, time_s) + FADE_S / 2) / GROUP_S) % GROUPS


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
        thumbnails, original, leak: as of `lay_video`.
        key: the system's secret.
        asset: the original's file id.
    """
    laid = lay_video(thumbnails, original, leak)
    [chips] = chips_of_video(laid, [key], asset)
    return VideoReading(chips, laid.registration, laid.seen_s)


def lay_video(thumbnails: Thumbnails, original: Frames, leak: Iterable[Frame]) -> LaidVideo:
    """Register a leak to one original, once for any number of keys.

    It is accepted from `LEAST_MOMENTS` moments on. Frames nearer to each other than the thumbnails show the same
    picture, and count as one. Any two moments lie on a line in time; a third one lies near it by chance in one of
    thirty cases of a leak beside an original of twenty seconds, and films share a title or a logo for a second or two.
    A leak with a single key frame is looked at in five moments, so one of them may be lost.

    Args:
        thumbnails: of the original, as stored.
        original: frames of the original between two times; asked for some tenths of a second at a time.
        leak: its I-frames and the frame after each, some forty in all, at most 1280 pixels wide or high.
    """
    follower = Follower(thumbnails, original)
    frames = list(leak)
    laid = follower.laid(frames)
    if laid is None:
        return LaidVideo(_refused("none"))
    moments = follower.moments(frames, laid)
    laid = follower.agreed(moments, laid)
    found = [follower.matched(frame, time_s, laid) for frame, time_s in moments]
    pairs = tuple(pair for pair in found if pair is not None)
    if moments_in([pair.leak.time_s for pair in pairs]) < LEAST_MOMENTS:
        return LaidVideo(_refused(laid.kind))
    return LaidVideo(_registration(pairs), pairs)


def moments_in(times_s: Iterable[float]) -> int:
    """Return how many of these times are apart from each other by what two thumbnails are, or more."""
    count, last_s = 0, -np.inf
    for time_s in sorted(times_s):
        if time_s - last_s >= _APART_S:
            count, last_s = count + 1, time_s
    return count


def chips_of_video(laid: LaidVideo, keys: Sequence[bytes], asset: str) -> list[Field]:
    """For each key (4096,) float32 soft chips, the sum over the frames; all 0 where the registration was not accepted.

    A frame is subtracted once for all keys, and its residual dropped before the next: forty of them are some 200 MB.
    """
    sums = [np.zeros(CHIPS, np.float32) for _ in keys]
    for pair in laid.pairs:
        plane, group = field(pair.original.luma), group_of(pair.original.time_s)
        residual = residual_of(plane, pair.match)
        for number, key in enumerate(keys):
            sums[number] += frame_chips(plane, residual, carrier(key, f"{asset}#{group}", plane.shape))
    return sums


def _registration(pairs: Sequence[Pair]) -> Registration:
    """Registration of the frame that agrees best."""
    best = max(pairs, key=lambda pair: pair.alignment.correlation)
    match, overlap = best.match, float(residual_of(field(best.original.luma), best.match).inside.mean())
    return Registration(True, match.kind, match.alignment.matrix, overlap, match.alignment.correlation, match.mirrored)


def _refused(kind: str) -> Registration:
    return Registration(False, kind, np.eye(3), 0.0, 0.0, False)
