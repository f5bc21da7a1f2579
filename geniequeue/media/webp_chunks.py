"""Strip a WebP without decoding it: the chunks of the picture are copied, the rest is left behind (RFC 9649)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from geniequeue.media.orientation import EXIF_HEADER, minimal_exif, orientation
from geniequeue.media.pieces import Broken, Data, Piece, counted, made

_BITSTREAMS = frozenset({b"VP8 ", b"VP8L", b"ALPH"})
_ICC_FLAG, _EXIF_FLAG, _XMP_FLAG = 0x20, 0x08, 0x04
_FRAME_HEADER_BYTES = 16
_MAX_EXIF_BYTES = 1 << 24


def strip(data: Data, keep_icc: bool) -> list[Piece]:
    """List what stays of a WebP, animated ones included.

    Raises:
        Broken: not a complete WebP.
    """
    end = 8 + int.from_bytes(data[4:8], "little")
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or end > len(data):
        raise Broken("no RIFF of WebP, or cut off")
    body: list[Piece] = []
    features: bytes | None = None
    turned, has_icc = 1, False
    for kind, at, size in _chunks(data, 12, end):
        if kind == b"VP8X" and size == 10:
            features = data[at + 8 : at + 18]
        elif kind == b"EXIF" and size <= _MAX_EXIF_BYTES:
            turned = orientation(data[at + 8 : at + 8 + size].removeprefix(EXIF_HEADER))
        elif kind == b"ICCP" and keep_icc:
            has_icc = True
            body += _copied(at, size, picture=False)
        else:
            body += _picture(data, kind, at, size)
    if features is None:
        turned = 1
    head = [_features(features, has_icc, turned != 1)] if features is not None else []
    tail = [made(_chunk(b"EXIF", minimal_exif(turned)))] if turned != 1 else []
    return _riff([*head, *body, *tail])


def _picture(data: Data, kind: bytes, at: int, size: int) -> list[Piece]:
    if kind in _BITSTREAMS or kind == b"ANIM":
        return _copied(at, size)
    return _frame(data, at, size) if kind == b"ANMF" else []


def _frame(data: Data, at: int, size: int) -> list[Piece]:
    """Keep a frame's header and bitstreams; a frame may hide unknown chunks."""
    first = at + 8 + _FRAME_HEADER_BYTES
    inner: list[Piece] = []
    for kind, start, length in _chunks(data, first, at + 8 + size):
        inner += _copied(start, length) if kind in _BITSTREAMS else []
    length = _FRAME_HEADER_BYTES + sum(piece.size for piece in inner)
    header = made(b"ANMF" + struct.pack("<I", length))
    return [header, Piece(at + 8, first, picture=True), *inner]


def _chunks(data: Data, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and payload size of each chunk."""
    blocks = 0
    while at + 8 <= end:
        blocks = counted(blocks)
        kind, size = struct.unpack("<4sI", data[at : at + 8])
        if at + 8 + size > end:
            raise Broken("a chunk is cut off")
        yield kind, at, size
        at += 8 + size + (size & 1)


def _copied(at: int, size: int, *, picture: bool = True) -> list[Piece]:
    """Copy a chunk, with the padding byte that some writers forget at the end."""
    return [Piece(at, at + 8 + size, picture=picture), *([made(b"\0")] if size & 1 else [])]


def _features(payload: bytes, has_icc: bool, has_exif: bool) -> Piece:
    flags = payload[0] & ~(_ICC_FLAG | _EXIF_FLAG | _XMP_FLAG)
    flags |= _ICC_FLAG * has_icc | _EXIF_FLAG * has_exif
    return made(_chunk(b"VP8X", bytes((flags,)) + payload[1:]))


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) & 1)


def _riff(pieces: list[Piece]) -> list[Piece]:
    if not any(piece.picture for piece in pieces):
        raise Broken("no picture")
    size = 4 + sum(piece.size for piece in pieces)
    return [made(b"RIFF" + struct.pack("<I", size) + b"WEBP"), *pieces]
