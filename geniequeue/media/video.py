"""The operations `resize_video` and `crop_video`.

Each is called inside the sandbox as `function(work)`: the input is probed, a filter graph planned, ffmpeg run once,
and what it made read back. No frame goes through Python.
"""

from __future__ import annotations

from geniequeue.errors import InputError
from geniequeue.media import filters, geometry, packets, remake
from geniequeue.media.clip import Clip, probe
from geniequeue.media.progress import Progress
from geniequeue.sandbox.inside import Output, Work

# Shorter side of what these names stand for, so a portrait video becomes 720 x 1280.
RESOLUTIONS = {"480p": 480, "720p": 720, "1080p": 1080}


def resize_video(work: Work) -> list[Output]:
    """Scale the video to `width` and/or `height` in the way `fit` says, or to a `resolution`."""
    clip, progress = probe(work.inputs["input"], work.limits), Progress(work)
    progress.tell(remake.PROBED)
    plan = _resize_plan(work, clip)
    scaled, final = plan.scaled(*clip.look.shown), plan.final(*clip.look.shown)
    packets.check_pixels(*final, work.limits)
    size = filters.even(*final)
    if plan.fit == "contain" and plan.width_px and plan.height_px:
        inner = filters.even(*scaled)
        chain = filters.chain(filters.prepared(clip, inner), filters.padded(*size), "format=yuv420p")
    elif scaled != final:
        outer = max(scaled[0], size[0]), max(scaled[1], size[1])
        packets.check_pixels(*outer, work.limits)
        left, top = (outer[0] - size[0]) // 4 * 2, (outer[1] - size[1]) // 4 * 2
        chain = filters.chain(filters.prepared(clip, outer), filters.cut(left, top, *size), "format=yuv420p")
    else:
        chain = filters.chain(filters.prepared(clip, size), "format=yuv420p")
    return remake.remake(work, remake.plan_of(clip, chain, size), [clip.source], progress, facts=clip.facts)


def crop_video(work: Work) -> list[Output]:
    """Cut a box out of the video, given by `x, y`, by `gravity` or by `aspect`.

    Raises:
        InputError: the box does not lie inside the video (reason `crop_outside`).
    """
    clip, progress = probe(work.inputs["input"], work.limits), Progress(work)
    progress.tell(remake.PROBED)
    shown = clip.look.shown
    box = geometry.crop_box(*shown, work.params)
    if not box.inside(*shown):
        raise InputError(
            f"expected a box inside the {shown[0]} x {shown[1]} video, got {box}; give smaller or other coordinates",
            reason="crop_outside",
        )
    size = filters.even(box.width_px, box.height_px)
    cut = filters.cut(min(box.x, shown[0] - size[0]), min(box.y, shown[1] - size[1]), *size)
    chain = filters.chain(filters.prepared(clip), cut, "format=yuv420p")
    return remake.remake(work, remake.plan_of(clip, chain, size), [clip.source], progress, facts=clip.facts)


def _resize_plan(work: Work, clip: Clip) -> geometry.ResizePlan:
    params = work.params
    if params.get("resolution"):
        short = RESOLUTIONS[params["resolution"]]
        upright = clip.look.shown[0] < clip.look.shown[1]
        width_px, height_px = (short, None) if upright else (None, short)
    else:
        width_px, height_px = params.get("width"), params.get("height")
    return geometry.ResizePlan(width_px, height_px, fit=params["fit"], upscale=params["upscale"])
