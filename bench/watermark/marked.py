"""A marked photograph and how a leak of it is traced, as the worker does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.watermark.attacks import Picture
from bench.watermark.photographs import PHOTOGRAPHS, Photograph, load
from geniequeue.watermark.embedding import embed
from geniequeue.watermark.plane import luma_of, plane_of
from geniequeue.watermark.reading import Reading, Reference, read, reference
from geniequeue.watermark.scoring import scores
from geniequeue.watermark.statistics import threshold

KEY = b"the bench's own key, 32 bytes ok"
# The second is the default of the setting WATERMARK_TRACES.
COPIES, TRACES = 100_000, 10_000
# The system's own threshold for 100,000 copies and 10,000 traces: 9.1.
NAMED_FROM = threshold(COPIES, 1, TRACES)
# Ids that are compared in every trace besides the true one.
OTHERS = np.random.default_rng(7).integers(1, 1 << 63, 599, dtype=np.uint64)
LEAKED = 0x1D3F5A7C9E0B2468


@dataclass(frozen=True)
class Marked:
    """One photograph with its plane and its copies."""

    photograph: Photograph

    @cached_property
    def original(self) -> Picture:
        return load(self.photograph)

    @cached_property
    def plane(self) -> Picture:
        return plane_of(luma_of(self.original))

    @cached_property
    def reference(self) -> Reference:
        return reference(self.plane, (self.original.shape[1], self.original.shape[0]))

    def copy(self, trace_id: int = LEAKED) -> Picture:
        return embed(self.original, self.plane, KEY, self.photograph.name, trace_id)

    @cached_property
    def leaked(self) -> Picture:
        return self.copy()

    def reading(self, leak: Picture, *, thorough: bool = True) -> Reading:
        luma = luma_of(leak).astype(np.float32)
        return read(self.reference, luma, KEY, self.photograph.name, thorough=thorough)

    def scores(self, leak: Picture, trace_ids: NDArray[np.uint64]) -> tuple[NDArray[np.float32], Reading]:
        reading = self.reading(leak)
        return scores(reading.chips, KEY, self.photograph.name, trace_ids), reading

    def trace(self, leak: Picture) -> tuple[float, float]:
        """Score of the copy that leaked, and the highest of 599 others."""
        found, _ = self.scores(leak, np.concatenate([np.array([LEAKED], np.uint64), OTHERS]))
        return float(found[0]), float(found[1:].max())


@lru_cache(maxsize=2)
def marked(index: int) -> Marked:
    """By its number; the last two are kept."""
    return Marked(PHOTOGRAPHS[index])
