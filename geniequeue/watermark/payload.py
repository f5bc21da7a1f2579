"""The blind layer's 48 bits as 280 chips and back.

48 bits and their CRC-16 (CCITT-FALSE: polynomial 0x1021, start 0xFFFF) go through a convolutional code of rate 1/4 and
constraint length 7; Viterbi's algorithm (1967) finds the most probable message from soft chips.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geniequeue.watermark.arrays import Field, field

PAYLOAD_BITS = 48
_MESSAGE_BITS = 64
_MEMORY = 6
_STATES = 1 << _MEMORY
_GENERATORS = (0o135, 0o135, 0o147, 0o163)
CHIPS = (_MESSAGE_BITS + _MEMORY) * len(_GENERATORS)


def _outputs() -> NDArray[np.float64]:
    """[state, bit] -> the four chips that are sent."""
    register = (np.arange(2)[None, :] << _MEMORY) | np.arange(_STATES)[:, None]
    parities = [[[(int(r) & g).bit_count() & 1 for g in _GENERATORS] for r in row] for row in register]
    return 1.0 - 2.0 * np.array(parities)


_OUTPUTS = _outputs()


def crc16(payload: int) -> int:
    """CRC of the payload's six bytes."""
    crc = 0xFFFF
    for byte in payload.to_bytes(PAYLOAD_BITS // 8, "big"):
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def encode(payload: int) -> Field:
    """(280,) chips of +1 and -1 for a payload of 48 bits."""
    message = payload << 16 | crc16(payload)
    bits = [message >> (_MESSAGE_BITS - 1 - i) & 1 for i in range(_MESSAGE_BITS)] + [0] * _MEMORY
    state, sent = 0, []
    for bit in bits:
        sent.append(_OUTPUTS[state, bit])
        state = (bit << _MEMORY | state) >> 1
    return field(np.concatenate(sent))


def decode(chips: Field) -> int | None:
    """The payload of (280,) soft chips, or None when its CRC does not fit."""
    steps = chips.reshape(-1, len(_GENERATORS)).astype(np.float64)
    came_from = _survivors(steps)
    state, message = 0, 0
    for step in range(len(steps) - 1, -1, -1):
        if step < _MESSAGE_BITS:
            message |= (state >> (_MEMORY - 1)) << (_MESSAGE_BITS - 1 - step)
        state = int(came_from[step, state])
    payload, crc = message >> 16, message & 0xFFFF
    return payload if crc16(payload) == crc else None


def _survivors(steps: NDArray[np.float64]) -> NDArray[np.int64]:
    """[step, state] -> the better predecessor."""
    state = np.arange(_STATES)
    bit, first = state >> (_MEMORY - 1), (state << 1) & (_STATES - 1)
    metric = np.full(_STATES, -np.inf)
    metric[0] = 0
    came_from = np.empty((len(steps), _STATES), np.int64)
    for index, received in enumerate(steps):
        even = metric[first] + _OUTPUTS[first, bit] @ received
        odd = metric[first | 1] + _OUTPUTS[first | 1, bit] @ received
        came_from[index] = np.where(odd > even, first | 1, first)
        metric = np.maximum(even, odd)
        if index >= _MESSAGE_BITS:
            metric[bit == 1] = -np.inf
    return came_from
