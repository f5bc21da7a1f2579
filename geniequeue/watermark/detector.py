"""From the residual to 4096 soft chips, which are then compared with code words."""

from __future__ import annotations

import numpy as np

from geniequeue.watermark.arrays import Field, field, gauss
from geniequeue.watermark.frequency import (
    LOW_SHARE,
    VIDEO_LOW_SHARE,
    energy,
    filtered,
    frequencies,
    informed_band,
    middle_band,
    split,
)
from geniequeue.watermark.mask import tolerance
from geniequeue.watermark.pattern import BLIND_SHARE, PSNR_DB, Carrier
from geniequeue.watermark.residual import Residual

_CLIP = 3.0
_LOCAL_PX = 6.0


def soft_chips(plane: Field, residual: Residual, carrier: Carrier) -> Field:
    """(4096,): the sum of two detectors, each at length 1. A fixed sum is no choice, so it is no second look."""
    view = _View(plane, residual)
    return field(
        _unit_length(carrier.collect(_plain(view, view.mask))) + _unit_length(carrier.collect(_per_band(view)))
    )


def frame_chips(plane: Field, residual: Residual, carrier: Carrier) -> Field:
    """(4096,) of one frame of a video: whitened, not normalised, so that a frame counts by what it still tells."""
    view = _View(plane, residual, VIDEO_LOW_SHARE)
    return carrier.collect(_plain(view, field(np.ones_like(plane))))


def _unit_length(chips: Field) -> Field:
    return field(chips / max(float(np.linalg.norm(chips)), 1e-9))


class _View:
    """What both detectors look at."""

    def __init__(self, plane: Field, residual: Residual, low_share: float = LOW_SHARE) -> None:
        self.plane, self.residual = plane, residual
        self.weight = field(residual.inside)
        self.density = np.maximum(gauss(self.weight, _LOCAL_PX), 0.05)
        self.mask = tolerance(plane)
        self.f = frequencies(plane.shape)
        self.band = informed_band(plane.shape, low_share)
        self.limit = field(np.ones_like(self.f))
        if residual.resolution < 1:
            self.limit = field(1 / (1 + (self.f / (0.47 * residual.resolution)) ** 24))

    def power(self, first: Field, second: Field) -> Field:
        """Local mean of the product inside the overlap."""
        return field(gauss(first * second, _LOCAL_PX) / self.density)


def _plain(view: _View, mask: Field) -> Field:
    """Matched filter after whitening by the residual's local power."""
    seen = filtered(view.residual.values, view.band * view.limit / view.band.max()) * view.weight
    deviation = np.sqrt(view.power(seen, seen) + 0.1)
    whitened = np.clip(seen / deviation, -_CLIP, _CLIP) * mask / deviation * view.weight
    return filtered(field(whitened), view.band)


def _per_band(view: _View) -> Field:
    """Matched filter with Wiener weights per sub-band and place.

    With v the residual's local power, s the mark's expected one and T how much of the original's own detail came
    through, a place counts by T min(1, v/s) / (v + s/4): what compression wiped out counts little, quiet places that
    still carry the mark count most.
    """
    middle = middle_band(view.f)
    blind = BLIND_SHARE * middle**2 / energy(middle, view.plane.shape)
    whole = field(np.sqrt((1 - BLIND_SHARE) * view.band**2 + blind))
    relative = view.mask / np.sqrt((view.mask**2).mean()) * (255 / 10 ** (PSNR_DB / 20))
    total = np.zeros_like(view.plane)
    for part in split(view.f):
        band = field(part * view.limit * (view.band > 0.03 * view.band.max()))
        share = energy(field(band * whole), view.plane.shape)
        if share >= 2e-3:
            weighed = _weighed(view, band, field(relative**2 * share + 1e-4))
            total += filtered(weighed, field(band * view.band))
    return total


def _weighed(view: _View, band: Field, expected: Field) -> Field:
    seen = filtered(view.residual.values, band) * view.weight
    power = view.power(seen, seen)
    own, came = filtered(view.plane, band) * view.weight, filtered(view.residual.leak, band) * view.weight
    through = np.clip((view.power(own, came) + expected) / (view.power(own, own) + expected), 0.02, 1)
    noise = power + 0.25 * expected
    weight = through * np.minimum(1, power / expected) / noise
    deviation = np.sqrt(noise)
    clipped = np.clip(seen / deviation, -_CLIP, _CLIP) * deviation
    return field(clipped * weight * view.mask * view.weight)
