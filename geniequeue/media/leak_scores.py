"""What a look at a leak tells of the copies of an asset, as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geniequeue.watermark.reading import Registration
from geniequeue.watermark.scoring import scores

FLOOR = 5.0
"""Scores below this are not told: no trace may ever name a copy by one (the threshold of a single copy is 6.4)."""
MOST_HITS = 1000


def hits_of(chips: NDArray[np.float32], key: bytes, asset: str, copies: Path) -> list[list[Any]]:
    """Return the copies that score above the floor, the best first: trace id in 16 hex digits, and score.

    Args:
        copies: file of trace ids, eight bytes each, the highest first.
    """
    trace_ids = np.fromfile(copies, ">u8").astype(np.uint64)
    found = scores(chips, key, asset, trace_ids)
    best = np.argsort(-found, kind="stable")[:MOST_HITS]
    return [[f"{int(trace_ids[at]):016x}", float(found[at])] for at in best if found[at] >= FLOOR]


def shown(registration: Registration | None) -> dict[str, Any] | None:
    """Return a registration as JSON."""
    if registration is None:
        return None
    return {
        "accepted": bool(registration.accepted),
        "kind": str(registration.kind),
        "matrix": [[float(value) for value in row] for row in registration.matrix],
        "overlap": float(registration.overlap),
        "correlation": float(registration.correlation),
        "mirrored": bool(registration.mirrored),
        "looks": int(registration.looks),
    }
