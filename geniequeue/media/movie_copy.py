"""Copy the pictures and sounds of an MP4 as fast as the kernel copies files, under an index of our own.

The samples of the tracks that stay are moved together, byte by byte as they are; what lies between them, such as the
positions that a drone records, is left out. Each block is read back from both files while the next one is copied.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from geniequeue.errors import VerifyError
from geniequeue.media import movie_tables
from geniequeue.media.heif_boxes import Box, box, boxes
from geniequeue.media.movie_tables import MovieTrack, Unusual
from geniequeue.media.pieces import Broken

# The input's own brands name its maker. What is written here is MP4 as ISO/IEC 14496-12 and -14 have it.
BRANDS = box(b"ftyp", b"isom" + struct.pack(">I", 512) + b"isom" + b"iso2" + b"mp41")
# Read back in pieces that stay in the cache of a processor.
_STEP_BYTES, _LOOK_BYTES = 16 << 20, 256 << 10
# Two file systems, or one that cannot do it: the bytes go through this process then.
_NOT_BY_THE_KERNEL = frozenset({errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS})
# Places beyond need 64 bits; so much is left for the index.
_LONG_BYTES = (1 << 32) - (64 << 20)


@dataclass(frozen=True)
class Movie:
    """A file, and what of it stays: `runs` are start and size of bytes that lie together, in the file's order."""

    box: Box
    tracks: list[MovieTrack]
    runs: list[tuple[int, int]]

    @property
    def size_bytes(self) -> int:
        """Bytes of pictures and sound."""
        return sum(size for _, size in self.runs)


def movie_of(path: Path) -> Movie | None:
    """Read the index of a plain MP4; None where ffmpeg should read it.

    Raises:
        Broken: a table is cut off, or samples lie outside of the file's media data.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        top = list(boxes(data, 0, len(data), lenient=True))
        named = {kind: [box for box in top if box.kind == kind] for kind in (b"ftyp", b"moov", b"mdat", b"moof")}
        brands = named[b"ftyp"][:1]
        if len(named[b"moov"]) != 1 or not brands or named[b"moof"]:
            return None
        if data[brands[0].body : brands[0].body + 4] == b"qt  ":
            return None
        try:
            tracks = movie_tables.tracks_of(data, named[b"moov"][0])
            movie_tables.index(data, named[b"moov"][0], tracks, lambda place: place, long=True)
        except Unusual:
            return None
        if not any(track.pictures for track in tracks):
            return None
        runs = _together([chunk for track in tracks for chunk in track.chunks])
        return Movie(named[b"moov"][0], tracks, _inside(runs, named[b"mdat"]))


def copied(source: Path, movie: Movie, made: Path, on_bytes: Callable[[float], None]) -> None:
    """Write the movie with its index first.

    Raises:
        VerifyError: what was written is not what was read.
    """
    with source.open("rb") as old, made.open("w+b") as new:
        head = _head(old.fileno(), movie)
        new.write(head)
        new.flush()
        at = len(head)
        with ThreadPoolExecutor(1) as pool:
            looks: list[Future[bool]] = []
            for start, size in movie.runs:
                for offset in range(0, size, _STEP_BYTES):
                    step = min(_STEP_BYTES, size - offset)
                    _copy(old.fileno(), start + offset, new.fileno(), at, step)
                    looks.append(pool.submit(_same, old.fileno(), start + offset, new.fileno(), at, step))
                    at += step
                    on_bytes(at)
            if not all(look.result() for look in looks):
                raise VerifyError("what was copied is not the same; try again", reason="changed")


def _head(old: int, movie: Movie) -> bytes:
    """Return everything in front of the samples."""
    long = movie.size_bytes > _LONG_BYTES
    media = struct.pack(">I4sQ", 1, b"mdat", movie.size_bytes + 16)
    if not long:
        media = struct.pack(">I4s", movie.size_bytes + 8, b"mdat")
    with mmap.mmap(old, 0, access=mmap.ACCESS_READ) as data:
        size = len(movie_tables.index(data, movie.box, movie.tracks, _anywhere, long=long))
        place = _moved(movie.runs, len(BRANDS) + size + len(media))
        return BRANDS + movie_tables.index(data, movie.box, movie.tracks, place, long=long) + media


def _anywhere(_place: int) -> int:
    """Stand for a place while only the length of the index counts."""
    return 0


def _moved(runs: Sequence[tuple[int, int]], at: int) -> Callable[[int], int]:
    """Return where a place in one of the runs is when they lie one after the other from `at` on."""
    starts, moved = [start for start, _ in runs], []
    for _, size in runs:
        moved.append(at)
        at += size

    def place(old: int) -> int:
        number = bisect_right(starts, old) - 1
        return moved[number] + old - starts[number]

    return place


def _together(chunks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join what lies together; chunks that overlap are nobody's."""
    runs: list[tuple[int, int]] = []
    for start, size in sorted(chunks):
        if runs and start < sum(runs[-1]):
            raise Broken("samples that overlap")
        if runs and start == sum(runs[-1]):
            runs[-1] = runs[-1][0], runs[-1][1] + size
        else:
            runs.append((start, size))
    return runs


def _inside(runs: list[tuple[int, int]], media: list[Box]) -> list[tuple[int, int]]:
    for start, size in runs:
        if not any(box.body <= start and start + size <= box.end for box in media):
            raise Broken("samples outside of the media data")
    return runs


def _copy(old: int, start: int, new: int, at: int, size: int) -> None:
    end = start + size
    while start < end:
        done = _moved_once(old, start, new, at, end - start)
        if not done:
            raise VerifyError("the input became shorter while it was copied; try again", reason="changed")
        start, at = start + done, at + done


def _moved_once(old: int, start: int, new: int, at: int, size: int) -> int:
    try:
        return os.copy_file_range(old, new, size, start, at)
    except OSError as error:
        if error.errno not in _NOT_BY_THE_KERNEL:
            raise
        return os.pwrite(new, os.pread(old, min(size, _LOOK_BYTES), start), at)


def _same(old: int, start: int, new: int, at: int, size: int) -> bool:
    before, after = bytearray(_LOOK_BYTES), bytearray(_LOOK_BYTES)
    for step in range(0, size, _LOOK_BYTES):
        length = min(_LOOK_BYTES, size - step)
        if os.preadv(old, [before], start + step) < length or os.preadv(new, [after], at + step) < length:
            return False
        if before[:length] != after[:length] if length < _LOOK_BYTES else before != after:
            return False
    return True
