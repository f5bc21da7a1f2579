"""Strip a JPEG without decoding it: the scans and their tables are copied, the rest is left behind (ITU T.81, B).

Of the application segments stay: JFIF without its thumbnail, the colour profile, Adobe's colour transform, and an
Exif segment with nothing but the orientation where the picture is not stored upright.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from geniequeue.media.orientation import EXIF_HEADER, minimal_exif, orientation
from geniequeue.media.pieces import Broken, Data, Piece, counted, made

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
# SOF, DHT and DAC; DQT, DNL, DRI, DHP, EXP.
_TABLES = frozenset({*range(0xC0, 0xD0), 0xDB, 0xDC, 0xDD, 0xDE, 0xDF}) - {0xC8}
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_ICC_HEADER = b"ICC_PROFILE\0"


def strip(data: Data, keep_icc: bool) -> list[Piece]:
    """List what stays of a JPEG.

    Raises:
        Broken: not a complete JPEG.
    """
    if data[:2] != b"\xff\xd8":
        raise Broken("no start of image")
    kept: list[Piece] = []
    app0: list[Piece] = []
    turned = 1
    for marker, start, end in _segments(data):
        if marker == _APP0:
            app0 = app0 or _jfif(data, start, end)
        elif marker == _APP1:
            turned = _turned(data, start, end) if turned == 1 else turned
        else:
            kept += _kept(data, marker, start, end, keep_icc)
    if not any(piece.picture for piece in kept):
        raise Broken("no picture")
    exif = [made(_segment(_APP1, EXIF_HEADER + minimal_exif(turned)))] if turned != 1 else []
    return [made(b"\xff\xd8"), *app0, *exif, *kept, made(b"\xff\xd9")]


def _segments(data: Data) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of every segment up to the end of the image; a scan's data belongs to its SOS."""
    at, blocks = 2, 0
    while True:
        blocks = counted(blocks)
        at, marker = _marker(data, at)
        if marker == _EOI:
            return
        start, end = at - 2, at + int.from_bytes(data[at : at + 2], "big")
        if end < at + 2 or end > len(data) or marker < 0xC0 or 0xD0 <= marker <= _SOI:
            raise Broken("a segment is cut off or unknown")
        if marker == _SOS:
            scan_end = _END_OF_SCAN.search(data, end)
            if scan_end is None:
                raise Broken("a scan is cut off")
            end = scan_end.start()
        yield marker, start, end
        at = end


_MARKER = re.compile(rb"[^\xff]*\xff+")


def _marker(data: Data, at: int) -> tuple[int, int]:
    """Find the next marker, over fill bytes and stray bytes as decoders do; return the offset after it and its code."""
    found = _MARKER.match(data, at)
    if found is None or found.end() >= len(data):
        raise Broken("no end of image")
    code = data[found.end()]
    return (found.end() + 1, code) if code else _marker_after_zero(data, found.end() + 1)


def _marker_after_zero(data: Data, at: int) -> tuple[int, int]:
    found = _END_OF_SCAN.search(data, at)
    if found is None:
        raise Broken("no end of image")
    return found.end(), data[found.end() - 1]


def _kept(data: Data, marker: int, start: int, end: int, keep_icc: bool) -> list[Piece]:
    if marker == _SOS or marker in _TABLES:
        return [Piece(start, end, picture=True)]
    if marker == _APP2 and keep_icc and data[start + 4 : start + 16] == _ICC_HEADER:
        return [Piece(start, end)]
    if marker == _APP14 and data[start + 4 : start + 9] == b"Adobe" and end - start >= 16:
        # Version and flags say nothing that a decoder needs; the last byte is the colour transform.
        return [made(_segment(_APP14, b"Adobe\0\x64\0\0\0\0" + data[start + 15 : start + 16]))]
    return []


def _jfif(data: Data, start: int, end: int) -> list[Piece]:
    """Keep version and density, not the thumbnail."""
    if data[start + 4 : start + 9] != b"JFIF\0" or end - start < 16:
        return []
    return [made(_segment(_APP0, data[start + 4 : start + 16] + b"\0\0"))]


def _turned(data: Data, start: int, end: int) -> int:
    if data[start + 4 : start + 10] != EXIF_HEADER:
        return 1
    return orientation(data[start + 10 : end])


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2, "big") + payload
