"""Read an output back before it counts."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyvips

from geniequeue.errors import InputError, PolicyError, VerifyError
from geniequeue.media import frames
from geniequeue.media.probe import Header, probe
from geniequeue.sandbox.inside import Limits

_NO_LIMITS = Limits(max_pixels=1 << 40, max_frames=1 << 30, max_total_pixels=1 << 50)
# A scale of 1/8 reads the entropy coded data of every complete block row, in which damage shows, but computes only the
# mean of each block: about half the time. Whether the end is there, the probe sees.
_JPEG_SHRINK = 8
_SHRINK_FROM_PIXELS = 250_000
_MERGING = frozenset({"gif", "webp"})
# Longest run of zero bytes that cannot be coded pixels. The standard Huffman tables have no code of zeros only for an
# empty luma block; WebP codes a flat picture in few bytes, but never in a page of zeros.
_ZERO_RUNS = {"jpeg": 64, "webp": 4096}


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


def verify(path: Path, promise: Promise) -> None:
    """Decode the file completely and compare it with the promise.

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
        _decode_all(path, header)
    except pyvips.Error as error:
        raise VerifyError(f"the {promise.format} that was made does not decode; try again") from error


def _has_hole(path: Path, format: str) -> bool:
    """Whether a stretch of zeros stands where coded pixels should, which these two decoders take for a picture."""
    run = _ZERO_RUNS.get(format)
    if run is None:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(bytes(run)) >= 0


def _decode_all(path: Path, header: Header) -> None:
    options = dict(_STRICT)
    if header.frames > 1:
        options["n"] = -1
    if header.format == "jpeg" and header.width_px * header.height_px > _SHRINK_FROM_PIXELS:
        options["shrink"] = _JPEG_SHRINK
    image = _LOADERS[header.format](str(path), **options)
    image.avg()


_STRICT: Mapping[str, Any] = {"access": "sequential", "fail_on": "warning"}
_LOADERS: Mapping[str, Callable[..., pyvips.Image]] = {
    "jpeg": pyvips.Image.jpegload,
    "png": pyvips.Image.pngload,
    "webp": pyvips.Image.webpload,
    "avif": pyvips.Image.heifload,
    "gif": pyvips.Image.gifload,
    "tiff": pyvips.Image.tiffload,
}
