"""Read a leak against one asset: register, subtract, collect the chips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geniequeue.watermark.arrays import Bytes, Field, Matrix, field
from geniequeue.watermark.derivation import CHIPS
from geniequeue.watermark.detector import soft_chips
from geniequeue.watermark.pattern import carrier
from geniequeue.watermark.registration.features import features
from geniequeue.watermark.registration.register import PLANE_FEATURES, Match, Original, register
from geniequeue.watermark.resample import resized, scaling
from geniequeue.watermark.residual import Residual, residual_of

# Wrong registrations reached 0.17 over few pixels, right ones had at least 0.27. Significance is the correlation times
# the root of the pixels that are compared: wrong ones reached 21, two per cent of a picture has about 90.
LEAST_CORRELATION, LEAST_SIGNIFICANCE = 0.15, 30.0
_LONGEST_LEAK_PX = 4096
Reference = Original


@dataclass(frozen=True)
class Registration:
    """How the leak lies on the original.

    accepted: False means that nobody may be named. kind: how it was found. matrix: 3x3, pixel centres of the plane to
    those of the leak, which is mirrored first where `mirrored`. overlap: share of the plane that the leak shows.
    correlation: of the two pictures, locally normalised. looks: how many readings of this leak the best was kept of.
    """

    accepted: bool
    kind: str
    matrix: Matrix
    overlap: float
    correlation: float
    mirrored: bool
    looks: int = 1


@dataclass(frozen=True)
class Reading:
    """(4096,) float32 soft chips, all 0 where the registration was not accepted."""

    chips: Field
    registration: Registration


@dataclass(frozen=True)
class Laid:
    """A leak laid on an original, without any key; `residual` is None where the registration was not accepted."""

    registration: Registration
    residual: Residual | None


def reference(plane: Bytes, native_size: tuple[int, int]) -> Reference:
    """Prepare an original once for any number of leaks.

    Args:
        plane: (h, w) uint8 as stored.
        native_size: width and height of the original picture in pixels.
    """
    grey = field(plane)
    return Original(grey, features(grey, PLANE_FEATURES), native_size[0] / plane.shape[1])


def read(reference: Reference, leak: Field, key: bytes, asset: str, *, thorough: bool = True) -> Reading:
    """Chips and registration of (H, W) float32 luma 0 to 255 against one asset.

    Args:
        thorough: as of `lay`.
    """
    laid = lay(reference, leak, thorough=thorough)
    return Reading(chips_of(reference, laid, key, asset), laid.registration)


def lay(reference: Reference, leak: Field, *, thorough: bool = True) -> Laid:
    """Register (H, W) float32 luma 0 to 255 to one asset and subtract it, once for any number of keys.

    Args:
        thorough: look for turned pictures without features too, some seconds more when the leak is unrelated.
    """
    side = max(leak.shape)
    small = resized(leak, *(n * _LONGEST_LEAK_PX / side for n in leak.shape[::-1])) if side > _LONGEST_LEAK_PX else leak
    match = register(reference, np.ascontiguousarray(field(small)), thorough=thorough)
    found = match.alignment
    if found.correlation < LEAST_CORRELATION or found.significance < LEAST_SIGNIFICANCE:
        return Laid(_registration(match, 0.0, leak, accepted=False), None)
    residual = residual_of(reference.plane, match)
    return Laid(_registration(match, float(residual.inside.mean()), leak, accepted=True), residual)


def chips_of(reference: Reference, laid: Laid, key: bytes, asset: str) -> Field:
    """(4096,) float32 soft chips of a leak that lies on an asset, all 0 where the registration was not accepted."""
    if laid.residual is None:
        return np.zeros(CHIPS, np.float32)
    return soft_chips(reference.plane, laid.residual, carrier(key, asset, reference.plane.shape))


def _registration(match: Match, overlap: float, leak: Field, *, accepted: bool) -> Registration:
    to_leak = scaling(leak.shape[1] / match.leak.shape[1], leak.shape[0] / match.leak.shape[0])
    matrix = to_leak @ match.alignment.matrix
    return Registration(accepted, match.kind, matrix, overlap, match.alignment.correlation, match.mirrored)
