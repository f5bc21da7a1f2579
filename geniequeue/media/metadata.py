"""The operation `strip_metadata`: what says who, where and with what is gone, the pixels are the same.

This is about pictures; videos and sound recordings go to `footage_strip`.

JPEG, PNG, WebP, GIF, AVIF and HEIC are cut, not decoded: what a decoder computes pixels from is copied bit by bit.
TIFF is decoded and written again without loss; BMP and PSD become PNG. An AVIF or HEIC of a form that is not understood
is decoded and written again as AVIF or, for HEIC, JPEG of high quality.

Two things are kept on purpose: the colour profile unless `keep_icc` is false, and the orientation of a picture that is
not stored upright, as the only tag of a new Exif block.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyvips

from geniequeue.errors import InputError, VerifyError
from geniequeue.media import (
    colour,
    decode,
    encode,
    footage,
    footage_strip,
    frames,
    gif_blocks,
    heif_items,
    jpeg_segments,
    pieces,
    png_chunks,
    webp_chunks,
)
from geniequeue.sandbox.inside import PICTURE_LIMIT_S, Output, Work

_QUALITY = 95
# Decodes every bit of the entropy coded data but computes only the mean of each block.
_JPEG_SHRINK = 8


@dataclass(frozen=True)
class Container:
    """A format that is stripped without decoding."""

    strip: Callable[[pieces.Data, bool], list[pieces.Piece]]
    extension: str
    mime: str


_CONTAINERS: Mapping[str, Container] = {
    "jpeg": Container(jpeg_segments.strip, "jpg", "image/jpeg"),
    "png": Container(png_chunks.strip, "png", "image/png"),
    "webp": Container(webp_chunks.strip, "webp", "image/webp"),
    "gif": Container(gif_blocks.strip, "gif", "image/gif"),
    "avif": Container(heif_items.strip, "avif", "image/avif"),
    "heic": Container(heif_items.strip, "heic", "image/heic"),
}
_ENCODED_AGAIN = {"tiff": "tiff", "bmp": "png", "psd": "png", "avif": "avif", "heic": "jpeg"}
_MAY_BE_UNUSUAL = frozenset({"avif", "heic"})


def strip_metadata(work: Work) -> list[Output]:
    """Remove all metadata but the colour profile (`keep_icc`) and the orientation's effect.

    Raises:
        InputError: not a picture that is accepted, or a damaged one.
        PolicyError: more pixels or frames than the limits allow.
        VerifyError: something is left, or the pixels are not the same.
    """
    path, keep_icc = work.inputs["input"], bool(work.params["keep_icc"])
    if footage.is_footage(path):
        return footage_strip.strip_footage(work)
    work.end_after(PICTURE_LIMIT_S)
    picture = decode.load(path, work.limits)
    work.report(0.1)
    container = _CONTAINERS.get(picture.format)
    output = _cut(work, picture, container, keep_icc) if container else None
    output = output or _encoded_again(work, picture, keep_icc)
    work.report(1.0)
    return [output]


def _cut(work: Work, picture: decode.Picture, container: Container, keep_icc: bool) -> Output | None:
    """Copy what stays; None for an AVIF or HEIC that cannot be cut."""
    made = work.out_dir / f"output.{container.extension}"
    try:
        before = _write(work.inputs["input"], made, container, keep_icc)
        work.report(0.5)
        _prove(made, container, keep_icc, before)
        _prove_decodes(made, picture.format, work)
    except (pieces.Broken, struct.error, IndexError, pyvips.Error, InputError) as error:
        if picture.format in _MAY_BE_UNUSUAL:
            return None
        raise decode.corrupt() from error
    return Output(
        name=made.name,
        mime=container.mime,
        width_px=picture.facts["width_in_px"],
        height_px=picture.facts["height_in_px"],
        duration_s=frames.duration_s(picture.image),
        facts={
            **picture.facts,
            "format": picture.format,
            "frames": picture.frames,
            "icc": keep_icc and picture.facts["icc_in"],
            "lossless": True,
        },
    )


def _write(source: Path, made: Path, container: Container, keep_icc: bool) -> str:
    """Write what stays of `source` and return the digest of the picture in it."""
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        parts = container.strip(data, keep_icc)
        with made.open("wb") as out:
            for part in parts:
                out.writelines(part.blocks(data))
        return pieces.digest(data, parts)


def _prove(made: Path, container: Container, keep_icc: bool, before: str) -> None:
    """Strip the output again: nothing may be left to take away, and the picture's bytes must be the same."""
    with made.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            parts = container.strip(data, keep_icc)
        except (pieces.Broken, struct.error, IndexError) as error:
            raise VerifyError("what was made cannot be read back; try again") from error
        if not pieces.same(data, parts):
            raise VerifyError("metadata is left in what was made; try again", reason="metadata_left")
        if pieces.digest(data, parts) != before:
            raise VerifyError("the pixels of what was made are not those of the input; try again", reason="changed")


def _prove_decodes(made: Path, format: str, work: Work) -> None:
    """Decode what was made; its picture is the input's, so a failure is a damaged input."""
    if format == "jpeg":
        size = pyvips.Image.jpegload(str(made))
        shrink = _JPEG_SHRINK if min(size.width, size.height) >= _JPEG_SHRINK else 1
        image = pyvips.Image.jpegload(str(made), shrink=shrink, access="sequential", fail_on="error")
    else:
        image = decode.load(made, work.limits).image
    image.avg()


def _encoded_again(work: Work, picture: decode.Picture, keep_icc: bool) -> Output:
    image = picture.image
    if not keep_icc and image.get_typeof("icc-profile-data") != 0:
        image = colour.for_target(image, _ENCODED_AGAIN[picture.format]).copy()
        image.remove("icc-profile-data")
    wanted = _ENCODED_AGAIN[picture.format]
    plain = decode.Picture(image, picture.format, picture.frames, picture.facts, picture.source)
    facts = {"lossless": wanted in ("tiff", "png")}
    return encode.save(plain, work.out_dir, format=wanted, quality=_QUALITY, limits=work.limits, facts=facts)
