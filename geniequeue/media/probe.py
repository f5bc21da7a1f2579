"""Read what a picture claims to be and refuse it, before any of it is decoded, if that is too much."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from geniequeue.errors import InputError, PolicyError
from geniequeue.media import headers, heif, sniff, tiff
from geniequeue.sandbox.inside import Limits

_READERS = {**headers.READERS, "avif": heif.geometry, "heic": heif.geometry}


@dataclass(frozen=True)
class Header:
    """What the header of a picture says.

    Attributes:
        format: one of `sniff.IMAGE_FORMATS`.
        width_px, height_px: of one frame, as stored (not turned).
        frames: 1 for a still; counting stops just above the limit.
        bits: per channel.
    """

    format: str
    width_px: int
    height_px: int
    frames: int
    bits: int


def probe(path: Path, limits: Limits) -> Header:
    """Read the header and check it against `limits`.

    Raises:
        InputError: not a picture that is accepted, or the header is damaged.
        PolicyError: reason `too_many_pixels` or `too_many_frames`.
    """
    format = sniff.image_format(path)
    try:
        geometry = _geometry(path, format, limits.max_frames)
    except (headers.BrokenHeader, struct.error, IndexError) as error:
        raise _damaged() from error
    if geometry.width_px <= 0 or geometry.height_px <= 0:
        raise _damaged()
    header = Header(format, geometry.width_px, geometry.height_px, geometry.frames, geometry.bits)
    check(header, limits)
    return header


def check(header: Header, limits: Limits) -> None:
    """Refuse what is beyond the limits.

    Raises:
        PolicyError: reason `too_many_pixels` or `too_many_frames`.
    """
    pixels = header.width_px * header.height_px
    if header.frames > limits.max_frames:
        raise PolicyError(
            f"expected an animation of at most {limits.max_frames} frames, got more; shorten it",
            reason="too_many_frames",
        )
    if pixels > limits.max_pixels or pixels * header.frames > limits.max_total_pixels:
        raise PolicyError(
            f"expected at most {limits.max_pixels // 1_000_000} megapixels, got {header.width_px} x "
            f"{header.height_px} in {header.frames} frame(s); send a smaller picture",
            reason="too_many_pixels",
        )


def _geometry(path: Path, format: str, most: int) -> headers.Geometry:
    if format == "tiff":
        tags = tiff.first_directory(path)
        return headers.Geometry(tags.get(tiff.WIDTH, 0), tags.get(tiff.HEIGHT, 0), bits=tags.get(tiff.BITS, 0) or 8)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _READERS[format](data, most)


def _damaged() -> InputError:
    return InputError(
        "expected a complete picture, got one whose beginning is damaged or whose end is missing; upload it again",
        reason="corrupt_file",
    )
