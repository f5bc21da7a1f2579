"""Frames of an animation: libvips holds them below each other, `page-height` pixels each."""

from __future__ import annotations

from collections.abc import Callable

import pyvips


def frame_count(image: pyvips.Image) -> int:
    """Count the frames that `image` holds, 1 for a still."""
    return int(image.height // frame_height(image))


def frame_height(image: pyvips.Image) -> int:
    """Height of one frame in pixels."""
    if image.get_typeof("page-height") == 0:
        return int(image.height)
    height_px = int(image.get("page-height"))
    return height_px if 0 < height_px < image.height and image.height % height_px == 0 else int(image.height)


def each_frame(image: pyvips.Image, change: Callable[[pyvips.Image], pyvips.Image]) -> pyvips.Image:
    """Apply `change` to every frame alone, so that no pixel bleeds from one into the next.

    Args:
        change: takes one frame and returns one; all results must have the same size.
    """
    count = frame_count(image)
    if count == 1:
        return change(image)
    height_px = frame_height(image)
    frames = [change(image.crop(0, top, image.width, height_px)) for top in range(0, image.height, height_px)]
    joined = pyvips.Image.arrayjoin(frames, across=1).copy()
    joined.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    return joined


def duration_s(image: pyvips.Image) -> float | None:
    """Sum of the frame delays in seconds; None for a still."""
    if frame_count(image) == 1 or image.get_typeof("delay") == 0:
        return None
    return float(sum(image.get("delay")[: frame_count(image)])) / 1000
