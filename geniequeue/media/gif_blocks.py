"""Strip a GIF without decoding it: images, their controls and the loop count are copied (GIF89a)."""

from __future__ import annotations

from geniequeue.media.pieces import Broken, Data, Piece, counted, made

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_CONTROL, _APPLICATION = 0xF9, 0xFF
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_ICC = b"ICCRGBG1012"


def strip(data: Data, keep_icc: bool) -> list[Piece]:
    """List what stays of a GIF.

    Raises:
        Broken: not a complete GIF.
    """
    if data[:6] not in (b"GIF87a", b"GIF89a") or len(data) < 14:
        raise Broken("no header")
    at = 13 + _table_bytes(data[10])
    pieces = [Piece(0, at, picture=True)]
    # A control belongs to the next image; it goes where that goes.
    control: list[Piece] = []
    blocks = 0
    while at < len(data):
        blocks = counted(blocks)
        kind = data[at]
        if kind == _TRAILER and len(pieces) > 1:
            return [*pieces, made(b"\x3b")]
        end = _image_end(data, at) if kind == _IMAGE else _extension_end(data, at)
        if kind == _IMAGE:
            pieces += [*control, Piece(at, end, picture=True)]
            control = []
        elif data[at + 1] == _CONTROL:
            control = [Piece(at, end, picture=True)]
        elif data[at + 1] == _APPLICATION:
            pieces += _application(data, at, end, keep_icc)
        at = end
    raise Broken("no trailer")


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _image_end(data: Data, at: int) -> int:
    if at + 11 > len(data):
        raise Broken("an image is cut off")
    return _after_sub_blocks(data, at + 11 + _table_bytes(data[at + 9]))


def _extension_end(data: Data, at: int) -> int:
    if data[at] != _EXTENSION:
        raise Broken("an unknown block")
    return _after_sub_blocks(data, at + 2)


def _after_sub_blocks(data: Data, at: int) -> int:
    end = len(data)
    while at < end and data[at]:
        at += data[at] + 1
    if at >= end:
        raise Broken("a block is cut off")
    return at + 1


def _application(data: Data, at: int, end: int, keep_icc: bool) -> list[Piece]:
    name = data[at + 3 : at + 14]
    if name in _LOOPS and data[at + 14 : at + 16] == b"\x03\x01":
        return [made(data[at : at + 18] + b"\0")]
    return [Piece(at, end)] if name == _ICC and keep_icc else []
