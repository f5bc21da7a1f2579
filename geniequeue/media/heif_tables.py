"""The item tables of an AVIF or HEIC: which items make the picture, and the tables without the others.

Kept are the primary item, what it is derived from (`dimg`), and its transparency; everything else is left behind.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from geniequeue.media.heif_boxes import box, boxes, full_box
from geniequeue.media.pieces import Broken

_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_IN_FILE, _IN_IDAT = 0, 1
_MAX_ITEMS = 20_000
_ICC_KINDS = (b"prof", b"rICC")


@dataclass(frozen=True)
class Location:
    """Where an item's bytes are: extents as start and end, in the file or in the `idat` box."""

    in_file: list[tuple[int, int]] = field(default_factory=list)
    in_idat: list[tuple[int, int]] = field(default_factory=list)


class _Reader:
    """Read big-endian numbers one after the other."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def number(self, size: int) -> int:
        if self.at + size > len(self.data):
            raise Broken("an item table is cut off")
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at], "big")


def picture_items(raw: Mapping[bytes, bytes]) -> frozenset[int]:
    """Ids of the items that make the picture."""
    primary = _Reader(raw[b"pitm"], 12).number(2 if raw[b"pitm"][8] == 0 else 4)
    references = list(_references(raw[b"iref"])) if b"iref" in raw else []
    derived: dict[int, list[int]] = {}
    for kind, source, targets, _raw in references:
        if kind == b"dimg":
            derived.setdefault(source, []).extend(targets)
    alphas = _alpha_items(raw[b"iprp"])
    kept, todo = set[int](), [primary]
    todo += [
        source
        for kind, source, targets, _raw in references
        if kind == b"auxl" and primary in targets and source in alphas
    ]
    while todo:
        item = todo.pop()
        if item not in kept:
            kept.add(item)
            todo += derived.get(item, [])
    return frozenset(kept)


def _references(iref: bytes) -> Iterator[tuple[bytes, int, list[int], bytes]]:
    """Yield kind, source, targets and bytes of each reference box."""
    width = 2 if iref[8] == 0 else 4
    for found in boxes(iref, 12, len(iref)):
        reader = _Reader(iref, found.body)
        source, count = reader.number(width), reader.number(2)
        targets = [reader.number(width) for _ in range(count)]
        yield found.kind, source, targets, iref[found.start : found.end]


def item_references(iref: bytes, kept: frozenset[int]) -> bytes:
    """The reference table with references between kept items only; no bytes where there are none."""
    parts = [raw for _, source, targets, raw in _references(iref) if source in kept and kept.issuperset(targets)]
    return box(b"iref", iref[8:12] + b"".join(parts)) if parts else b""


def item_infos(iinf: bytes, kept: frozenset[int]) -> bytes:
    """The list of items with kept ones only, their names emptied."""
    width = 2 if iinf[8] == 0 else 4
    parts = []
    for found in boxes(iinf, 12 + width, len(iinf)):
        version, flags = iinf[found.body], int.from_bytes(iinf[found.body + 1 : found.body + 4], "big")
        if found.kind != b"infe" or version not in (2, 3):
            raise Broken("an item of an old kind")
        reader = _Reader(iinf, found.body + 4)
        wide = 2 if version == 2 else 4
        item = reader.number(wide)
        if item in kept:
            protection, kind = reader.number(2), reader.number(4)
            body = item.to_bytes(wide, "big") + struct.pack(">HI", protection, kind) + b"\0"
            parts.append(full_box(b"infe", version, flags, body))
    return box(b"iinf", iinf[8:12] + len(parts).to_bytes(width, "big") + b"".join(parts))


def locations(iloc: bytes) -> dict[int, Location]:
    """Where the bytes of each item are."""
    return {item: location for item, location, _raw in _locations(iloc)}


def item_locations(iloc: bytes, kept: frozenset[int]) -> bytes:
    """The location table with kept items only; offsets are untouched."""
    parts = [raw for item, _location, raw in _locations(iloc) if item in kept]
    width = 2 if iloc[8] < 2 else 4
    return box(b"iloc", iloc[8:14] + len(parts).to_bytes(width, "big") + b"".join(parts))


def _locations(iloc: bytes) -> Iterator[tuple[int, Location, bytes]]:
    version, sizes = iloc[8], _Reader(iloc, 12).number(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version in (1, 2) else 0
    reader = _Reader(iloc, 14)
    wide = 2 if version < 2 else 4
    count = reader.number(wide)
    if version > 2 or count > _MAX_ITEMS:
        raise Broken("too many items")
    for _ in range(count):
        start = reader.at
        item = reader.number(wide)
        method = reader.number(2) & 15 if version in (1, 2) else _IN_FILE
        if reader.number(2) != 0 or method not in (_IN_FILE, _IN_IDAT):
            raise Broken("an item in another file")
        base = reader.number(base_size)
        extents = []
        for _ in range(reader.number(2)):
            reader.number(index_size)
            first = base + reader.number(offset_size)
            extents.append((first, first + reader.number(length_size)))
        located = Location(in_file=extents) if method == _IN_FILE else Location(in_idat=extents)
        yield item, located, iloc[start : reader.at]


def _alpha_items(iprp: bytes) -> frozenset[int]:
    """Ids of the items that a property declares to be transparency."""
    properties, associations = _properties(iprp)
    alpha = {at + 1 for at, raw in enumerate(properties) if raw[4:8] == b"auxC" and raw[12:].startswith(_ALPHA)}
    return frozenset(item for item, indices, _raw in _associated(associations) if alpha & set(indices))


def item_properties(iprp: bytes, kept: frozenset[int], keep_icc: bool) -> bytes:
    """The property tables for kept items; unused properties become empty `free` boxes, so that no index moves."""
    properties, associations = _properties(iprp)
    entries = [(indices, raw) for item, indices, raw in _associated(associations) if item in kept]
    used = {index for indices, _raw in entries for index in indices}
    shown = []
    for index, raw in enumerate(properties, 1):
        private = raw[4:8] in (b"uuid", b"udes", b"free") or (
            raw[4:8] == b"colr" and raw[8:12] in _ICC_KINDS and not keep_icc
        )
        shown.append(raw if index in used and not private else box(b"free", b""))
    body = associations[8:12] + struct.pack(">I", len(entries)) + b"".join(raw for _indices, raw in entries)
    return box(b"iprp", box(b"ipco", b"".join(shown)) + box(b"ipma", body))


def _properties(iprp: bytes) -> tuple[list[bytes], bytes]:
    found = list(boxes(iprp, 8, len(iprp)))
    if [part.kind for part in found] != [b"ipco", b"ipma"]:
        raise Broken("property tables of an unusual form")
    ipco, ipma = found
    properties = [iprp[part.start : part.end] for part in boxes(iprp, ipco.body, ipco.end)]
    return properties, iprp[ipma.start : ipma.end]


def _associated(ipma: bytes) -> Iterator[tuple[int, list[int], bytes]]:
    """Yield item, indices of its properties (from 1) and bytes of each entry."""
    wide, narrow = (2 if ipma[8] < 1 else 4), not ipma[11] & 1
    reader = _Reader(ipma, 12)
    count = reader.number(4)
    if count > _MAX_ITEMS:
        raise Broken("too many items")
    for _ in range(count):
        start = reader.at
        item, links = reader.number(wide), reader.number(1)
        indices = [reader.number(1) & 0x7F if narrow else reader.number(2) & 0x7FFF for _ in range(links)]
        yield item, indices, ipma[start : reader.at]


def without_name(hdlr: bytes) -> bytes:
    """The handler box with its name, which is free text, emptied."""
    return box(b"hdlr", hdlr[8:32] + b"\0")
