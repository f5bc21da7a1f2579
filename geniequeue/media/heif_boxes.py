"""Boxes of the ISO base media file format: walk them, write them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from geniequeue.media.pieces import Broken, Data, counted


@dataclass(frozen=True)
class Box:
    """Where a box lies: its kind, its start, the start of its body, its end."""

    kind: bytes
    start: int
    body: int
    end: int


def boxes(data: Data, at: int, end: int, *, lenient: bool = False, many: bool = False) -> Iterator[Box]:
    """Yield the boxes between `at` and `end`.

    Args:
        lenient: stop at what is no box, such as bytes after the last one.
        many: as a film in fragments has, which nobody keeps in a list.

    Raises:
        Broken: a box is cut off.
    """
    blocks = 0
    while at + 8 <= end:
        blocks = 0 if many else counted(blocks)
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = at + 8
        if size == 1:
            size, body = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        elif size == 0:
            size = end - at
        if size < body - at or at + size > end:
            if lenient and kind not in (b"mdat", b"meta", b"ftyp"):
                return
            raise Broken("a box is cut off")
        yield Box(kind, at, body, at + size)
        at += size


def box(kind: bytes, body: bytes) -> bytes:
    """Write a box."""
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, body: bytes) -> bytes:
    """Write a box with version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags) + body)


def free(size: int) -> bytes:
    """Write a box of zeros that is `size` bytes long, at least 8."""
    return box(b"free", bytes(size - 8))
