"""Lay a mark on a picture, touching the mark's region only."""

from __future__ import annotations

from dataclasses import replace

import pyvips

from geniequeue.media import colour
from geniequeue.media.draw import Mark
from geniequeue.media.frames import frame_count, frame_height

_PROFILE = "icc-profile-data"
_STREAMS = "vips-sequential"
# A mark up to this size is converted once and kept; a larger one, such as a tile, as it is needed.
_KEPT_PIXELS = 2_000_000


def held_open(image: pyvips.Image) -> pyvips.Image:
    """Return `image` so that parts of it can be inserted into it.

    libvips closes what streams into an `insert` 1024 lines below the part, and here that is the picture itself.
    """
    image = image.copy()
    if image.get_typeof(_STREAMS) != 0:
        image.remove(_STREAMS)
    return image


def fitted(mark: Mark, image: pyvips.Image) -> Mark:
    """Express `mark` in the colours and depth of `image`, as `stamped` and `blended` need it."""
    converted = _in_colours_of(image, mark.image)
    small = converted.width * converted.height <= _KEPT_PIXELS
    return replace(mark, image=converted.copy_memory() if small else converted)


def stamped(image: pyvips.Image, mark: Mark) -> pyvips.Image:
    """Lay a fitted `mark` on every frame of `image`, which has colour channels of 8 or 16 bits."""
    image = held_open(image)
    region = image.crop(mark.left_px, 0, mark.image.width, image.height)
    height_px, frames = frame_height(image), frame_count(image)
    if frames == 1:
        region = region.crop(0, mark.top_px, region.width, mark.image.height)
        return image.insert(blended(region, mark.image), mark.left_px, mark.top_px)
    column = mark.image.embed(0, mark.top_px, mark.image.width, height_px).replicate(1, frames)
    return image.insert(blended(region, column), mark.left_px, 0)


def blended(region: pyvips.Image, mark: pyvips.Image) -> pyvips.Image:
    """Blend an RGBA mark of the same size, colours and depth over `region`."""
    if region.hasalpha():
        return region.composite2(mark, "over").cast(region.format)
    alpha = mark[3] if mark.format == "uchar" else (mark[3] / 257).rint().cast("uchar")
    return alpha.ifthenelse(mark[:3], region, blend=True)


def _deepened(rgb: pyvips.Image, deep: bool) -> pyvips.Image:
    return rgb.cast("ushort") * 257 if deep else rgb


def _in_colours_of(region: pyvips.Image, mark: pyvips.Image) -> pyvips.Image:
    """Express the mark's sRGB colours in the picture's profile and depth; alpha only changes its scale."""
    deep = region.format == "ushort"
    rgb, alpha = mark[:3].copy(interpretation="srgb"), mark[3]
    if colour.has_profile(region):
        connection = rgb.icc_import(input_profile="srgb", embedded=False).copy()
        connection.set_type(pyvips.GValue.blob_type, _PROFILE, region.get(_PROFILE))
        try:
            rgb = connection.icc_export(depth=16 if deep else 8)
        except pyvips.Error:  # a profile that cannot be used; viewers show such a picture as sRGB
            rgb = _deepened(rgb, deep)
    else:
        rgb = _deepened(rgb, deep)
    alpha = alpha.cast("ushort") * 257 if deep else alpha
    return rgb.bandjoin(alpha).cast(region.format).copy(interpretation="rgb16" if deep else "srgb")
