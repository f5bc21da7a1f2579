"""Pictures with the detail of photographs, made of noise of all scales, and the marked copies of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.watermark.attacks import Picture, as_picture
from geniequeue.watermark.embedding import embed
from geniequeue.watermark.plane import luma_of, plane_of
from geniequeue.watermark.reading import Reading, Reference, read, reference
from geniequeue.watermark.scoring import scores

KEY = bytes(range(32))
FANS = (0x0123456789ABCDEF, 0xFEDCBA9876543210, 0x00FF00FF12345678)
OTHERS = np.arange(1, 1000, dtype=np.uint64)


def landscape(seed: int, width: int = 800, height: int = 600) -> Picture:
    """Colour noise in octaves, so with edges and flat places, and some grain."""
    rng, total = np.random.default_rng(seed), np.zeros((height, width, 3), np.float32)
    for octave in range(1, 8):
        cells = 2**octave
        coarse = rng.normal(0, 1, (cells * height // width + 2, cells + 2, 3)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * 45 / octave**1.3
    total += rng.normal(0, 1.5, total.shape)
    return as_picture(128 + 60 * np.tanh(total / 50))


@dataclass(frozen=True)
class Asset:
    """A picture, its plane and what is prepared of it."""

    name: str
    picture: Picture
    plane: NDArray[np.uint8]
    reference: Reference

    def copy(self, trace_id: int, strength: float = 1.0) -> Picture:
        return embed(self.picture, self.plane, KEY, self.name, trace_id, strength=strength)

    def read(self, leak: Picture, key: bytes = KEY) -> Reading:
        return read(self.reference, luma_of(leak).astype(np.float32), key, self.name, thorough=False)

    def scores(self, leak: Picture) -> tuple[list[float], float]:
        """Those of the three fans, and the highest of 999 others."""
        ids = np.concatenate([np.array(FANS, np.uint64), OTHERS])
        found = scores(self.read(leak).chips, KEY, self.name, ids)
        return [float(z) for z in found[: len(FANS)]], float(found[len(FANS) :].max())


@cache
def asset(seed: int) -> Asset:
    """The asset of one landscape."""
    picture = landscape(seed)
    plane = plane_of(luma_of(picture))
    return Asset(f"asset {seed}", picture, plane, reference(plane, (picture.shape[1], picture.shape[0])))


@cache
def leaked(seed: int) -> Picture:
    """The first fan's copy of it."""
    return asset(seed).copy(FANS[0])
