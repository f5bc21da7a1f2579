"""The one Exif tag that a strip keeps: without it a picture taken upright would lie on its side."""

from __future__ import annotations

import struct

_TAG = 0x0112
_SHORT = 3
_MAX_ENTRIES = 1024
EXIF_HEADER = b"Exif\0\0"


def orientation(tiff: bytes) -> int:
    """Read the orientation from Exif data without its header; 1 where there is none that is valid.

    Only the first directory is looked at; nothing else is parsed and no offset in it is followed.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 14:
        return 1
    (first,) = struct.unpack(order + "I", tiff[4:8])
    (count,) = struct.unpack(order + "H", tiff[first : first + 2].ljust(2, b"\0"))
    for at in range(first + 2, first + 2 + 12 * min(count, _MAX_ENTRIES), 12):
        if at + 12 > len(tiff):
            break
        tag, kind, values, value = struct.unpack(order + "HHIH", tiff[at : at + 10])
        if tag == _TAG:
            return value if kind == _SHORT and values == 1 and 1 <= value <= 8 else 1
    return 1


def minimal_exif(value: int) -> bytes:
    """Write Exif data without its header that says nothing but the orientation, 1 to 8."""
    return struct.pack(">2sHI HHHIHHI", b"MM", 42, 8, 1, _TAG, _SHORT, 1, value, 0, 0)
