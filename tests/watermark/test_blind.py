"""48 bits are read without knowing the asset."""

from __future__ import annotations

import numpy as np
import pytest

from bench.watermark.attacks import Attack, area, jpeg, mirrored, scaled
from geniequeue.watermark import payload
from geniequeue.watermark.blind import read_blind, read_blind_frames
from geniequeue.watermark.plane import luma_of
from tests.watermark.pictures import FANS, KEY, asset, leaked


@pytest.mark.parametrize("attack", [lambda p: p, jpeg(60), scaled(0.7), mirrored, area(0.6)])
def test_the_high_bits_of_the_trace_id_are_read(attack: Attack) -> None:
    found = read_blind(luma_of(attack(leaked(3))), KEY)
    assert found
    assert found.payload == FANS[0] >> 16


def test_a_delivered_copy_is_recognised_quickly() -> None:
    found = read_blind(luma_of(jpeg(80)(leaked(3))), KEY, thorough=False)
    assert found
    assert found.payload == FANS[0] >> 16


def test_nothing_is_read_where_there_is_no_mark_of_this_key() -> None:
    assert read_blind(luma_of(asset(3).picture), KEY) is None
    assert read_blind(luma_of(asset(3).picture), KEY, thorough=False) is None
    assert read_blind(luma_of(leaked(3)), bytes(32), thorough=False) is None


def test_frames_add_up() -> None:
    rng = np.random.default_rng(1)
    noisy = [np.clip(luma_of(leaked(3)) + rng.normal(0, 12, (600, 800)), 0, 255).astype(np.uint8) for _ in range(8)]
    found = read_blind_frames(noisy, KEY)
    assert found
    assert found.payload == FANS[0] >> 16
    assert read_blind_frames([], KEY) is None


@pytest.mark.parametrize("bits", [0, 1, 0xFFFFFFFFFFFF, 0x123456789ABC])
def test_a_payload_comes_back_through_noise(bits: int) -> None:
    chips = payload.encode(bits)
    assert chips.shape == (payload.CHIPS,)
    noisy = chips + np.random.default_rng(bits & 0xFF).normal(0, 0.9, chips.shape).astype(np.float32)
    assert payload.decode(noisy) == bits


def test_chips_of_noise_are_no_payload() -> None:
    rng = np.random.default_rng(2)
    found = [payload.decode(rng.normal(size=payload.CHIPS).astype(np.float32)) for _ in range(40)]
    assert found == [None] * 40


def test_the_crc_is_the_one_of_its_name() -> None:
    assert payload.crc16(int.from_bytes(b"123456", "big")) == 0x2EF4
