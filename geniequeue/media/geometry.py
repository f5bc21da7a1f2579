"""Sizes and boxes: where the pixels of a resize or a crop come from; arithmetic, but for `centred` and `padded`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyvips

from geniequeue.media import colour
from geniequeue.media.decode import Picture
from geniequeue.media.frames import each_frame


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, from the top left corner."""

    x: int
    y: int
    width_px: int
    height_px: int

    def inside(self, width_px: int, height_px: int) -> bool:
        """Whether the box is not empty and lies wholly inside a picture of this size."""
        return (
            min(self.x, self.y) >= 0
            and min(self.width_px, self.height_px) > 0
            and self.x + self.width_px <= width_px
            and self.y + self.height_px <= height_px
        )

    def __str__(self) -> str:
        return f"{self.width_px} x {self.height_px} at {self.x}, {self.y}"


@dataclass(frozen=True)
class ResizePlan:
    """What a resize makes of a picture.

    - `inside`: as large as fits into width x height, aspect kept.
    - `contain`: the same, then padded to exactly width x height: transparent where the format can, else `background`.
    - `cover`: fills width x height, what hangs over is cut off on both sides alike.
    - `fill`: exactly width x height, aspect given up.

    With one side given the other follows from the aspect, whatever `fit` says. Without `upscale` no pixel is ever
    enlarged: `inside` and `contain` leave a small picture as large as it is (`contain` pads it), `cover` gives the
    largest box of the asked aspect that needs no enlargement, `fill` caps each side at the picture's own.
    """

    width_px: int | None
    height_px: int | None
    fit: str = "inside"
    upscale: bool = False

    def scaled(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Size to which a picture of `width_px` x `height_px` is scaled, before it is cut or padded."""
        across, down = self._factors(width_px, height_px)
        if self.fit == "fill" and self.width_px and self.height_px:
            if not self.upscale:
                across, down = min(across, 1.0), min(down, 1.0)
            return _at_least_one(width_px * across), _at_least_one(height_px * down)
        factor = max(across, down) if self.fit == "cover" else min(across, down)
        if not self.upscale:
            factor = min(factor, 1.0)
        return _at_least_one(width_px * factor), _at_least_one(height_px * factor)

    def final(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Size of the result for a picture of `width_px` x `height_px`."""
        scaled = self.scaled(width_px, height_px)
        if not (self.width_px and self.height_px) or self.fit in ("inside", "fill"):
            return scaled
        if self.fit == "contain":
            return self.width_px, self.height_px
        share = min(1.0, scaled[0] / self.width_px, scaled[1] / self.height_px)
        return (
            min(scaled[0], _at_least_one(self.width_px * share)),
            min(scaled[1], _at_least_one(self.height_px * share)),
        )

    def _factors(self, width_px: int, height_px: int) -> tuple[float, float]:
        across = self.width_px / width_px if self.width_px else None
        down = self.height_px / height_px if self.height_px else None
        return across or down or 1.0, down or across or 1.0


def crop_box(width_px: int, height_px: int, params: Mapping[str, Any]) -> Box:
    """Box that crop_image's `params` ask for in a picture of this size; it may lie outside."""
    if params.get("aspect"):
        wide, high = (int(part) for part in str(params["aspect"]).split(":"))
        factor = min(width_px / wide, height_px / high)
        size = min(width_px, _at_least_one(wide * factor)), min(height_px, _at_least_one(high * factor))
    else:
        size = int(params["width"]), int(params["height"])
    if params.get("x") is not None and params.get("y") is not None:
        return Box(int(params["x"]), int(params["y"]), *size)
    gravity = str(params.get("gravity") or "center")
    x = _placed(width_px - size[0], gravity, "west", "east")
    y = _placed(height_px - size[1], gravity, "north", "south")
    return Box(x, y, *size)


def centred(image: pyvips.Image, width_px: int, height_px: int) -> pyvips.Image:
    """Cut `width_px` x `height_px` out of the middle."""
    if (image.width, image.height) == (width_px, height_px):
        return image
    return image.crop((image.width - width_px) // 2, (image.height - height_px) // 2, width_px, height_px)


def padded(picture: Picture, width_px: int, height_px: int, background: str | None) -> pyvips.Image:
    """Set the picture in the middle of a canvas of `background`, or of nothing (transparent) if that is None."""
    image = colour.eight_or_sixteen(picture.image)
    if background is None:
        image = image if image.hasalpha() else image.addalpha()
        ink = [0.0] * image.bands
    else:
        ink = [*colour.ink(image, background), colour.full_scale(image)][: image.bands]

    def embed(frame: pyvips.Image) -> pyvips.Image:
        left, top = (width_px - frame.width) // 2, (height_px - frame.height) // 2
        return frame.embed(left, top, width_px, height_px, extend="background", background=ink)

    return each_frame(image, embed)


def _placed(room_px: int, gravity: str, start: str, end: str) -> int:
    if start in gravity:
        return 0
    return room_px if end in gravity else room_px // 2


def _at_least_one(length_px: float) -> int:
    return max(1, round(length_px))
