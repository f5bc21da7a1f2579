"""Draw a visible mark for a frame of a given size: one drawing code for pictures and videos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyvips

from geniequeue.media import dress
from geniequeue.media.text import TextBox, draw_text

# Smallest font that is chosen freely, as a share of the frame's shorter side, and in pixels.
_READABLE_SHARE = 0.025
_READABLE_PX = 8.0
_ALIGN = {"tl": "low", "bl": "low", "tr": "high", "br": "high"}


@dataclass(frozen=True)
class Mark:
    """A drawn mark and its place.

    Attributes:
        image: RGBA, uchar, sRGB, straight alpha, opacity applied; never larger than the frame.
        left_px, top_px: its upper left corner in the frame.
    """

    image: pyvips.Image
    left_px: int
    top_px: int


def draw_mark(
    params: Mapping[str, Any], frame_width_px: int, frame_height_px: int, overlay: pyvips.Image | None = None
) -> Mark:
    """Draw the mark that `params` of `apply_watermark` describe.

    Args:
        params: validated, defaults filled in.
        overlay: the picture to put on, RGBA uchar sRGB; None for a text.

    Raises:
        InputError: the text has no visible character.
    """
    frame = frame_width_px, frame_height_px
    image = _overlay_mark(params, frame, overlay) if overlay is not None else _text_mark(params, frame)
    image = _faded(image, opacity(params["opacity"]))
    if params["position"] == "tile":
        return Mark(_tiled(image, frame, int(params["margin"])), 0, 0)
    left_px, top_px = _corner(params["position"], frame, (image.width, image.height), int(params["margin"]))
    return Mark(image, left_px, top_px)


def opacity(given: float) -> float:
    """Read an opacity: a share up to 1, a percentage above."""
    return given / 100 if given > 1 else given


def _text_mark(params: Mapping[str, Any], frame: tuple[int, int]) -> pyvips.Image:
    width_px, height_px = _room(frame, params)
    readable_px = max(_READABLE_PX, _READABLE_SHARE * min(frame))
    # Outline and shadow stand around the text; at most as wide as they are at the largest font that fits.
    edge = dress.edge_px(min(readable_px, height_px / 2))
    box = TextBox(
        width_px=max(1, round(params["scale"] * frame[0])),
        max_width_px=max(1, width_px - 2 * edge),
        max_height_px=max(1, height_px - 2 * edge),
        min_font_px=readable_px,
        align=_ALIGN.get(params["position"], "centre"),
    )
    glyphs = draw_text(params["watermark_text"], params["color"], box)
    return _within(dress.outlined(glyphs.image, glyphs.font_px, params["color"]), (width_px, height_px))


def _overlay_mark(params: Mapping[str, Any], frame: tuple[int, int], overlay: pyvips.Image) -> pyvips.Image:
    room = _room(frame, params)
    share = min(params["scale"] * frame[0] / overlay.width, room[0] / overlay.width, room[1] / overlay.height)
    return _scaled(overlay, share)


def _room(frame: tuple[int, int], params: Mapping[str, Any]) -> tuple[int, int]:
    """Size a mark may have: the frame without margins, but at least half of it, and half if it is to repeat."""
    margin = max(frame) if params["position"] == "tile" else int(params["margin"])
    width_px, height_px = (max(side - 2 * margin, side // 2, 1) for side in frame)
    return width_px, height_px


def _within(image: pyvips.Image, room: tuple[int, int]) -> pyvips.Image:
    share = min(room[0] / image.width, room[1] / image.height)
    return image if share >= 1 else _scaled(image, share)


def _scaled(image: pyvips.Image, share: float) -> pyvips.Image:
    width_px, height_px = max(1, int(image.width * share + 0.01)), max(1, int(image.height * share + 0.01))
    scaled = image.thumbnail_image(width_px, height=height_px, size="force", no_rotate=True)
    return scaled.cast("uchar").copy_memory()


def _faded(image: pyvips.Image, share: float) -> pyvips.Image:
    if share >= 1:
        return image
    alpha = (image[3] * share).rint().cast("uchar")
    return image[:3].bandjoin(alpha).copy(interpretation="srgb").copy_memory()


def _tiled(image: pyvips.Image, frame: tuple[int, int], margin_px: int) -> pyvips.Image:
    cell = dress.tile_cell(image, max(margin_px, image.height))
    across, down = -(-frame[0] // cell.width), -(-frame[1] // cell.height)
    return cell.replicate(across, down).crop(0, 0, *frame)


def _corner(position: str, frame: tuple[int, int], size: tuple[int, int], margin_px: int) -> tuple[int, int]:
    """Place the mark `margin_px` from the sides, or nearer where the frame has no room for that."""
    free = frame[0] - size[0], frame[1] - size[1]
    if position == "center":
        return free[0] // 2, free[1] // 2
    inset = min(margin_px, free[0] // 2), min(margin_px, free[1] // 2)
    left_px = inset[0] if position in ("tl", "bl") else free[0] - inset[0]
    top_px = inset[1] if position in ("tl", "tr") else free[1] - inset[1]
    return left_px, top_px
