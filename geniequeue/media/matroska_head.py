"""What the head of a Matroska or WebM file promises: how many bytes, how many seconds (RFC 9559, RFC 8794)."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from geniequeue.media.pieces import Broken, Data, counted

_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_INFO, _SCALE, _DURATION = 0x1549A966, 0x2AD7B1, 0x4489
_TRACKS, _TRACK, _TIMESTAMP = 0x1654AE6B, 0xAE, 0xE7
_USUAL_SCALE_NS = 1_000_000
_NUMBER_MOST_BYTES = 8
# What an encoder leaves out at the end is less, and so is what rounds durations.
_MISSING_S, _MISSING_SHARE = 1.0, 0.05


@dataclass(frozen=True)
class _Element:
    """Where an element lies; `end` is None where whoever wrote it did not know yet."""

    kind: int
    body: int
    end: int | None


@dataclass
class Head:
    """What is in front of the first packets.

    Attributes:
        end: where the file should end, in bytes; None for a recording that was written as it came.
        duration_s: of the longest track; None where it does not say.
        tracks: how many there are of all kinds.
        start_s: time of the first packets.
    """

    end: int | None = None
    duration_s: float | None = None
    tracks: int = 0
    start_s: float = 0.0

    def lacks_seconds(self, listed_s: float, tracks: int) -> bool:
        """Whether packets are missing at the end.

        Args:
            listed_s: where those that were found end, counted from the first one.
            tracks: of how many tracks they are; those of others, such as subtitles, may last longer.
        """
        if self.duration_s is None or tracks != self.tracks:
            return False
        missing_s = self.duration_s - self.start_s - listed_s
        return missing_s > max(_MISSING_S, _MISSING_SHARE * self.duration_s)


def is_cut_off(path: Path) -> bool:
    """Tell whether a file ends before its segment does, where a demuxer just stops."""
    end = read(path).end
    return end is not None and end > path.stat().st_size


def read(path: Path) -> Head:
    """Read up to the first packets, or as far as it can be understood."""
    head = Head()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            _read(data, head)
        except (Broken, struct.error, IndexError):
            head.duration_s = None
    return head


def _read(data: Data, head: Head) -> None:
    segment = next((each for each in _elements(data, 0, len(data)) if each.kind == _SEGMENT), None)
    if segment is None:
        return
    head.end = segment.end
    scale_ns = _USUAL_SCALE_NS
    for part in _elements(data, segment.body, len(data)):
        if part.kind == _INFO:
            scale_ns = _whole(data, part, _SCALE) or _USUAL_SCALE_NS
            head.duration_s = _real(data, part, _DURATION) * scale_ns / 1e9 or None
        elif part.kind == _TRACKS:
            head.tracks = sum(each.kind == _TRACK for each in _elements(data, part.body, part.end or part.body))
        elif part.kind == _CLUSTER:
            head.start_s = _whole(data, part, _TIMESTAMP) * scale_ns / 1e9
            break


def _whole(data: Data, holder: _Element, kind: int) -> int:
    """Return the whole number of that kind inside an element, 0 where there is none."""
    return int.from_bytes(_bytes(data, holder, kind), "big")


def _real(data: Data, holder: _Element, kind: int) -> float:
    found = _bytes(data, holder, kind)
    return float(struct.unpack({4: ">f", 8: ">d"}[len(found)], found)[0]) if len(found) in (4, 8) else 0.0


def _bytes(data: Data, holder: _Element, kind: int) -> bytes:
    for each in _elements(data, holder.body, holder.end or len(data)):
        if each.kind == kind and each.end is not None and each.end - each.body <= _NUMBER_MOST_BYTES:
            return bytes(data[each.body : each.end])
    return b""


def _elements(data: Data, at: int, end: int) -> Iterator[_Element]:
    """Yield the elements between two places; none can be passed that does not say where it ends."""
    blocks = 0
    while at < min(end, len(data)):
        blocks = counted(blocks)
        kind, at, _ = _number(data, at, marked=True)
        size, at, unknown = _number(data, at)
        yield _Element(kind, at, None if unknown else at + size)
        if unknown:
            return
        at += size


def _number(data: Data, at: int, *, marked: bool = False) -> tuple[int, int, bool]:
    """Read a number of 1 to 8 bytes (RFC 8794, 4); return it, where it ends, and whether it stands for unknown.

    Args:
        marked: keep the bit that tells its length, as names of elements do.
    """
    width = 9 - data[at].bit_length()
    if width > _NUMBER_MOST_BYTES or at + width > len(data):
        raise Broken("no number")
    number, most = int.from_bytes(data[at : at + width], "big"), (1 << 7 * width) - 1
    return number if marked else number & most, at + width, number & most == most
