"""A picture that shows a person how a leak lies on an asset: both, where they overlap, and what is left of both."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyvips
from numpy.typing import NDArray

from geniequeue.media.contact import CARD, FAINT, INK, PAD_PX, PAPER, plain, written
from geniequeue.media.pixels import Bytes
from geniequeue.sandbox.inside import Output
from geniequeue.watermark.reading import Registration

ROLE = "evidence_picture"
_NAME = "evidence.png"
_PANEL_PX = 520
_HEAD_PX, _FOOT_PX = 70, 76
_GAIN = 12
_OUTLINE = (255, 64, 32)
_LEAST_CONTRAST = 1e-3

Matrix = NDArray[np.float64]


def draw(folder: Path, leak: Bytes, plane: Bytes, registration: Registration) -> Output:
    """Draw leak, original and amplified residual side by side.

    Args:
        leak: (H, W, 3) uint8.
        plane: (h, w) uint8, the original's luma.
        registration: how the one lies on the other.
    """
    shown = np.ascontiguousarray(leak[:, ::-1] if registration.mirrored else leak)
    matrix = np.asarray(registration.matrix, np.float64)
    found = np.asarray(cv2.cvtColor(plane, cv2.COLOR_GRAY2RGB), np.uint8)
    inverse = np.asarray(np.linalg.inv(matrix), np.float64)
    panels = (
        ("the leak" + (", mirrored" if registration.mirrored else ""), _outlined(shown, plane.shape, matrix)),
        ("the original, and the part of it that leaked", _outlined(found, shown.shape, inverse)),
        (f"what the leak has and the original has not, {_GAIN} times", _residual(shown, plane, matrix)),
    )
    width_px, height_px = 3 * (_PANEL_PX + PAD_PX) + PAD_PX, _HEAD_PX + _PANEL_PX + _FOOT_PX
    sheet = plain(width_px, height_px, PAPER)
    sheet = written(sheet, "A leak, laid over the original", (PAD_PX, 20), 26, INK, bold=True)
    for number, (caption, panel) in enumerate(panels):
        left_px = PAD_PX + number * (_PANEL_PX + PAD_PX)
        sheet = sheet.insert(_framed(panel), left_px, _HEAD_PX)
        sheet = written(sheet, caption, (left_px, _HEAD_PX + _PANEL_PX + 8), 17, INK)
    told = f"{registration.overlap:.0%} of the original, correlation {registration.correlation:.2f}"
    sheet = written(sheet, told, (PAD_PX, height_px - 34), 16, FAINT)
    sheet.copy_memory().pngsave(str(folder / _NAME), compression=6)
    return Output(_NAME, "image/png", width_px, height_px, role=ROLE)


def _framed(panel: Bytes) -> pyvips.Image:
    """Fit a picture into the middle of a panel."""
    height, width = panel.shape[:2]
    share = min(_PANEL_PX / width, _PANEL_PX / height)
    size = max(1, round(width * share)), max(1, round(height * share))
    fitted = cv2.resize(panel, size, interpolation=cv2.INTER_AREA if share < 1 else cv2.INTER_CUBIC)
    image = pyvips.Image.new_from_array(np.ascontiguousarray(fitted)).copy(interpretation="srgb")
    return plain(_PANEL_PX, _PANEL_PX, CARD).insert(image, (_PANEL_PX - size[0]) // 2, (_PANEL_PX - size[1]) // 2)


def _outlined(picture: Bytes, other: tuple[int, ...], matrix: Matrix) -> Bytes:
    """Draw the outline of the other picture; `matrix` maps its pixels to this one's."""
    height, width = other[:2]
    corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float64)
    places = np.clip(cv2.perspectiveTransform(corners, matrix), -32_000, 32_000)
    thick = max(1, round(max(picture.shape[:2]) / 170))
    drawn = picture.copy()
    cv2.polylines(drawn, [np.rint(places[0]).astype(np.int32)], True, _OUTLINE, thick, cv2.LINE_AA)
    return np.asarray(drawn, np.uint8)


def _residual(leak: Bytes, plane: Bytes, matrix: Matrix) -> Bytes:
    """Subtract the original from the leak on the original's grid, around grey; black where the leak does not reach."""
    size = plane.shape[1], plane.shape[0]
    grey = np.asarray(cv2.cvtColor(leak, cv2.COLOR_RGB2GRAY), np.float32)
    shrink = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if shrink > 1:
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), 0.45 * shrink), np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpPerspective(grey, matrix, size, flags=flags)
    inside = cv2.warpPerspective(np.ones(grey.shape, np.uint8), matrix, size, flags=flags) > 0
    original = plane.astype(np.float32)
    if inside.any():
        gain = laid[inside].std() / max(float(original[inside].std()), _LEAST_CONTRAST)
        original = (original - original[inside].mean()) * gain + laid[inside].mean()
    shown = np.where(inside, np.clip(128 + _GAIN * (laid - original), 0, 255), 0).astype(np.uint8)
    return np.asarray(cv2.cvtColor(shown, cv2.COLOR_GRAY2RGB), np.uint8)
