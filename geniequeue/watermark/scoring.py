"""How well a leak's chips agree with the code words of the copies on record."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geniequeue.watermark.arrays import Field, field
from geniequeue.watermark.derivation import CHIPS, Codes

_BLOCK = 256
_BYTES = CHIPS // 8


def scores(chips: Field, key: bytes, asset: str, trace_ids: NDArray[np.uint64]) -> Field:
    """z score of each copy: (4096,) soft chips and (N,) ids -> (N,) float32.

    The inner product of the code word with the chips, divided by the chips' length. For a code word that did not go
    into the leak it is a weighted sum of random signs: mean 0, variance 1, sub-Gaussian (see `statistics`).
    """
    length = float(np.linalg.norm(chips))
    if length == 0:
        return np.zeros(len(trace_ids), np.float32)
    sums, places = _sums_of_bytes(field(chips / length)).ravel(), 256 * np.arange(_BYTES)
    codes, result = Codes(key, asset), np.empty(len(trace_ids), np.float32)
    for start in range(0, len(trace_ids), _BLOCK):
        packed = b"".join(codes.packed(int(trace_id)) for trace_id in trace_ids[start : start + _BLOCK])
        eights = np.frombuffer(packed, np.uint8).reshape(-1, _BYTES)
        result[start : start + _BLOCK] = sums[eights + places].sum(axis=1)
    return result


def _sums_of_bytes(direction: Field) -> Field:
    """(512, 256): what each value of each byte of a code word adds to a score, so that no word is unpacked."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    return field(direction.reshape(_BYTES, 8) @ (1 - 2 * field(bits)).T)
