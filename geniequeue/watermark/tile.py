"""The blind layer's tile: repeated over the whole picture, so that its lattice shows in the autocorrelation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from geniequeue.watermark import payload
from geniequeue.watermark.arrays import Field, field, unit_variance
from geniequeue.watermark.derivation import signs, words
from geniequeue.watermark.frequency import filtered, frequencies, middle_band

SIDE_PX = 128
SYNC_AMPLITUDE, PAYLOAD_AMPLITUDE = 0.65, 0.76


@dataclass(frozen=True)
class TileParts:
    """What the key says of a tile: which chip a pixel carries, with which sign, and the part that is always there."""

    chip: NDArray[np.int64]
    sign: Field
    sync: Field


@lru_cache(maxsize=4)
def tile_parts(key: bytes) -> TileParts:
    """(128, 128) each; every chip lies on 58 or 59 pixels."""
    count = SIDE_PX * SIDE_PX
    order = np.argsort(words(2 * count, key, "tile order").view(np.uint32), kind="stable")
    chip = np.empty(count, np.int64)
    chip[order] = np.arange(count) % payload.CHIPS
    shape = SIDE_PX, SIDE_PX
    sign, sync = signs(words(count, key, "tile signs")), signs(words(count, key, "tile sync"))
    return TileParts(chip.reshape(shape), sign.reshape(shape), sync.reshape(shape))


def in_band(tile: Field) -> Field:
    """The tile inside the middle band; circular, as it is repeated."""
    return filtered(tile, middle_band(frequencies((SIDE_PX, SIDE_PX))))


def tile(key: bytes, bits: int) -> Field:
    """(128, 128) of unit variance that carries 48 bits."""
    parts = tile_parts(key)
    carried = parts.sign * payload.encode(bits)[parts.chip]
    return unit_variance(in_band(field(SYNC_AMPLITUDE * parts.sync + PAYLOAD_AMPLITUDE * carried)))


def soft_chips(key: bytes, folded: Field) -> Field:
    """(280,) soft chips of an aligned (128, 128) tile."""
    parts = tile_parts(key)
    weights = (parts.sign * in_band(folded)).ravel()
    return field(np.bincount(parts.chip.ravel(), weights, payload.CHIPS))
