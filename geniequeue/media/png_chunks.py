"""Strip a PNG without decoding it: the chunks a viewer needs are copied, the rest is left behind."""

from __future__ import annotations

import struct
import zlib

from geniequeue.media.orientation import minimal_exif, orientation
from geniequeue.media.pieces import Broken, Data, Piece, counted, made

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PICTURE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"acTL", b"fcTL", b"fdAT"})
# What says which colour a number is, how it lies on a page, and what is behind it.
_SHOWN = frozenset({b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"cICP", b"mDCV", b"cLLI", b"bKGD", b"pHYs"})
_MAX_EXIF_BYTES = 1 << 24


def strip(data: Data, keep_icc: bool) -> list[Piece]:
    """List what stays of a PNG, animated ones included.

    Raises:
        Broken: not a complete PNG, or one with a private chunk that a decoder must understand.
    """
    if data[:8] != _SIGNATURE:
        raise Broken("no signature")
    pieces = [Piece(0, 8)]
    at, blocks, turned, exif_at = 8, 0, 1, 0
    while True:
        blocks = counted(blocks)
        kind, end = _chunk(data, at)
        if kind == b"IEND":
            break
        if kind in _PICTURE:
            pieces.append(Piece(at, end, picture=True))
        elif kind in _SHOWN or (kind == b"iCCP" and keep_icc):
            pieces.append(Piece(at, end))
        elif kind == b"eXIf" and end - at <= _MAX_EXIF_BYTES:
            turned, exif_at = orientation(data[at + 8 : end - 4]), exif_at or len(pieces)
        elif kind[:1].isupper():
            raise Broken("an unknown chunk that is critical")
        at = end
    if turned != 1:
        pieces.insert(exif_at, made(_made_chunk(b"eXIf", minimal_exif(turned))))
    return [*pieces, made(_made_chunk(b"IEND", b""))]


def _chunk(data: Data, at: int) -> tuple[bytes, int]:
    if at + 12 > len(data):
        raise Broken("no end of image")
    size, kind = struct.unpack(">I4s", data[at : at + 8])
    if at + 12 + size > len(data):
        raise Broken("a chunk is cut off")
    return kind, at + 12 + size


def _made_chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))
