"""The image operations `convert_image`, `resize_image` and `crop_image`.

Each is called inside the sandbox as `function(work)`. Pixels flow from `load` to `save` lazily through libvips: nothing
is decoded before `save` pulls, and never a whole picture at once where it can be avoided.
"""

from __future__ import annotations

from dataclasses import replace

from geniequeue.errors import InputError
from geniequeue.media import geometry
from geniequeue.media.decode import Picture, load
from geniequeue.media.encode import ANIMATED_FORMATS, TARGETS, check_size, same_or, save
from geniequeue.media.frames import each_frame
from geniequeue.sandbox.inside import Output, Work

__all__ = ["Picture", "convert_image", "crop_image", "load", "resize_image", "save"]


def convert_image(work: Work) -> list[Output]:
    """Write the picture in another format; size and colours stay as they are."""
    wanted = str(work.params["format"])
    picture = load(work.inputs["input"], work.limits, animated=wanted in ANIMATED_FORMATS)
    return _finish(work, picture, wanted)


def resize_image(work: Work) -> list[Output]:
    """Scale the picture to `width` and/or `height` in the way `fit` says (see `geometry.plan_resize`)."""
    params = work.params
    plan = geometry.ResizePlan(
        width_px=params.get("width"),
        height_px=params.get("height"),
        fit=params["fit"],
        upscale=params["upscale"],
    )
    wanted = params.get("format")
    path = work.inputs["input"]
    picture = load(path, work.limits, shrink_to=plan.scaled, animated=wanted is None or wanted in ANIMATED_FORMATS)
    wanted = wanted or same_or(picture)
    width_px, height_px = plan.final(picture.facts["width_in_px"], picture.facts["height_in_px"])
    check_size(width_px, height_px, picture.frames, wanted, work.limits)
    if plan.fit == "contain":
        canvas = None if TARGETS[wanted].alpha else str(params["background"])
        changed = geometry.padded(picture, width_px, height_px, canvas)
    else:
        changed = each_frame(picture.image, lambda frame: geometry.centred(frame, width_px, height_px))
    return _finish(work, replace(picture, image=changed), wanted)


def crop_image(work: Work) -> list[Output]:
    """Cut a box out of the picture, given by `x, y`, by `gravity` or by `aspect`.

    Raises:
        InputError: the box does not lie inside the picture (reason `crop_outside`).
    """
    picture = load(work.inputs["input"], work.limits)
    width_in_px, height_in_px = picture.facts["width_in_px"], picture.facts["height_in_px"]
    box = geometry.crop_box(width_in_px, height_in_px, work.params)
    if not box.inside(width_in_px, height_in_px):
        raise InputError(
            f"expected a box inside the {width_in_px} x {height_in_px} picture, got {box}; "
            "give smaller or other coordinates",
            reason="crop_outside",
        )
    changed = each_frame(picture.image, lambda frame: frame.crop(box.x, box.y, box.width_px, box.height_px))
    return _finish(work, replace(picture, image=changed), same_or(picture))


def _finish(work: Work, picture: Picture, wanted: str) -> list[Output]:
    work.report(0.1)
    output = save(
        picture,
        work.out_dir,
        format=wanted,
        quality=int(work.params.get("quality", 85)),
        background=str(work.params.get("background", "#ffffff")),
        limits=work.limits,
    )
    work.report(1.0)
    return [output]
