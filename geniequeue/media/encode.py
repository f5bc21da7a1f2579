"""Encode a picture, and read every file back before it counts.

Of the metadata only the colour profile is kept: a position in Exif, a thumbnail of what was cropped away or a serial
number must not travel on through a resize.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyvips

from geniequeue.errors import PolicyError
from geniequeue.media import colour, frames, verify
from geniequeue.media.decode import Picture, blamed_on
from geniequeue.sandbox.inside import Limits, Output

# AV1 effort 0 (fast) to 9 (small). An 8 MP photograph on 2 cores: 2 takes 2.1 s and 499 kB, 3 takes 2.4 s and 435 kB,
# 4 takes 10.4 s and 355 kB, with which 100 MP would not end within the operation's 120 s.
_AVIF_EFFORT = 3


@dataclass(frozen=True)
class Target:
    """A format that can be written.

    Attributes:
        extension, mime: of the file.
        max_side_px: what the format can express.
        alpha: whether it has transparency.
        options: for the libvips saver; `Q` is added where the format is lossy.
    """

    extension: str
    mime: str
    max_side_px: int
    alpha: bool
    lossy: bool
    options: Mapping[str, Any]


TARGETS: Mapping[str, Target] = {
    "jpeg": Target("jpg", "image/jpeg", 65_500, alpha=False, lossy=True, options={}),
    "png": Target("png", "image/png", 65_535, alpha=True, lossy=False, options={"compression": 6}),
    "webp": Target("webp", "image/webp", 16_383, alpha=True, lossy=True, options={}),
    "avif": Target(
        "avif", "image/avif", 16_384, alpha=True, lossy=True, options={"compression": "av1", "effort": _AVIF_EFFORT}
    ),
    "gif": Target("gif", "image/gif", 65_535, alpha=True, lossy=False, options={}),
    "tiff": Target(
        "tif", "image/tiff", 65_535, alpha=True, lossy=False, options={"compression": "lzw", "predictor": "horizontal"}
    ),
}
ANIMATED_FORMATS = frozenset({"gif", "webp"})


def same_or(picture: Picture) -> str:
    """Format to write when none is asked for: the input's, or where that cannot be written JPEG, or PNG with alpha."""
    if picture.format in TARGETS:
        return picture.format
    return "png" if picture.image.hasalpha() else "jpeg"


def check_size(width_px: int, height_px: int, frames: int, format: str, limits: Limits) -> None:
    """Refuse a result that the format cannot express or that is beyond the limits, before it is made.

    Raises:
        PolicyError: reason `too_large_for_format` or `too_many_pixels`.
    """
    longest = TARGETS[format].max_side_px
    if max(width_px, height_px) > longest:
        raise PolicyError(
            f"expected at most {longest} pixels a side for {format}, got {width_px} x {height_px}; "
            "choose a smaller size or another format",
            reason="too_large_for_format",
        )
    if width_px * height_px > limits.max_pixels or width_px * height_px * frames > limits.max_total_pixels:
        raise PolicyError(
            f"expected a result of at most {limits.max_pixels} pixels, got {width_px} x {height_px} in {frames} "
            "frames; choose a smaller size",
            reason="too_many_pixels",
        )


def save(
    picture: Picture | pyvips.Image,
    out_dir: Path,
    *,
    format: str,
    quality: int = 85,
    background: str = "#ffffff",
    limits: Limits | None = None,
    stem: str = "output",
    facts: Mapping[str, Any] | None = None,
    witness: verify.Witness | None = None,
) -> Output:
    """Write `out_dir/<stem>.<extension>`, verify it and describe it.

    Args:
        picture: a Picture, or an image alone (then a failure is not looked for in the input).
        format: jpeg, png, webp, avif, gif or tiff; an animation keeps its frames in gif and webp only.
        quality: 1 to 100; for jpeg, webp and avif.
        background: #rgb or #rrggbb behind what is transparent, where the format has no transparency.
        facts: further figures for the record.
        witness: looks at the file's picture as it is verified.

    Raises:
        InputError: the input turned out to be damaged.
        PolicyError: larger than the format can express.
        VerifyError: what was written is not what was promised.
    """
    if not isinstance(picture, Picture):
        picture = Picture(picture, format, frames.frame_count(picture))
    target = TARGETS[format]
    with blamed_on(picture.source):
        image = _prepared(picture.image, format, background)
        promised = verify.Promise.of(image, format)
        check_size(promised.width_px, promised.height_px, promised.frames, format, limits or Limits())
        path = out_dir / f"{stem}.{target.extension}"
        options = dict(target.options) | ({"Q": quality} if target.lossy else {})
        with verify.reading_along(path, promised, witness) as decoding:
            _saver(image, format)(str(path), keep=_kept(image, format), **options)
    verify.verify(path, promised, witness, decoding)
    return Output(
        name=path.name,
        mime=target.mime,
        width_px=promised.width_px,
        height_px=promised.height_px,
        duration_s=frames.duration_s(image),
        facts={
            **picture.facts,
            "format": format,
            "frames": promised.frames,
            "icc": colour.has_profile(image),
            **(facts or {}),
        },
    )


def _prepared(image: pyvips.Image, format: str, background: str) -> pyvips.Image:
    if format not in ANIMATED_FORMATS:
        image = _first_frame(image)
    image = colour.for_target(image, format)
    if image.hasalpha() and not TARGETS[format].alpha:
        image = colour.flattened(image, background)
    return image


def _first_frame(image: pyvips.Image) -> pyvips.Image:
    if frames.frame_count(image) == 1:
        return image
    first = image.crop(0, 0, image.width, frames.frame_height(image)).copy()
    first.remove("page-height")
    return first


def _kept(image: pyvips.Image, format: str) -> str:
    return "icc" if colour.has_profile(image) and format != "gif" else "none"


def _saver(image: pyvips.Image, format: str) -> Callable[..., None]:
    savers: dict[str, Callable[..., None]] = {
        "jpeg": image.jpegsave,
        "png": image.pngsave,
        "webp": image.webpsave,
        "avif": image.heifsave,
        "gif": image.gifsave,
        "tiff": image.tiffsave,
    }
    return savers[format]
