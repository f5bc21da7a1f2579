"""Strip a still AVIF or HEIC without decoding it (ISO/IEC 14496-12, 8.11; ISO/IEC 23008-12).

The file keeps its length: the item tables are written anew with the picture's items alone, a `free` box fills the room
that is left, and zeros overwrite everything no kept item points at. So no offset moves, and what was dropped
(Exif, XMP, thumbnails, depth maps, C2PA and other private boxes) is gone from the bytes too.
"""

from __future__ import annotations

from geniequeue.media import heif_tables as tables
from geniequeue.media.heif_boxes import Box, box, boxes, free, full_box
from geniequeue.media.pieces import Broken, Data, Piece, made

_META_CHILDREN = frozenset({b"hdlr", b"pitm", b"iloc", b"iinf", b"iref", b"iprp", b"idat"})
_MAX_META_BYTES = 16 << 20


def strip(data: Data, keep_icc: bool) -> list[Piece]:
    """List what stays of a still AVIF or HEIC.

    Raises:
        Broken: not complete, or built in a way that is not understood: then it must be encoded again.
    """
    top = list(boxes(data, 0, len(data), lenient=True))
    metas = [found for found in top if found.kind == b"meta"]
    if not top or top[0].kind != b"ftyp" or len(metas) != 1 or any(found.kind == b"moov" for found in top):
        raise Broken("not a still picture in one meta box")
    meta, extents = _meta(data, metas[0], keep_icc)
    pieces: list[Piece] = []
    last = max(found.start for found in top if found.kind in (b"mdat", b"meta"))
    for found in top:
        if found.kind == b"ftyp":
            pieces.append(Piece(found.start, found.end, picture=True))
        elif found.kind == b"meta":
            pieces.append(made(meta))
        elif found.kind == b"mdat":
            pieces += _mdat(found, extents)
        elif found.start < last:
            pieces.append(made(free(found.end - found.start)))
    return pieces


def _meta(data: Data, meta: Box, keep_icc: bool) -> tuple[bytes, list[tuple[int, int]]]:
    """Write the meta box anew in the same length; return it and the extents in the file of what stays."""
    if meta.end - meta.start > _MAX_META_BYTES:
        raise Broken("the item tables are too large")
    content = data[meta.start : meta.end]
    children = {child.kind: child for child in boxes(content, meta.body - meta.start + 4, len(content))}
    raw = {kind: content[child.start : child.end] for kind, child in children.items()}
    if not {b"pitm", b"iloc", b"iinf", b"iprp"} <= raw.keys():
        raise Broken("no item tables")
    kept = tables.picture_items(raw)
    locations = tables.locations(raw[b"iloc"])
    rest = [_rewritten(kind, part, kept, keep_icc, locations) for kind, part in raw.items() if kind in _META_CHILDREN]
    size = len(content)
    new = full_box(b"meta", 0, 0, b"".join(rest))
    filler = size - len(new)
    if filler and filler < 8:
        raise Broken("no room for a filler")
    inner = b"".join(rest) + (free(filler) if filler else b"")
    extents = [extent for item in kept & locations.keys() for extent in locations[item].in_file]
    if any(start >= end for start, end in extents):
        raise Broken("an item without an end")
    return full_box(b"meta", 0, 0, inner), extents


def _rewritten(
    kind: bytes, part: bytes, kept: frozenset[int], keep_icc: bool, locations: dict[int, tables.Location]
) -> bytes:
    if kind == b"iinf":
        return tables.item_infos(part, kept)
    if kind == b"iloc":
        return tables.item_locations(part, kept)
    if kind == b"iref":
        return tables.item_references(part, kept)
    if kind == b"iprp":
        return tables.item_properties(part, kept, keep_icc)
    if kind == b"idat":
        return box(
            b"idat", _blanked(part[8:], [e for item in kept & locations.keys() for e in locations[item].in_idat])
        )
    return tables.without_name(part) if kind == b"hdlr" else part


def _blanked(payload: bytes, extents: list[tuple[int, int]]) -> bytes:
    blank = bytearray(len(payload))
    for start, end in extents:
        blank[start:end] = payload[start:end]
    return bytes(blank)


def _mdat(mdat: Box, extents: list[tuple[int, int]]) -> list[Piece]:
    """Copy the box's header and the extents in it, zeros between them."""
    pieces = [Piece(mdat.start, mdat.body)]
    at = mdat.body
    for start, end in sorted(extents):
        first, last = max(start, at), min(end, mdat.end)
        if first >= last:
            continue
        pieces += [*_zeros(first - at), Piece(first, last, picture=True)]
        at = last
    return pieces + _zeros(mdat.end - at)


def _zeros(count: int) -> list[Piece]:
    block = 1 << 20
    return [made(bytes(min(block, count - at))) for at in range(0, count, block)]
