"""What the eye forgives: the amplitude of a mark that is just not noticed, place by place."""

from __future__ import annotations

import cv2
import numpy as np

from geniequeue.watermark.arrays import Field, field, gauss

FLOOR, SLOPE = 0.55, 0.22
LEAST, MOST = 0.7, 3.6
# In smooth dark places a mark of the usual least amplitude showed as faint mottling: less of it below a luma of 140.
DARK, DARK_SHARE, BRIGHT = 50.0, 0.4, 140.0


def activity(plane: Field) -> Field:
    """Local standard deviation of the detail below about 2 pixels, its minimum over 5x5 so that edges do not smear."""
    detail = plane - gauss(plane, 2)
    deviation = np.sqrt(np.maximum(gauss(detail * detail, 2), 0))
    return field(cv2.erode(deviation, np.ones((5, 5), np.uint8)))


def tolerance(plane: Field) -> Field:
    """Relative amplitude for (h, w) float32 luma 0 to 255: grows with local activity (contrast masking)."""
    light = np.clip((gauss(plane, 6) - DARK) / (BRIGHT - DARK), 0, 1)
    least = LEAST * (DARK_SHARE + (1 - DARK_SHARE) * light)
    below = FLOOR * least / LEAST + SLOPE * activity(plane)
    return gauss(field(np.clip(below, least, MOST)), 1.5)
