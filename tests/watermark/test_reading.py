"""A leak names the copy it was made of, whatever was done to it."""

from __future__ import annotations

import numpy as np
import pytest

from bench.watermark.attacks import (
    Attack,
    after,
    area,
    fitted,
    grey,
    jpeg,
    light,
    mirrored,
    scaled,
    turned,
    webp,
    written_over,
)
from geniequeue.watermark.plane import luma_of
from geniequeue.watermark.reading import read
from geniequeue.watermark.statistics import threshold
from tests.watermark.pictures import FANS, KEY, asset, landscape, leaked

NAMED_FROM = threshold(100_000, 1, 10_000)
ATTACKS: dict[str, Attack] = {
    "as delivered": lambda picture: picture,
    "JPEG 30": jpeg(30),
    "WebP 50": webp(50),
    "quarter size": scaled(0.25),
    "40 % cut off, JPEG 60": after(area(0.6), jpeg(60)),
    "a tenth of the area": area(0.1),
    "mirrored": mirrored,
    "turned 11°": turned(11),
    "60 % x 50 %": scaled(0.6, 0.5),
    "thumbnail 320 px, JPEG 70": after(fitted(320), jpeg(70)),
    "darker, grey, JPEG 70": after(grey, light(-20, 0.8), jpeg(70)),
    "text over it": written_over,
}


@pytest.mark.parametrize(("name", "seed"), [(name, 3 + 5 * (index % 2)) for index, name in enumerate(ATTACKS)])
def test_an_attacked_copy_still_names_its_fan_and_nobody_else(name: str, seed: int) -> None:
    (fan, *others), highest = asset(seed).scores(ATTACKS[name](leaked(seed)))
    assert fan > NAMED_FROM
    assert max(*others, highest) < 6


def test_the_matrix_says_where_a_crop_lay() -> None:
    left, top = 160, 90
    registration = asset(3).read(leaked(3)[top : top + 360, left : left + 480]).registration
    assert registration.accepted
    assert not registration.mirrored
    assert registration.matrix @ [left, top, 1] == pytest.approx([0, 0, 1], abs=0.3)
    assert registration.overlap == pytest.approx(0.36, abs=0.03)


def test_a_mirrored_leak_is_said_to_be_mirrored() -> None:
    assert asset(3).read(mirrored(leaked(3))).registration.mirrored


def test_the_unmarked_original_names_nobody() -> None:
    leak = jpeg(80)(asset(3).picture)
    assert asset(3).read(leak).registration.accepted
    fans, highest = asset(3).scores(leak)
    assert max(*fans, highest) < 6


def test_an_unrelated_picture_is_not_registered_and_has_no_chips() -> None:
    reading = asset(3).read(landscape(99))
    assert not reading.registration.accepted
    assert not reading.chips.any()


def test_another_key_reads_nothing() -> None:
    chips = asset(3).read(leaked(3), bytes(32)).chips
    own = asset(3).read(leaked(3)).chips
    assert abs(float(chips @ own) / np.linalg.norm(chips) / np.linalg.norm(own)) < 0.1


def test_a_leak_far_larger_than_the_plane_is_read_at_a_bounded_size() -> None:
    large = luma_of(scaled(6)(leaked(3))).astype(np.float32)
    registration = read(asset(3).reference, large, KEY, asset(3).name, thorough=False).registration
    assert registration.accepted
    assert registration.matrix[0, 0] == pytest.approx(6, abs=0.05)


def test_two_colluders_are_both_named_or_nobody_is() -> None:
    first, second = (asset(3).copy(fan).astype(np.float32) for fan in FANS[:2])
    leak = jpeg(75)(np.rint((first + second) / 2).astype(np.uint8))
    (one, two, third), highest = asset(3).scores(leak)
    assert min(one, two) > NAMED_FROM
    assert max(third, highest) < 6
