"""Frames of a video as luma, with their times: those near a moment, or a few that tell most.

Times are seconds from the beginning of the file's first track, as ffmpeg's filters count them.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from geniequeue.media import ffmpeg
from geniequeue.media.clip import Clip
from geniequeue.media.pixels import Bytes
from geniequeue.watermark.video import MOST_FRAMES, Frame

LONGEST_PX = 1280
_RAW = "frames.gray"
_SPREAD = 4
_CHUNK_S, _KEPT_CHUNKS = 0.6, 3
"""Frames are decoded so many seconds at a time, and the last ones kept: neighbours are asked for again and again."""


def starts_s(clip: Clip) -> float:
    """Return when the file begins, by the times of its tracks."""
    return min(track.start_s for track in (clip.video, clip.sound) if track is not None)


def times_of(clip: Clip) -> list[float]:
    """Return when each frame is shown."""
    start_s = starts_s(clip)
    return [float(pts * clip.video.tick) - start_s for pts in clip.times]


def around(clip: Clip, size: tuple[int, int], folder: Path) -> Callable[[float, float], Iterator[Frame]]:
    """Return what reads the frames between two times, at a size.

    Args:
        folder: for the pixels, for a moment.
    """
    times = times_of(clip)

    @lru_cache(_KEPT_CHUNKS)
    def chunk(number: int) -> list[Frame]:
        first, last = (bisect.bisect_left(times, (number + n) * _CHUNK_S) for n in (0, 1))
        if first >= last:
            return []
        gap_s = times[first] - times[first - 1] if first else 0.0
        seek = ["-ss", f"{times[first] - gap_s / 4:.5f}"] if first else []
        pictures = _pictures(clip, size, folder, (seek, ""), last - first)
        return [Frame(times[first + n], picture) for n, picture in enumerate(pictures)]

    def between(start_s: float, end_s: float) -> Iterator[Frame]:
        for number in range(max(0, int(start_s / _CHUNK_S)), int(max(0.0, end_s) / _CHUNK_S) + 1):
            yield from (frame for frame in chunk(number) if start_s <= frame.time_s <= end_s)

    return between


def telling(clip: Clip, folder: Path, most: int = MOST_FRAMES, size: tuple[int, int] | None = None) -> list[Frame]:
    """Return the key frames and the frame after each, thinned to `most`, and some in between where these are few."""
    times, size = times_of(clip), size or fitted(clip, LONGEST_PX)
    keys = [bisect.bisect_left(clip.times, clip.video.pts[place]) for place in clip.video.keys]
    spread = np.linspace(len(times) * 0.1, len(times) * 0.9, _SPREAD).astype(int)
    chosen = sorted({n for n in (*keys, *(key + 1 for key in keys), *map(int, spread)) if n < len(times)})
    return _chosen(clip, chosen[:: -(-len(chosen) // most)], size, folder)


def spread(clip: Clip, count: int, folder: Path) -> list[Bytes]:
    """Return so many frames that lie evenly over the video."""
    numbers = np.linspace(0, clip.frames - 1, min(count, clip.frames)).astype(int)
    return [frame.luma for frame in _chosen(clip, sorted(set(map(int, numbers))), fitted(clip, LONGEST_PX), folder)]


def keys(clip: Clip, count: int, folder: Path) -> list[Bytes]:
    """Return at most so many key frames that lie evenly over the video; nothing else is decoded for them."""
    places = np.linspace(0, len(clip.video.keys) - 1, min(count, len(clip.video.keys))).astype(int)
    select = _selected(sorted(set(map(int, places))))
    return _pictures(clip, fitted(clip, LONGEST_PX), folder, (("-skip_frame", "nokey"), select), len(places))


def fitted(clip: Clip, longest_px: int) -> tuple[int, int]:
    """Return the size of its frames with square pixels, at most so many on the longest side."""
    width, height = clip.look.shown
    share = min(1.0, longest_px / max(width, height))
    return max(1, round(width * share)), max(1, round(height * share))


def _chosen(clip: Clip, numbers: Sequence[int], size: tuple[int, int], folder: Path) -> list[Frame]:
    times = times_of(clip)
    pictures = _pictures(clip, size, folder, ((), _selected(numbers)), len(numbers))
    return [Frame(times[number], picture) for number, picture in zip(numbers, pictures, strict=False)]


def _selected(numbers: Sequence[int]) -> str:
    return "select=" + "+".join(rf"eq(n\,{number})" for number in numbers) + ","


def _pictures(
    clip: Clip, size: tuple[int, int], folder: Path, choice: tuple[Sequence[str], str], count: int
) -> list[Bytes]:
    """Decode frames; `choice` are the options of the input and the filters that say which."""
    path, (options, select) = folder / _RAW, choice
    chain = f"{select}scale={size[0]}:{size[1]}:flags=area,format=gray"
    raw = ["-fps_mode", "passthrough", "-frames:v", str(count), "-f", "rawvideo", f"file:{path}"]
    try:
        ffmpeg.run([*clip.source.arguments(*options), "-map", "0:V:0", "-vf", chain, *raw], cwd=folder)
        data = np.fromfile(path, np.uint8)
    finally:
        path.unlink(missing_ok=True)
    whole = len(data) // (size[0] * size[1])
    pictures = data[: whole * size[0] * size[1]].reshape(whole, size[1], size[0])
    # A view of one frame that is kept would keep all that were decoded with it.
    return [picture.copy() for picture in pictures]
