"""The mark of a video: what is laid over its frames, and how a leak of it is read.

No frame passes through Python when a copy is made: ffmpeg lays grey pictures over the luma, `GROUPS` of them in turn,
each for `GROUP_S` seconds, all with the same code word. A recompression leaves the mark in I-frames and the frame
after; those are read one by one, each against the original's frame of the same moment, and their chips add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from geniequeue.watermark.timeline import Thumbnails

__all__ = ["Frame", "Frames", "Thumbnails", "VideoReading", "group_of", "mark_pictures", "plane_size", "read_video"]

# One picture becomes the next one within the last two seconds of its time.
GROUPS, GROUP_S, FADE_S = 4, 4.0, 2.0
AMPLITUDE = 1.4
MOST_FRAMES = 40


@dataclass(frozen=True)
class VideoReading:
    """(4096,) chips of all frames that could be read, the registration of the best of them, and how many there were.

    seen_s: for each frame read its time in the leak and in the original.
    """

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
        thumbnails: of the original, as stored.
        original: frames of the original between two times; asked for some tenths of a second at a time.
        leak: its I-frames and the frame after each, some forty in all, at most 1280 pixels wide or high.
        key: the system's secret.
        asset: the original's file id.
    """
    follower = Follower(thumbnails, original)
    frames = list(leak)
    laid = follower.laid(frames)
    if laid is None:
        return VideoReading(np.zeros(CHIPS, np.float32), Registration(False, "none", np.eye(3), 0.0, 0.0, False), ())
    moments = follower.moments(frames, laid)
    laid = follower.agreed(moments, laid)
    found = [follower.matched(frame, time_s, laid) for frame, time_s in moments]
    read = [_read(pair, key, asset) for pair in found if pair is not None]
    if not read:
        return VideoReading(np.zeros(CHIPS, np.float32), Registration(False, laid.kind, np.eye(3), 0.0, 0.0, False), ())
    best = max((registration for _, registration, _ in read), key=lambda registration: registration.correlation)
    return VideoReading(field(np.sum([chips for chips, _, _ in read], 0)), best, tuple(seen for _, _, seen in read))


def _read(pair: Pair, key: bytes, asset: str) -> tuple[Field, Registration, tuple[float, float]]:
    """Chips of one frame against the original's frame of the same moment."""
    match, plane = pair.match, field(pair.original.luma)
    residual = residual_of(plane, match)
    carried = carrier(key, f"{asset}#{group_of(pair.original.time_s)}", plane.shape)
    aligned, overlap = match.alignment, float(residual.inside.mean())
    registration = Registration(True, match.kind, aligned.matrix, overlap, aligned.correlation, match.mirrored)
    return frame_chips(plane, residual, carried), registration, (pair.leak_s, pair.original.time_s)
