"""How well a leak's chips agree with the code words of the copies on record."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geniequeue.watermark.arrays import Field, field
from geniequeue.watermark.derivation import CHIPS, Codes

_BLOCK = 1024


def scores(chips: Field, key: bytes, asset: str, trace_ids: NDArray[np.uint64]) -> Field:
    """z score of each copy: (4096,) soft chips and (N,) ids -> (N,) float32.

    The inner product of the code word with the chips, divided by the chips' length. For a code word that did not go
    into the leak it is a weighted sum of random signs: mean 0, variance 1, sub-Gaussian (see `statistics`).
    """
    length = float(np.linalg.norm(chips))
    if length == 0:
        return np.zeros(len(trace_ids), np.float32)
    direction, codes = field(chips / length), Codes(key, asset)
    total = float(direction.sum(dtype=np.float64))
    result = np.empty(len(trace_ids), np.float32)
    for start in range(0, len(trace_ids), _BLOCK):
        packed = b"".join(codes.packed(int(trace_id)) for trace_id in trace_ids[start : start + _BLOCK])
        bits = np.unpackbits(np.frombuffer(packed, np.uint8)).reshape(-1, CHIPS)
        result[start : start + _BLOCK] = total - 2 * (field(bits) @ direction)
    return result
