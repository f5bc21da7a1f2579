"""Read an output back before it counts."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pyvips

from geniequeue.errors import InputError, PolicyError, VerifyError
from geniequeue.media import frames, jpeg_segments, webp_chunks
from geniequeue.media.follow import Follower
from geniequeue.media.pieces import Broken, Data, Piece
from geniequeue.media.probe import probe
from geniequeue.sandbox.inside import Limits

_NO_LIMITS = Limits(max_pixels=1 << 40, max_frames=1 << 30, max_total_pixels=1 << 50)
# A scale of 1/8 reads the entropy coded data of every complete block row, in which damage shows, but computes only the
# mean of each block: about half the time. Whether the end is there, the probe sees.
_JPEG_SHRINK = 8
_SHRINK_FROM_PIXELS = 250_000
_ALONG_FROM_PIXELS = 1_000_000  # below, a second thread costs more than it saves
_MERGING = frozenset({"gif", "webp"})
# Longest run of zero bytes that cannot be coded pixels. The standard Huffman tables have no code of zeros only for an
# empty luma block; WebP codes a flat picture in few bytes, but never in a page of zeros. A profile may hold such runs.
_ZERO_RUNS = {"jpeg": 64, "webp": 4096}
_STRIPPERS: Mapping[str, Callable[[Data, bool], list[Piece]]] = {
    "jpeg": jpeg_segments.strip,
    "webp": webp_chunks.strip,
}


@dataclass(frozen=True)
class Promise:
    """What a file must turn out to be."""

    format: str
    width_px: int
    height_px: int
    frames: int = 1

    @classmethod
    def of(cls, image: pyvips.Image, format: str) -> Promise:
        """Promise `image` as it is, in `format`."""
        return cls(format, int(image.width), frames.frame_height(image), frames.frame_count(image))


class Witness(Protocol):
    """Look at the picture while it is read back, so that nothing is decoded twice."""

    def reduction(self) -> int:
        """How many times smaller the picture may at most be decoded: 1, 2, 4 or 8."""

    def reading(self, image: pyvips.Image, reduction: int) -> pyvips.Image:
        """Return the picture to read instead; it was decoded `reduction` times smaller than the file."""

    def check(self) -> None:
        """Raise VerifyError if what was seen is not what was promised."""


@contextmanager
def reading_along(path: Path, promise: Promise, witness: Witness | None = None) -> Iterator[Future[None] | None]:
    """Decode the file on another core while the body writes it, where its decoder needs no more than what comes next.

    Yields: what `verify` takes for the decoding; None where that has to wait until the file is complete.
    """
    if promise.format not in _STREAMING or promise.width_px * promise.height_px < _ALONG_FROM_PIXELS:
        yield None
        return
    path.unlink(missing_ok=True)  # what stood there before must not be taken for the beginning
    written = threading.Event()
    follower = Follower(path, written)
    with closing(follower), ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(_decode_along, follower, promise, witness)
        finally:
            written.set()


def verify(path: Path, promise: Promise, witness: Witness | None = None, decoding: Future[None] | None = None) -> None:
    """Decode the file completely and compare it with the promise; let `witness` see it.

    Args:
        decoding: of this file by `reading_along`, with the same witness; None to decode now.

    Raises:
        VerifyError: it does not decode, or is not what was promised.
    """
    try:
        header = probe(path, _NO_LIMITS)
    except (InputError, PolicyError, OSError) as error:
        raise VerifyError(f"the {promise.format} that was made cannot be read back; try again") from error
    got = Promise(header.format, header.width_px, header.height_px, header.frames)
    # A GIF or WebP encoder may merge frames that are equal; the time they show is added up.
    merged = got.format in _MERGING and 1 <= got.frames < promise.frames
    if replace(got, frames=promise.frames if merged else got.frames) != promise:
        raise VerifyError(f"expected to have made {promise}, got {got}; try again")
    if _has_hole(path, header.format):
        raise VerifyError(f"the {promise.format} that was made has a hole in it; try again")
    try:
        _decode(_LOADERS[got.format], str(path), got, witness) if decoding is None else decoding.result()
    except pyvips.Error as error:
        raise VerifyError(f"the {promise.format} that was made does not decode; try again") from error
    if witness is not None:
        witness.check()


def _has_hole(path: Path, format: str) -> bool:
    """Whether a stretch of zeros stands where coded pixels should, which these two decoders take for a picture."""
    run = _ZERO_RUNS.get(format)
    if run is None:
        return False
    zeros = bytes(run)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data.find(zeros) < 0:
            return False
        at = 0
        for start, end in _profiles(data, format):
            if data.find(zeros, at, start) >= 0:
                return True
            at = end
        return data.find(zeros, at) >= 0


def _profiles(data: Data, format: str) -> list[tuple[int, int]]:
    """Return start and end of each piece of a colour profile, none where the file is too damaged to tell."""
    try:
        kept = _STRIPPERS[format](data, True)
    except Broken:
        return []
    return [(piece.start, piece.end) for piece in kept if piece.new is None and not piece.picture]


def _decode_along(follower: Follower, promise: Promise, witness: Witness | None) -> None:
    _decode(_STREAMING[promise.format], follower.source(), promise, witness)


def _decode(
    loader: Callable[..., pyvips.Image], data: str | pyvips.Source, promise: Promise, witness: Witness | None
) -> None:
    """Decode every pixel and let `witness` see them."""
    options = dict(_STRICT)
    reduction = 1
    if promise.frames > 1:
        options["n"] = -1
    if promise.format == "jpeg" and promise.width_px * promise.height_px > _SHRINK_FROM_PIXELS:
        reduction = options["shrink"] = min(_JPEG_SHRINK, witness.reduction()) if witness else _JPEG_SHRINK
    image = loader(data, **options)
    (witness.reading(image, reduction) if witness else image).avg()


_STRICT: Mapping[str, Any] = {"access": "sequential", "fail_on": "warning"}
_LOADERS: Mapping[str, Callable[..., pyvips.Image]] = {
    "jpeg": pyvips.Image.jpegload,
    "png": pyvips.Image.pngload,
    "webp": pyvips.Image.webpload,
    "avif": pyvips.Image.heifload,
    "gif": pyvips.Image.gifload,
    "tiff": pyvips.Image.tiffload,
}
_STREAMING: Mapping[str, Callable[..., pyvips.Image]] = {
    "jpeg": pyvips.Image.jpegload_source,
    "png": pyvips.Image.pngload_source,
}
