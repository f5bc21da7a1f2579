"""Size, frames and bit depth of a picture from the bytes of its container, before any decoder sees it.

Each reader takes the whole file as a memory map and touches only headers; frame counts come from walking the blocks
and stop at `most`, so that a million frames cost no more than the limit does.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from mmap import mmap
from typing import TypeAlias

Data: TypeAlias = "mmap | bytes"


# A bomb of a few bytes need not have an end; it is refused for what it claims, not for what it lacks.
_ABSURD_PIXELS = 1 << 28


class BrokenHeader(Exception):
    """The container is cut off or says something impossible."""


@dataclass(frozen=True)
class Geometry:
    """What a header says: pixels of one frame as stored (not turned), frames, bits per channel."""

    width_px: int
    height_px: int
    frames: int = 1
    bits: int = 8


def jpeg(data: Data, _most: int) -> Geometry:
    """Walk the markers to the frame header, and look for the end marker after the first scan (ITU T.81, B.2)."""
    found: Geometry | None = None
    for marker, at, _size in _jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height_px, width_px = struct.unpack(">BHH", data[at : at + 5])
            found = Geometry(width_px, height_px, bits=bits)
        if marker == 0xDA:
            if found is None or data.rfind(b"\xff\xd9", at) < 0:
                raise BrokenHeader("no frame header or no end of image")
            return found
    raise BrokenHeader("no scan")


def _jpeg_segments(data: Data) -> Iterator[tuple[int, int, int]]:
    """Yield marker, offset of the payload and its size."""
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            return
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xD9 or size < 2:
            return
        yield marker, at + 4, size - 2
        at += 2 + size


def png(data: Data, most: int) -> Geometry:
    """Read IHDR, count the frames of an animated PNG, and insist on IEND (PNG third edition, 5 and 11)."""
    if data[12:16] != b"IHDR":
        raise BrokenHeader("no IHDR")
    width_px, height_px, bits = struct.unpack(">IIB", data[16:25])
    claimed, counted, at = 0, 0, 8
    while at + 12 <= len(data) and max(claimed, counted) <= most:
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"acTL" and size == 8:
            claimed = int.from_bytes(data[at + 8 : at + 12], "big")
        counted += kind == b"fcTL"
        if kind == b"IEND":
            return Geometry(width_px, height_px, max(1, claimed, counted), bits)
        at += 12 + size
    if max(claimed, counted) > most or width_px * height_px > _ABSURD_PIXELS:
        return Geometry(width_px, height_px, max(1, claimed, counted), bits)
    raise BrokenHeader("no IEND")


def gif(data: Data, most: int) -> Geometry:
    """Read the screen size and count the image blocks (GIF89a, 18 to 27)."""
    width_px, height_px, flags = struct.unpack("<HHB", data[6:11])
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    frames = 0
    while at < len(data) and frames <= most:
        block = data[at]
        if block == 0x2C and at + 10 <= len(data):
            frames += 1
            table = data[at + 9]
            at = _after_sub_blocks(data, at + 11 + (3 << (table & 7) + 1 if table & 0x80 else 0))
        elif block == 0x21:
            at = _after_sub_blocks(data, at + 2)
        else:
            break
    if frames == 0:
        raise BrokenHeader("no image block")
    return Geometry(width_px, height_px, frames)


def _after_sub_blocks(data: Data, at: int) -> int:
    end = len(data)
    while at < end and data[at]:
        at += data[at] + 1
    return at + 1


def webp(data: Data, most: int) -> Geometry:
    """Read the canvas and count the ANMF chunks (RFC 9649)."""
    end = int.from_bytes(data[4:8], "little") + 8
    kind = bytes(data[12:16])
    if kind == b"VP8X":
        width_px, height_px = _int24(data, 24) + 1, _int24(data, 27) + 1
    elif kind == b"VP8L":
        packed = int.from_bytes(data[21:25], "little")
        width_px, height_px = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width_px, height_px = (side & 0x3FFF for side in struct.unpack("<HH", data[26:30]))
    else:
        raise BrokenHeader("no image chunk")
    frames, at = 0, 12
    while at + 8 <= len(data) and frames <= most:
        frames += data[at : at + 4] == b"ANMF"
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + (size & 1)
    if frames <= most and end > len(data) + 1:
        raise BrokenHeader("cut off")
    return Geometry(width_px, height_px, max(1, frames))


def _int24(data: Data, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


def bmp(data: Data, _most: int) -> Geometry:
    """Read the core or info header."""
    if int.from_bytes(data[14:18], "little") == 12:
        width_px, height_px = struct.unpack("<HH", data[18:22])
    else:
        width_px, height_px = struct.unpack("<ii", data[18:26])
    return Geometry(abs(width_px), abs(height_px))


def psd(data: Data, _most: int) -> Geometry:
    """Read the file header section of PSD or PSB, and insist that the merged picture is all there."""
    large = data[5] == 2
    channels, height_px, width_px, bits = struct.unpack(">HIIH", data[12:24])
    at = 26
    for size_bytes in (4, 4, 8 if large else 4):
        at += size_bytes + int.from_bytes(data[at : at + size_bytes], "big")
    if at + 2 + _psd_picture_bytes(data, at, channels * height_px, (width_px * bits + 7) // 8, large) > len(data):
        raise BrokenHeader("cut off")
    return Geometry(width_px, height_px, bits=bits)


def _psd_picture_bytes(data: Data, at: int, rows: int, row_bytes: int, large: bool) -> int:
    """Size of the image data section after its compression word; 0 where only decoding can tell."""
    compression = int.from_bytes(data[at : at + 2], "big")
    if compression == 0:
        return rows * row_bytes
    if compression > 1:
        return 0
    counts = array("I" if large else "H")
    table_bytes = rows * counts.itemsize
    if at + 2 + table_bytes > len(data):
        raise BrokenHeader("cut off")
    counts.frombytes(data[at + 2 : at + 2 + table_bytes])
    if sys.byteorder == "little":
        counts.byteswap()
    return table_bytes + sum(counts)


READERS: Mapping[str, Callable[[Data, int], Geometry]] = {
    "jpeg": jpeg,
    "png": png,
    "gif": gif,
    "webp": webp,
    "bmp": bmp,
    "psd": psd,
}
