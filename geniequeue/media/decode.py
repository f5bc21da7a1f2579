"""Decode a picture: libvips where it can, ImageMagick under the project's policy for HEIC, BMP and PSD."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyvips

from geniequeue.errors import InputError, ToolError
from geniequeue.media import colour, heif, magick
from geniequeue.media.frames import each_frame, frame_count, frame_height
from geniequeue.media.probe import Header, probe
from geniequeue.sandbox.inside import Limits

Scale = Callable[[int, int], tuple[int, int]]

# The loaders that may run; every other one is blocked, whatever a file claims to be.
_LOADERS = {
    "jpeg": "VipsForeignLoadJpegFile",
    "png": "VipsForeignLoadPngFile",
    "webp": "VipsForeignLoadWebpFile",
    "gif": "VipsForeignLoadNsgifFile",
    "tiff": "VipsForeignLoadTiffFile",
    "avif": "VipsForeignLoadHeifFile",
}
# What reads our own output back while it is written.
_READ_BACK = ("VipsForeignLoadJpegSource", "VipsForeignLoadPngSource")
_BY_MAGICK = frozenset({"heic", "bmp", "psd"})
_ANIMATED = frozenset({"gif", "webp"})
# libheif turns the picture by itself; its Exif orientation, if there is one, says what has been done already.
_TURNED_BY_DECODER = frozenset({"avif", "heic"})


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        image: upright pixels, evaluated when saved; frames below each other with `page-height` set.
        format: of the file it came from: jpeg, png, webp, avif, gif, tiff, heic, bmp or psd.
        frames: frames that `image` holds, 1 for a still.
        facts: for the record: `format_in`, `width_in_px`, `height_in_px` (upright, one frame), `frames_in`, `bits_in`,
            `icc_in` (whether a usable profile was there).
        source: the file it came from.
    """

    image: pyvips.Image
    format: str
    frames: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    source: Path | None = None


def load(path: Path, limits: Limits, *, shrink_to: Scale | None = None, animated: bool = True) -> Picture:
    """Open a picture, upright and within `limits`.

    Args:
        shrink_to: takes the upright width and height in pixels of one frame and returns the size wanted; decoding a
            smaller picture is then much faster than decoding all and scaling it.
        animated: take every frame of a GIF or WebP; otherwise the first.

    Raises:
        InputError: not a picture that is accepted, or damaged.
        PolicyError: more pixels or frames than `limits` allow.
    """
    header = probe(path, limits)
    with blamed_on(path):
        image = _open(path, header, animated=animated)
        frames = frame_count(image)
        width_px, height_px = _upright_size(image, header)
        facts = {
            "format_in": header.format,
            "width_in_px": width_px,
            "height_in_px": height_px,
            "frames_in": header.frames,
            "bits_in": header.bits,
            "icc_in": colour.has_profile(image),
        }
        if shrink_to is None:
            image = _turned(image, header)
        else:
            image = _scaled(image, path, header, shrink_to(width_px, height_px), (width_px, height_px))
        return Picture(image, header.format, frames, facts, path)


@contextmanager
def blamed_on(path: Path | None) -> Iterator[None]:
    """Tell a damaged input from a fault of ours: when libvips fails, decode the input alone and see.

    Raises:
        InputError: the input cannot be decoded (reason `corrupt_file`).
        ToolError: it can, so something else failed.
    """
    try:
        yield
    except pyvips.Error as error:
        if path is not None and not decodes(path):
            raise corrupt() from error
        raise ToolError("the image library failed on a picture that is sound; try again", reason="image") from error


def corrupt() -> InputError:
    """The error of a damaged picture."""
    return InputError(
        "expected a complete picture, got one that is damaged or cut off; upload the file again", reason="corrupt_file"
    )


def decodes(path: Path) -> bool:
    """Whether every pixel of the first frame, or of all in a GIF or WebP, can be decoded."""
    try:
        header = probe(path, Limits())
        _open(path, header, animated=True).avg()
    except (pyvips.Error, InputError):
        return False
    return True


def _open(path: Path, header: Header, *, animated: bool) -> pyvips.Image:
    image = _loaded(path, header, animated=animated)
    if header.format not in ("avif", "heic"):
        return image
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        meant = heif.colour(data)
    if meant.profile is None and meant.transfer in (heif.PQ, heif.HLG):
        raise InputError(
            "expected a picture of standard dynamic range, got an HDR one (HDR10 or HLG); export it as SDR first",
            reason="hdr_not_supported",
        )
    return colour.tagged(image, meant.profile, display_p3=meant.primaries == heif.DISPLAY_P3)


def _loaded(path: Path, header: Header, *, animated: bool) -> pyvips.Image:
    if header.format in _BY_MAGICK:
        return magick.decode(path, header.format)
    options: dict[str, Any] = {"access": "sequential", "fail_on": "error"}
    if animated and header.format in _ANIMATED and header.frames > 1:
        options["n"] = -1
    loaders: dict[str, Callable[..., pyvips.Image]] = {
        "jpeg": pyvips.Image.jpegload,
        "png": pyvips.Image.pngload,
        "webp": pyvips.Image.webpload,
        "gif": pyvips.Image.gifload,
        "tiff": pyvips.Image.tiffload,
        "avif": pyvips.Image.heifload,
    }
    return loaders[header.format](str(path), **options)


def _orientation(image: pyvips.Image, header: Header) -> int:
    if header.format in _TURNED_BY_DECODER or image.get_typeof("orientation") == 0:
        return 1
    value = int(image.get("orientation"))
    return value if 1 <= value <= 8 else 1


def _upright_size(image: pyvips.Image, header: Header) -> tuple[int, int]:
    size = int(image.width), frame_height(image)
    return size if _orientation(image, header) < 5 else (size[1], size[0])


def _turned(image: pyvips.Image, header: Header) -> pyvips.Image:
    if _orientation(image, header) == 1:
        return image
    # Turning needs the rows in another order than the file has them, so the picture is held in memory. What ImageMagick
    # decoded is there already, and `copy_memory` of such a picture would not keep its bytes alive.
    return image.autorot() if header.format in _BY_MAGICK else image.copy_memory().autorot()


def _scaled(
    image: pyvips.Image, path: Path, header: Header, wanted: tuple[int, int], upright: tuple[int, int]
) -> pyvips.Image:
    if wanted == upright:
        return _turned(image, header)
    force = {"height": wanted[1], "size": "force"}
    if frame_count(image) == 1 and header.format not in _BY_MAGICK | _TURNED_BY_DECODER:
        return pyvips.Image.thumbnail(str(path), wanted[0], fail_on="error", **force)
    turn = header.format not in _TURNED_BY_DECODER
    return each_frame(image, lambda frame: frame.thumbnail_image(wanted[0], no_rotate=not turn, **force))


def _settle_libvips() -> None:
    """Block every loader but ours, and keep no result for later: a process does one job."""
    pyvips.cache_set_max(0)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in (*_LOADERS.values(), *_READ_BACK):
        pyvips.operation_block_set(name, False)


_settle_libvips()
