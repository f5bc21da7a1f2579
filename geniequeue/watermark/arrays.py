"""Types of the arrays, and the few filters that everything uses, typed."""

from __future__ import annotations

from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Field: TypeAlias = NDArray[np.float32]
Matrix: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]


def field(values: Any) -> Field:
    """Any array as float32, copied only when it is of another type."""
    return np.asarray(values, np.float32)


def gauss(values: Field, sigma: float) -> Field:
    """Gaussian blur with reflected borders; sigma in pixels."""
    return field(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))


def unit_variance(values: Field) -> Field:
    """Scaled to a standard deviation of 1."""
    return field(values / max(float(values.std()), 1e-9))


def shrunk_mask(flags: Flags, side_px: int) -> Flags:
    """Erode by a square; what lies outside the array counts as False."""
    kernel = np.ones((side_px, side_px), np.uint8)
    return np.asarray(cv2.erode(flags.astype(np.uint8), kernel, borderValue=0)) > 0


def locally_normalised(values: Field, sigma: float = 6.0, floor: float = 4.0) -> Field:
    """Local mean 0 and local variance 1; `floor` is added to the variance so that flat places stay quiet."""
    detail = values - gauss(values, sigma)
    return field(detail / np.sqrt(gauss(detail * detail, sigma) + floor))
