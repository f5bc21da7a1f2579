"""The plane: what is kept of an original, enough to register a leak to it and to subtract it."""

from __future__ import annotations

import cv2
import numpy as np

from geniequeue.watermark.arrays import Bytes

LONGEST_SIDE_PX = 1024


def luma_of(rgb: Bytes) -> Bytes:
    """Grey of (H, W, 3) uint8 sRGB by ITU-R BT.601, the luma of JPEG and of most video."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def plane_of(luma: Bytes) -> Bytes:
    """Shrink (H, W) uint8 to at most 1024 pixels on its longest side by the mean of areas; a smaller one stays."""
    height, width = luma.shape
    factor = LONGEST_SIDE_PX / max(height, width)
    if factor >= 1:
        return luma
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8)
