"""The first directory of a TIFF file, read without libtiff (TIFF 6.0, section 2; BigTIFF)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

WIDTH, HEIGHT, BITS, PHOTOMETRIC, SUBFILE_TYPE, SUB_DIRECTORIES, DNG_VERSION = 256, 257, 258, 262, 254, 330, 50706
_COLOUR_FILTER_ARRAY, _LINEAR_RAW = 32803, 34892
_MAX_ENTRIES = 4096
# Size in bytes of the integer field types that are of interest: BYTE, SHORT, LONG, IFD, LONG8.
_INTEGERS = {1: 1, 3: 2, 4: 4, 13: 4, 16: 8}


@dataclass(frozen=True)
class Layout:
    """Where the parts of a classic or a Big TIFF stand, in bytes."""

    order: str
    offset_at: int
    offset_bytes: int
    count_bytes: int
    entry_bytes: int


def first_directory(path: Path) -> dict[int, int]:
    """Read tag → first integer value of the first directory; empty when there is none that can be read."""
    with path.open("rb") as file:
        head = file.read(16)
        layout = _layout(head)
        start = _number(head[layout.offset_at : layout.offset_at + layout.offset_bytes], layout)
        file.seek(min(start, path.stat().st_size))
        entries = min(_number(file.read(layout.count_bytes), layout), _MAX_ENTRIES)
        table = file.read(entries * layout.entry_bytes)
    tags: dict[int, int] = {}
    for at in range(0, len(table) - layout.entry_bytes + 1, layout.entry_bytes):
        entry = table[at : at + layout.entry_bytes]
        tags[_number(entry[:2], layout)] = _value(entry, layout)
    return tags


def is_camera_raw(path: Path) -> bool:
    """Whether a TIFF is the container of a camera's raw file: DNG, CR2, NEF, ARW and the like."""
    with path.open("rb") as file:
        if file.read(10)[8:10] == b"CR":
            return True
    tags = first_directory(path)
    reduced = tags.get(SUBFILE_TYPE, 0) & 1 == 1 and SUB_DIRECTORIES in tags
    return DNG_VERSION in tags or reduced or tags.get(PHOTOMETRIC) in (_COLOUR_FILTER_ARRAY, _LINEAR_RAW)


def _layout(head: bytes) -> Layout:
    order = "little" if head[:2] == b"II" else "big"
    if head[2:4] in (b"+\0", b"\0+"):
        return Layout(order, offset_at=8, offset_bytes=8, count_bytes=8, entry_bytes=20)
    return Layout(order, offset_at=4, offset_bytes=4, count_bytes=2, entry_bytes=12)


def _number(raw: bytes, layout: Layout) -> int:
    return int.from_bytes(raw, "little" if layout.order == "little" else "big")


def _value(entry: bytes, layout: Layout) -> int:
    """The first value where it stands in the entry itself; several shorts are stored elsewhere and read as 0."""
    size = _INTEGERS.get(_number(entry[2:4], layout), 0)
    count = _number(entry[4 : 4 + layout.offset_bytes], layout)
    field = entry[4 + layout.offset_bytes :]
    return _number(field[:size], layout) if 0 < size * count <= len(field) else 0
