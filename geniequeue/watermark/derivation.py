"""Everything random in a mark, derived from the key: the same on every machine and with every version of numpy.

HMAC-SHA256 (RFC 2104) of the key and of what the bytes are for seeds SHAKE-128 (FIPS 202). Without the key its output
cannot be told from random, so nobody else can compute, look for or subtract a pattern.
"""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
from numpy.typing import NDArray

from geniequeue.watermark.arrays import Bytes, Field, field

CHIPS = 4096
VERSION = b"geniequeue watermark 1"


def seed(key: bytes, *labels: str | int) -> bytes:
    """32 bytes for one purpose; labels are told apart by their lengths, so ("ab", "c") is not ("a", "bc")."""
    texts = [str(label).encode() for label in labels]
    framed = b"".join(len(text).to_bytes(4, "big") + text for text in texts)
    return hmac.new(key, VERSION + framed, hashlib.sha256).digest()


def words(count: int, key: bytes, *labels: str | int) -> NDArray[np.uint16]:
    """`count` random uint16."""
    stream = hashlib.shake_128(seed(key, *labels)).digest(2 * count)
    return np.frombuffer(stream, ">u2").astype(np.uint16)


def signs(bits: NDArray[np.uint16]) -> Field:
    """+1 or -1 by the lowest bit."""
    return field(1 - 2 * (bits & 1).astype(np.int8))


class Codes:
    """The code words of an asset's copies: 4096 random bits for each trace id."""

    def __init__(self, key: bytes, asset: str) -> None:
        self._start = hashlib.shake_128(seed(key, "code", asset))

    def packed(self, trace_id: int) -> bytes:
        """512 bytes, eight chips in each, the highest bit first."""
        shake = self._start.copy()
        shake.update(trace_id.to_bytes(8, "big"))
        return shake.digest(CHIPS // 8)

    def chips(self, trace_id: int) -> Field:
        """(4096,) of +1 (bit 0) and -1 (bit 1)."""
        bits: Bytes = np.unpackbits(np.frombuffer(self.packed(trace_id), np.uint8))
        return field(1 - 2 * bits.astype(np.int8))
