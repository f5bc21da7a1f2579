"""The boxes of an MP4: whether they are all there, and after a strip whether no more is there than a player needs."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from geniequeue.media.heif_boxes import Box, boxes, free
from geniequeue.media.pieces import Broken, Data

_TOP = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"wide"})
_IN_MOVIE = frozenset({b"mvhd", b"trak", b"mvex", b"free", b"iods"})
_IN_TRACK = frozenset({b"tkhd", b"edts", b"mdia", b"tref", b"free", b"tapt"})
_SIZES = (b"mdia", b"minf", b"stbl", b"stsz")
_HANDLER = (b"mdia", b"hdlr")
_EDITS = (b"edts", b"elst")
_ESSENTIAL = frozenset({b"moov", b"moof", b"mdat"})
_TIMED = frozenset({b"mvhd", b"tkhd", b"mdhd"})


def is_cut_off(path: Path) -> bool:
    """Tell whether a file ends before its index or its media data do, where a demuxer just stops."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = 0
        try:
            for box in boxes(data, 0, len(data), lenient=True, many=True):
                end = box.end
        except Broken:
            return True
        return not end or data[end + 4 : end + 8] in _ESSENTIAL


@dataclass(frozen=True)
class Survey:
    """What the index of a file says: packets of pictures and sound in all, and whether there are pictures."""

    packets: int
    pictures: bool


def survey(path: Path) -> Survey | None:
    """Read the index; None where it does not say, because the file is in fragments or damaged."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            [movie] = [box for box in boxes(data, 0, len(data), lenient=True) if box.kind == b"moov"]
            tracks = _children(data, movie, b"trak")
            counts = [_count(data, table) for track in tracks for table in _below(data, track, _SIZES)]
            handlers = [data[box.body + 8 : box.body + 12] for track in tracks for box in _below(data, track, _HANDLER)]
            fragments = _children(data, movie, b"mvex")
        except (Broken, ValueError):
            return None
    return None if fragments or not counts else Survey(sum(counts), b"vide" in handlers)


def shown_s(path: Path) -> float | None:
    """Return for how long the first track of pictures is shown by its edits, in seconds; None where they do not say."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            [movie] = [box for box in boxes(data, 0, len(data), lenient=True, many=True) if box.kind == b"moov"]
            [header] = _children(data, movie, b"mvhd")
            track = next(track for track in _children(data, movie, b"trak") if _is_pictures(data, track))
            [edits] = _below(data, track, _EDITS)
            at = header.body + (20 if data[header.body] else 12)
            return _edited(data, edits) / int.from_bytes(data[at : at + 4], "big") or None
        except (Broken, ValueError, IndexError, StopIteration, ZeroDivisionError, struct.error):
            return None


def _is_pictures(data: Data, track: Box) -> bool:
    return any(data[box.body + 8 : box.body + 12] == b"vide" for box in _below(data, track, _HANDLER))


def _edited(data: Data, edits: Box) -> int:
    """Add up how long each edit is, but for those that show nothing (ISO/IEC 14496-12, 8.6.6)."""
    form = struct.Struct(">Qq4x" if data[edits.body] else ">Ii4x")
    rows = form.iter_unpack(data[edits.body + 8 : edits.end])
    return sum(duration for duration, media_time in rows if media_time >= 0)


def _count(data: Data, table: Box) -> int:
    """Samples of a `stsz` (ISO/IEC 14496-12, 8.7.3)."""
    return int.from_bytes(data[table.body + 8 : table.body + 12], "big")


def _below(data: Data, box: Box, path: tuple[bytes, ...]) -> list[Box]:
    found = [box]
    for kind in path:
        found = [child for holder in found for child in _children(data, holder, kind)]
    return found


def blank_user_data(path: Path) -> None:
    """Turn the empty `udta` that ffmpeg writes into free space of the same size."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        for movie in _children(data, None, b"moov"):
            holders = [movie, *_children(data, movie, b"trak")]
            for box in (found for holder in holders for found in _children(data, holder, b"udta")):
                data[box.start : box.end] = free(box.end - box.start)


def left_over(path: Path, tracks: int) -> list[str]:
    """Name what is in the index beside `tracks` tracks of pictures and sound and what describes them."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        movies = _children(data, None, b"moov")
        found = [box.kind for box in boxes(data, 0, len(data)) if box.kind not in _TOP]
        for movie in movies:
            found += [box.kind for box in boxes(data, movie.body, movie.end) if box.kind not in _IN_MOVIE]
            for track in _children(data, movie, b"trak"):
                found += [box.kind for box in boxes(data, track.body, track.end) if box.kind not in _IN_TRACK]
            found += [b"time in " + box.kind for box in _headers(data, movie) if _has_time(data, box)]
        if len(movies) != 1 or len(_children(data, movies[0], b"trak")) != tracks:
            found.append(b"tracks")
    return [kind.decode("latin-1") for kind in found]


def _headers(data: Data, movie: Box) -> list[Box]:
    tracks = _children(data, movie, b"trak")
    media = [box for track in tracks for box in _children(data, track, b"mdia")]
    holders = [movie, *tracks, *media]
    return [box for holder in holders for box in boxes(data, holder.body, holder.end) if box.kind in _TIMED]


def _has_time(data: Data, box: Box) -> bool:
    """Whether a header says when something was made or changed (version 1 has 64-bit times)."""
    width = 8 if data[box.body] == 1 else 4
    return any(data[box.body + 4 : box.body + 4 + 2 * width])


def _children(data: Data, holder: Box | None, kind: bytes) -> list[Box]:
    start, end = (holder.body, holder.end) if holder else (0, len(data))
    return [box for box in boxes(data, start, end) if box.kind == kind]
