"""Find a leak without features: correlate it with the plane over a ladder of scales and angles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from dataclasses import field as attribute

import cv2
import numpy as np
from scipy import fft

from geniequeue.watermark.arrays import Field, Matrix, field, locally_normalised
from geniequeue.watermark.resample import inverse, resized, scaling, translation

SIDE = 224
# Longest side of the leak over the plane's, when both show the same scale of things.
SCALES = tuple(float(s) for s in np.exp(np.arange(np.log(0.2), np.log(2.6), 0.045)))
_LEAST_SIDE = 20
_PEAKS = 2


@dataclass(frozen=True)
class Template:
    """The leak as it is laid over the plane: values, where they are valid, and the map from the leak's indices."""

    values: Field
    valid: Field
    from_leak: Matrix


@dataclass
class Sheet:
    """The plane at search size, and its spectra by the size of the transform."""

    values: Field
    to_plane: Matrix
    spectra: dict[tuple[int, int], tuple[Field, Field]] = attribute(default_factory=dict)

    def transformed(self, size: tuple[int, int]) -> tuple[Field, Field]:
        """Spectra of the values and of ones."""
        if size not in self.spectra:
            self.spectra[size] = fft.rfft2(self.values, size), fft.rfft2(np.ones_like(self.values), size)
        return self.spectra[size]


def sheet_of(plane: Field, side: int = SIDE) -> Sheet:
    """Shrink the plane for the search."""
    factor = side / max(plane.shape)
    small = resized(plane, plane.shape[1] * factor, plane.shape[0] * factor)
    to_small = scaling(small.shape[1] / plane.shape[1], small.shape[0] / plane.shape[0])
    return Sheet(locally_normalised(small), inverse(to_small))


def candidates(
    sheet: Sheet,
    leak: Field,
    scales: Iterable[float],
    angles: Iterable[float] = (0,),
    *,
    best: int = 6,
    least: float = 0.035,
) -> list[Matrix]:
    """Maps plane -> leak, the most promising first.

    Args:
        scales: longest side of the leak on the sheet over the longest side of the sheet.
        angles: in degrees.
        least: share of the plane that must be covered.
    """
    found = []
    for template in _templates(leak, max(sheet.values.shape), list(scales), angles):
        for height, x, y in _peaks(sheet, template, least):
            to_plane = sheet.to_plane @ translation(x, y) @ template.from_leak
            found.append((height, inverse(to_plane)))
    found.sort(key=lambda candidate: -candidate[0])
    return [matrix for _, matrix in found[:best]]


def _templates(leak: Field, side: int, scales: list[float], angles: Iterable[float]) -> Iterator[Template]:
    for angle in angles:
        for scale in scales:
            factor = scale * side / max(leak.shape)
            width, height = round(leak.shape[1] * factor), round(leak.shape[0] * factor)
            if min(width, height) >= _LEAST_SIDE:
                yield _template(leak, width, height, angle)


def _template(leak: Field, width: int, height: int, angle: float) -> Template:
    values = locally_normalised(resized(leak, width, height))
    shrink = scaling(width / leak.shape[1], height / leak.shape[0])
    valid = np.ones_like(values)
    if angle == 0:
        return Template(values, valid, shrink)
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    size = int(width * abs(c) + height * abs(s)) + 1, int(width * abs(s) + height * abs(c)) + 1
    turn = translation(size[0] / 2 - 0.5, size[1] / 2 - 0.5) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    turn = turn @ translation(0.5 - width / 2, 0.5 - height / 2)
    turned = (field(cv2.warpPerspective(part, turn, size)) for part in (values, valid))
    return Template(next(turned), next(turned), turn @ shrink)


def _peaks(sheet: Sheet, template: Template, least: float) -> Iterator[tuple[float, int, int]]:
    """Height, x and y of the highest correlations over the root of the overlap."""
    shape = sheet.values.shape
    size = (
        fft.next_fast_len(shape[0] + template.values.shape[0], True),
        fft.next_fast_len(shape[1] + template.values.shape[1], True),
    )
    values, ones = sheet.transformed(size)
    product = fft.irfft2(values * np.conj(fft.rfft2(template.values, size)), s=size)
    pixels = fft.irfft2(ones * np.conj(fft.rfft2(template.valid, size)), s=size)
    height = product / np.sqrt(np.maximum(pixels, 1))
    height[pixels < least * sheet.values.size] = 0
    for _ in range(_PEAKS):
        row, column = (int(i) for i in np.unravel_index(height.argmax(), height.shape))
        y, x = row - size[0] * (row > shape[0]), column - size[1] * (column > shape[1])
        yield float(height[row, column]), x, y
        height[max(0, row - 4) : row + 5, max(0, column - 4) : column + 5] = 0
