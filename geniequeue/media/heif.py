"""Size and colour of an AVIF or HEIC picture from its boxes, before any decoder sees it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from geniequeue.media.headers import BrokenHeader, Data, Geometry

DISPLAY_P3, PQ, HLG = 12, 16, 18  # code points of ITU-T H.273: colour primaries, transfer characteristics


@dataclass(frozen=True)
class Colour:
    """How the pixels are meant: an ICC profile, or else the code points of ITU-T H.273."""

    profile: bytes | None = None
    primaries: int = 2
    transfer: int = 2


def geometry(data: Data, _most: int) -> Geometry:
    """Take the largest `ispe` property: an upper bound of the picture (ISO/IEC 23008-12, 6.5.3)."""
    best, bits = (0, 0), 8
    for name, at, _end in _properties(data):
        if name == b"ispe":
            best = max(best, struct.unpack(">II", data[at + 4 : at + 12]), key=lambda size: size[0] * size[1])
        elif name == b"pixi":
            bits = max(bits, data[at + 5])
    if not all(best):
        raise BrokenHeader("no ispe")
    return Geometry(*best, bits=bits)


def colour(data: Data) -> Colour:
    """Take the first ICC profile and the first `nclx` (ISO/IEC 14496-12, 12.1.5)."""
    profile, points = None, (2, 2)
    for name, at, end in _properties(data):
        kind = data[at : at + 4] if name == b"colr" else b""
        if kind in (b"prof", b"rICC") and profile is None:
            profile = bytes(data[at + 4 : end])
        elif kind == b"nclx" and points == (2, 2):
            points = struct.unpack(">HH", data[at + 4 : at + 8])
    return Colour(profile, *points)


def _properties(data: Data) -> Iterator[tuple[bytes, int, int]]:
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"meta":
            for path in _inside(data, start + 4, end, b"iprp"):
                for shared in _inside(data, *path, b"ipco"):
                    yield from _boxes(data, *shared)


def _inside(data: Data, start: int, end: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    return ((inner, inner_end) for kind, inner, inner_end in _boxes(data, start, end) if kind == wanted)


def _boxes(data: Data, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the payload of each box (ISO/IEC 14496-12, 4.2)."""
    at = start
    while at + 8 <= end:
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        head = 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif size == 0:
            size = end - at
        if size < head or at + size > end:
            raise BrokenHeader(f"box {kind!r} is cut off")
        yield kind, at + head, at + size
        at += size
