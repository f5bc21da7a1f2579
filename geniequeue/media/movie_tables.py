"""Where the pictures and sounds of an MP4 lie, read from its index (ISO/IEC 14496-12), and that index written anew.

Only what is common is understood here; whoever meets `Unusual` lets ffmpeg read the file. Of the index nothing is
taken over but boxes that a player needs, and in those no time, no name and no vendor.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from geniequeue.media.heif_boxes import Box, boxes, full_box
from geniequeue.media.heif_boxes import box as written
from geniequeue.media.pieces import Broken, Data

_PICTURES, _SOUND = b"vide", b"soun"
_CODECS = {b"avc1": "h264", b"hvc1": "hevc", b"hev1": "hevc", b"av01": "av1"}
# Of pictures: sizes and colours. Of sound: how it is decoded, and which speaker a channel is for.
_IN_PICTURES = frozenset(
    {b"avcC", b"hvcC", b"av1C", b"colr", b"pasp", b"clap", b"fiel", b"btrt", b"dvcC", b"dvvC", b"mdcv", b"clli"}
)
_IN_SOUND = frozenset({b"esds", b"btrt", b"wave", b"chan"})
_TABLES = frozenset({b"stts", b"ctts", b"cslg", b"stss", b"stps", b"sdtp", b"stsc", b"stsz"})
_GROUPS = frozenset({b"roll", b"prol", b"rap ", b"sync"})
_PICTURE_ENTRY, _SOUND_ENTRY = 86, 36
_UNDETERMINED = b"\x55\xc4"
_HEADER_MOST_BYTES = 64
# Of four hours of sound there are 700 thousand; each that is read here takes 36 bytes.
_MOST_SAMPLES = 2_000_000


class Unusual(Exception):
    """A file that is put together in a way that is better left to ffmpeg."""


@dataclass(frozen=True)
class MovieTrack:
    """A track of pictures or sound.

    Attributes:
        chunks: start in the file and size of each run of samples, in the order of the index.
    """

    box: Box
    pictures: bool
    codec: str
    samples: int
    duration_s: float
    chunks: list[tuple[int, int]]


def tracks_of(data: Data, movie: Box) -> list[MovieTrack]:
    """Read the tracks of pictures and sound.

    Raises:
        Unusual: something is not as it is nearly always.
        Broken: a table is cut off.
    """
    kept = [box for box in _named(data, movie, b"trak") if _handler(data, box) in (_PICTURES, _SOUND)]
    if not kept or _named(data, movie, b"mvex"):
        raise Unusual("fragments, or nothing to be seen or heard")
    return [_track(data, box) for box in kept]


def index(data: Data, movie: Box, tracks: list[MovieTrack], place: Callable[[int], int], *, long: bool) -> bytes:
    """Write the index of some of its tracks.

    Args:
        place: takes where a chunk was, and returns where it is now.
        long: whether places need 64 bits.
    """
    body = _timeless(data, _one(data, movie, b"mvhd"))
    return written(b"moov", body + b"".join(_written_track(data, track, place, long=long) for track in tracks))


def _track(data: Data, box: Box) -> MovieTrack:
    media = _one(data, box, b"mdia")
    tables = _one(data, _one(data, media, b"minf"), b"stbl")
    entry = _entry(data, tables)
    sizes = _one(data, tables, b"stsz")
    _version, each, count = struct.unpack(">III", data[sizes.body : sizes.body + 12])
    pictures = _handler(data, box) == _PICTURES
    if pictures != (entry.kind in _CODECS) or not 0 < count <= _MOST_SAMPLES:
        raise Unusual("an unknown codec, or an empty track, or an endless one")
    at = [0, *accumulate(_numbers(data, sizes, 12, count))] if not each else range(0, each * (count + 1), each)
    header = _one(data, media, b"mdhd")
    tick_at = header.body + (20 if data[header.body] else 12)
    ticks = int.from_bytes(data[tick_at : tick_at + 4], "big")
    times = _numbers(data, _one(data, tables, b"stts"), 8, 2 * _counted(data, _one(data, tables, b"stts")))
    lasting = sum(number * delta for number, delta in zip(times[::2], times[1::2], strict=True))
    codec = _CODECS.get(entry.kind, "aac")
    return MovieTrack(box, pictures, codec, count, lasting / max(ticks, 1), list(_chunks(data, tables, at, count)))


def _chunks(data: Data, tables: Box, at: list[int] | range, count: int) -> Iterator[tuple[int, int]]:
    """Yield start and size of each chunk; `at` is where each sample would begin if all lay one after the other."""
    starts = _places(data, tables)
    runs = _one(data, tables, b"stsc")
    rows = _numbers(data, runs, 8, 3 * _counted(data, runs))
    firsts, counts = [*rows[::3], len(starts) + 1], rows[1::3]
    sample = 0
    for row, number in enumerate(counts):
        for chunk in range(firsts[row] - 1, firsts[row + 1] - 1):
            if sample + number > count or chunk >= len(starts):
                raise Unusual("more samples than there are")
            yield starts[chunk], at[sample + number] - at[sample]
            sample += number
    if sample != count:
        raise Unusual("fewer samples than there are")


def _places(data: Data, tables: Box) -> array[int]:
    for kind, code in ((b"stco", "I"), (b"co64", "Q")):
        for table in _named(data, tables, kind):
            return _numbers(data, table, 8, _counted(data, table), code)
    raise Unusual("no places")


def _numbers(data: Data, table: Box, skip: int, count: int, code: str = "I") -> array[int]:
    """Read `count` numbers of a table behind its first `skip` bytes."""
    found = array(code)
    if table.body + skip + count * found.itemsize > table.end:
        raise Broken("a table is cut off")
    found.frombytes(data[table.body + skip : table.body + skip + count * found.itemsize])
    if sys.byteorder == "little":
        found.byteswap()
    return found


def _counted(data: Data, table: Box) -> int:
    return int.from_bytes(data[table.body + 4 : table.body + 8], "big")


def _handler(data: Data, track: Box) -> bytes:
    handler = _one(data, _one(data, track, b"mdia"), b"hdlr")
    return bytes(data[handler.body + 8 : handler.body + 12])


def _entry(data: Data, tables: Box) -> Box:
    """Return the only sample entry of a track."""
    described = _one(data, tables, b"stsd")
    entries = list(boxes(data, described.body + 8, described.end))
    if len(entries) != 1 or entries[0].kind not in {*_CODECS, b"mp4a"}:
        raise Unusual("an unknown codec, or several")
    return entries[0]


def _one(data: Data, holder: Box, kind: bytes) -> Box:
    found = _named(data, holder, kind)
    if len(found) != 1:
        raise Unusual(f"expected one {kind!r}, got {len(found)}")
    return found[0]


def _named(data: Data, holder: Box, kind: bytes) -> list[Box]:
    return [box for box in boxes(data, holder.body, holder.end) if box.kind == kind]


def _written_track(data: Data, track: MovieTrack, place: Callable[[int], int], *, long: bool) -> bytes:
    media = _one(data, track.box, b"mdia")
    inner = _one(data, media, b"minf")
    about = b"".join(_whole(data, box) for box in boxes(data, inner.body, inner.end) if box.kind in (b"vmhd", b"smhd"))
    body = _timeless(data, _one(data, track.box, b"tkhd"))
    body += b"".join(_whole(data, box) for box in _named(data, track.box, b"edts"))
    tables = _written_tables(data, _one(data, inner, b"stbl"), place, long=long)
    here = full_box(b"dref", 0, 0, struct.pack(">I", 1) + full_box(b"url ", 0, 1, b""))
    _check_references(data, inner)
    header = bytearray(_timeless(data, _one(data, media, b"mdhd")))
    header[-4:-2] = _UNDETERMINED
    name = b"VideoHandler\0" if track.pictures else b"SoundHandler\0"
    handler = full_box(b"hdlr", 0, 0, bytes(4) + (_PICTURES if track.pictures else _SOUND) + bytes(12) + name)
    inner_box = written(b"minf", about + written(b"dinf", here) + tables)
    return written(b"trak", body + written(b"mdia", bytes(header) + handler + inner_box))


def _check_references(data: Data, inner: Box) -> None:
    """Refuse a track whose samples lie in another file."""
    references = _one(data, _one(data, inner, b"dinf"), b"dref")
    entries = list(boxes(data, references.body + 8, references.end))
    if len(entries) != 1 or not data[entries[0].body + 3] & 1:
        raise Unusual("samples in another file")


def _written_tables(data: Data, tables: Box, place: Callable[[int], int], *, long: bool) -> bytes:
    body = b""
    for box in boxes(data, tables.body, tables.end):
        if box.kind == b"stsd":
            body += full_box(b"stsd", 0, 0, struct.pack(">I", 1) + _written_entry(data, _entry(data, tables)))
        elif box.kind in (b"stco", b"co64"):
            places = array("Q" if long else "I", map(place, _places(data, tables)))
            if sys.byteorder == "little":
                places.byteswap()
            body += full_box(b"co64" if long else b"stco", 0, 0, struct.pack(">I", len(places)) + places.tobytes())
        elif box.kind in _TABLES or (box.kind in (b"sgpd", b"sbgp") and data[box.body + 4 : box.body + 8] in _GROUPS):
            body += data[box.start : box.end]
        else:
            raise Unusual(f"a table {box.kind!r}")
    return written(b"stbl", body)


def _written_entry(data: Data, entry: Box) -> bytes:
    """Write a sample entry without the vendor, and without the name of the encoder."""
    pictures = entry.kind in _CODECS
    version = int.from_bytes(data[entry.start + 16 : entry.start + 18], "big")
    if pictures:
        fixed, allowed = _PICTURE_ENTRY, _IN_PICTURES
        head = data[entry.start + 8 : entry.start + 16] + bytes(16) + data[entry.start + 32 : entry.start + 50]
        head += bytes(32) + data[entry.start + 82 : entry.start + 86]
    else:
        fixed, allowed = _SOUND_ENTRY + 16 * version, _IN_SOUND
        head = data[entry.start + 8 : entry.start + 20] + bytes(4) + data[entry.start + 24 : entry.start + fixed]
    inside = list(boxes(data, entry.start + fixed, entry.end))
    if version > 1 or any(box.kind not in allowed for box in inside):
        raise Unusual("a sample entry with more in it")
    return written(entry.kind, head + b"".join(data[box.start : box.end] for box in inside))


def _timeless(data: Data, header: Box) -> bytes:
    """Copy the header of a movie, a track or its media without the times at which it was made and changed."""
    whole, width = bytearray(data[header.start : header.end]), 8 if data[header.body] else 4
    at = header.body - header.start + 4
    whole[at : at + 2 * width] = bytes(2 * width)
    return bytes(whole)


def _whole(data: Data, box: Box) -> bytes:
    if box.end - box.start > _HEADER_MOST_BYTES:
        raise Unusual(f"a long {box.kind!r}")
    return bytes(data[box.start : box.end])
