"""The operation `apply_watermark`: on pictures here, on videos by `footage_mark` with the same drawn mark."""

from __future__ import annotations

from dataclasses import replace

import pyvips

from geniequeue.media import colour, footage, footage_mark
from geniequeue.media.decode import Picture, load
from geniequeue.media.draw import draw_mark
from geniequeue.media.encode import ANIMATED_FORMATS, TARGETS, same_or, save
from geniequeue.media.frames import frame_height
from geniequeue.media.proof import Proof
from geniequeue.media.stamp import fitted, stamped
from geniequeue.sandbox.inside import PICTURE_LIMIT_S, Output, Work

__all__ = ["apply_watermark", "draw_mark"]

_QUALITY = 90
_BACKGROUND = "#ffffff"


def apply_watermark(work: Work) -> list[Output]:
    """Put a text or an overlay picture on the input, on each frame of an animation, and prove that it is there.

    Raises:
        InputError: an input is no picture that is accepted, or the text has no visible character.
        VerifyError: the mark cannot be found in what was written.
    """
    if footage.is_footage(work.inputs["input"]):
        return footage_mark.mark_footage(work, _overlay(work))
    work.end_after(PICTURE_LIMIT_S)
    wanted = work.params["format"]
    picture = load(work.inputs["input"], work.limits, animated=wanted == "auto" or wanted in ANIMATED_FORMATS)
    wanted = same_or(picture) if wanted == "auto" else wanted
    image = canvas(picture, wanted)
    mark = fitted(draw_mark(work.params, image.width, frame_height(image), _overlay(work)), image)
    work.report(0.1)
    proof = Proof(mark)
    marked = replace(picture, image=stamped(proof.writing(image), mark))
    output = save(marked, work.out_dir, format=wanted, quality=_QUALITY, limits=work.limits, witness=proof)
    work.report(1.0)
    return [output]


def canvas(picture: Picture, wanted: str, background: str = _BACKGROUND) -> pyvips.Image:
    """Bring the picture to what the target carries, in colour: a mark on a grey picture is not grey."""
    image = colour.for_target(picture.image, wanted)
    if image.hasalpha() and not TARGETS[wanted].alpha:
        image = colour.flattened(image, background)
    return _in_colour(image)


def _in_colour(image: pyvips.Image) -> pyvips.Image:
    if image.bands > 2:
        return image
    deep = image.format == "ushort"
    if colour.has_profile(image):
        image = image.icc_transform("srgb", embedded=True, intent="relative", depth=16 if deep else 8).copy()
        image.remove("icc-profile-data")
    return image.colourspace("rgb16" if deep else "srgb")


def _overlay(work: Work) -> pyvips.Image | None:
    """Decode the overlay's first frame to RGBA, uchar, sRGB."""
    path = work.inputs.get("watermark_file_id")
    if path is None:
        return None
    image = _in_colour(colour.for_target(load(path, work.limits, animated=False).image, "webp"))
    if colour.has_profile(image):
        image = image.icc_transform("srgb", embedded=True, intent="relative", depth=8)
    image = image if image.hasalpha() else image.bandjoin(255)
    return image.cast("uchar").copy(interpretation="srgb")
