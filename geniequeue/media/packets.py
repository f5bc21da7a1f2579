"""Every packet of a file as ffmpeg's demuxer sees it: times, sizes and checksums, and no text of a sender.

The form is that of ffmpeg's `framecrc` muxer: header lines such as `#tb 0: 1/15360`, then `stream, dts, pts, duration,
size, checksum[, F=flags][, side data]` for each packet.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from geniequeue.errors import PolicyError
from geniequeue.sandbox.inside import Limits

_KEY = 1
_DISCARD = 4
_NO_TIME = -(1 << 63)
# Packets at the end of a track that tell how long its last frame is likely to be shown.
_RECENT = 64
_SAME_DURATION_S = 0.1


class Unreadable(Exception):
    """A line that the muxer would not write."""


@dataclass
class Track:
    """One stream.

    Attributes:
        kind: video, audio, …
        tick: unit of the times below, in seconds.
        pts, dts, sizes, sums: of each packet in the order of the file; sums are Adler-32 of the content.
        unshown: sums and sizes of packets at the beginning that are decoded, not shown, such as the priming of AAC.
        keys: places, in the order of the file, of the packets that can be decoded alone.
        end: where the last packet to be shown ends, in ticks; while packets are read no more than a guess.
        beside: packets have more beside their content: the transparency of WebM.
    """

    number: int
    kind: str = ""
    codec: str = ""
    tick: Fraction = Fraction(1)
    width_px: int = 0
    height_px: int = 0
    sample_rate: int = 0
    layout: str = ""
    pts: array[int] = field(default_factory=lambda: array("q"))
    dts: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    sums: array[int] = field(default_factory=lambda: array("Q"))
    unshown: array[int] = field(default_factory=lambda: array("Q"))
    keys: array[int] = field(default_factory=lambda: array("q"))
    end: int = _NO_TIME
    beside: bool = False
    # Of the last packet to be shown: when it is shown and decoded, how long it lasts, when the next one is decoded.
    _last: tuple[int, int, int] = (_NO_TIME, 0, 0)
    _following: int | None = None

    @property
    def start_s(self) -> float:
        """Time of the first packet to be shown, in seconds."""
        return float(min(self.pts) * self.tick) if self.pts else 0.0

    @property
    def end_s(self) -> float:
        """Time at which the last one has been shown."""
        return float(self.end * self.tick) if self.pts else 0.0

    @property
    def size_bytes(self) -> int:
        """Bytes of all packets."""
        return sum(self.sizes)

    @property
    def content(self) -> array[int]:
        """Sum and size of each packet, also of those at the beginning that are not shown."""
        return self.unshown + array("Q", map(_row, self.sums, self.sizes))

    def take(self, parts: list[str]) -> None:
        """Take the fields of one line."""
        dts, pts, duration, size = (int(part) for part in parts[1:5])
        flags = next((int(part.strip()[2:], 16) for part in parts[6:7] if part.strip().startswith("F=")), _KEY)
        if flags & _DISCARD:
            if not self.pts:
                self.unshown.append(_row(int(parts[5], 16), size))
            return
        pts = dts if pts == _NO_TIME else pts
        self.beside = self.beside or " BlockAdditional" in parts[-3]
        if flags & _KEY:
            self.keys.append(len(self.pts))
        self.pts.append(pts)
        self.dts.append(dts)
        self.sizes.append(size)
        self.sums.append(int(parts[5], 16))
        if pts >= self._last[0]:
            self._last, self._following = (pts, dts, duration), None
        elif self._following is None:
            self._following = dts
        self.end = self._last[0] + self._last[2]

    def settle(self, shown_s: float | None = None) -> None:
        """Say where the last packet ends, when all have been read.

        Args:
            shown_s: how long the track is shown by the word of its container, where that says so.
        """
        pts, dts, lasting = self._last
        if not self.pts:
            return
        if lasting > 0 and self._following != dts + lasting:
            self.end = pts + lasting
            return
        # For MP4 ffmpeg lists how far it is to the packet that is decoded next, which may be shown long before.
        told = min(self.pts) + round(shown_s / self.tick) if shown_s else _NO_TIME
        self.end = told if told > pts else pts + self._usual()

    def _usual(self) -> int:
        """Return how long packets near the end are shown, in ticks: the pause before the last one may be a long one."""
        gaps = sorted(later - time for time, later in pairwise(sorted(set(self.pts[-_RECENT:]))))
        return gaps[len(gaps) // 2] if gaps else max(0, self._last[2])


def read(lines: Iterable[str], limits: Limits) -> list[Track]:
    """Read the table, and stop reading at what is beyond the limits.

    Raises:
        PolicyError: reason `too_many_pixels`, `too_many_frames` or `too_long`.
        Unreadable: it is no such table.
    """
    tracks: dict[int, Track] = {}
    for line in lines:
        try:
            if line.startswith("#"):
                _take_header(tracks, line, limits)
            elif line:
                parts = line.split(",")
                track = tracks[int(parts[0])]
                track.take(parts)
                _check(track, limits)
        except (ValueError, IndexError, KeyError, OverflowError, ZeroDivisionError) as error:
            raise Unreadable(line[:200]) from error
    for track in tracks.values():
        track.settle()
    return [tracks[number] for number in sorted(tracks)]


def _row(checksum: int, size: int) -> int:
    return checksum << 32 | size


def same(before: Track, after: Track, *, exact: bool) -> bool:
    """Whether two tracks have the same packets and last as long; `exact`: to the byte."""
    lasting = abs((after.end_s - after.start_s) - (before.end_s - before.start_s)) <= _SAME_DURATION_S
    if before.codec != after.codec or not lasting:
        return False
    if not exact:
        return len(before.pts) == len(after.pts)
    # Some files do not say, as copies do, that the first packet of AAC is not to be heard.
    return (before.sums, before.sizes) == (after.sums, after.sizes) or before.content == after.content


def watched(lines: Iterable[str], on_bytes: Callable[[float], None]) -> Iterator[str]:
    """Pass the table on and tell how many bytes have gone by, at every hundredth line."""
    done = 0
    for number, line in enumerate(lines):
        if line[:1].isdigit():
            done += int(line.split(",")[4])
            if number % 100 == 0:
                on_bytes(done)
        yield line


def _take_header(tracks: dict[int, Track], line: str, limits: Limits) -> None:
    label, _, value = line[1:].partition(": ")
    name, _, number = label.partition(" ")
    if not number.isdigit():
        return
    track = tracks.setdefault(int(number), Track(int(number)))
    if name == "tb":
        track.tick = Fraction(value)
    elif name == "media_type":
        track.kind = value
    elif name == "codec_id":
        track.codec = value
    elif name == "dimensions":
        track.width_px, track.height_px = (int(side) for side in value.split("x"))
        check_pixels(track.width_px, track.height_px, limits)
    elif name == "sample_rate":
        track.sample_rate = int(value)
    elif name == "channel_layout_name":
        track.layout = value


def check_pixels(width_px: int, height_px: int, limits: Limits) -> None:
    """Refuse a frame that is too large.

    Raises:
        PolicyError: reason `too_many_pixels`.
    """
    if width_px * height_px > limits.max_video_pixels:
        raise PolicyError(
            f"expected a video of at most {limits.max_video_pixels // 1_000_000} megapixels, got {width_px} x "
            f"{height_px}; send a smaller one",
            reason="too_many_pixels",
        )


def _check(track: Track, limits: Limits) -> None:
    if track.kind == "video":
        check_frames(len(track.pts), limits)
    if track.pts:
        check_duration(float((track.end - track.pts[0]) * track.tick), limits)


def check_frames(frames: int, limits: Limits) -> None:
    """Refuse too many frames.

    Raises:
        PolicyError: reason `too_many_frames`.
    """
    if frames > limits.max_video_frames:
        raise PolicyError(
            f"expected a video of at most {limits.max_video_frames} frames, got more; send a shorter one",
            reason="too_many_frames",
        )


def check_duration(seconds: float, limits: Limits) -> None:
    """Refuse what is too long.

    Raises:
        PolicyError: reason `too_long`.
    """
    if seconds > limits.max_duration_s:
        raise PolicyError(
            f"expected at most {limits.max_duration_s / 3600:g} hours, got more; send a shorter one", reason="too_long"
        )
