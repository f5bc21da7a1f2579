"""Put a copy's mark into a picture."""

from __future__ import annotations

import numpy as np

from geniequeue.watermark.arrays import Bytes, field
from geniequeue.watermark.mask import activity
from geniequeue.watermark.pattern import mark_pattern
from geniequeue.watermark.resample import cubic_rows

STRENGTH = 1.0
LEAST_SIDE_PX = 200
LEAST_ACTIVE_SHARE = 0.02
_STRIP_ROWS = 256

__all__ = ["STRENGTH", "CannotCarry", "embed", "mark_pattern"]


class CannotCarry(ValueError):
    """The picture is too small or too flat for a mark; the message says which."""


def check_can_carry(plane: Bytes, size: tuple[int, int]) -> None:
    """Refuse a picture of this width and height whose mark could not be read again, or would be seen.

    Raises:
        CannotCarry: shorter side of the plane below 200 pixels, or hardly any detail at all.
    """
    if min(plane.shape) < LEAST_SIDE_PX:
        wanted = f"at least {LEAST_SIDE_PX} pixels on the shorter side, and the longer at most five times that side"
        raise CannotCarry(f"expected {wanted}, got {size[0]}x{size[1]}")
    if float((activity(field(plane)) > 0.3).mean()) < LEAST_ACTIVE_SHARE:
        raise CannotCarry("expected a picture with some detail, got one that is nearly all flat colour")


def embed(rgb: Bytes, plane: Bytes, key: bytes, asset: str, trace_id: int, *, strength: float = STRENGTH) -> Bytes:
    """Return the picture with the copy's mark in its luma.

    Args:
        rgb: (H, W, 3) uint8 sRGB; stays as it is.
        plane: (h, w) uint8, `plane_of(luma_of(rgb))`.
        key: the system's secret, 32 bytes.
        asset: the asset's file id; with the key it decides the pattern.
        trace_id: 64 bits, random for each copy.
        strength: factor on the amplitude; 1 is the default and the strongest that is not seen.

    Raises:
        CannotCarry: too small or too flat; the message is a sentence for the user.
    """
    height, width = rgb.shape[:2]
    check_can_carry(plane, (width, height))
    mark = mark_pattern(plane, key, asset, trace_id, strength=strength)
    # Row after row in memory, or each strip would turn all of it around.
    wide = np.ascontiguousarray(field((cubic_rows(width, mark.shape[1]) @ mark.T).T))
    rows = cubic_rows(height, mark.shape[0])
    marked = np.empty_like(rgb)
    for top in range(0, height, _STRIP_ROWS):
        strip = slice(top, top + _STRIP_ROWS)
        light = field(rows[strip] @ wide)[..., None]
        marked[strip] = np.clip(np.rint(rgb[strip] + light), 0, 255)
    return marked
