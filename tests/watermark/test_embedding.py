"""The mark is not seen, is always the same, and is refused where it cannot be."""

from __future__ import annotations

import hashlib
import tracemalloc

import numpy as np
import pytest

from bench.watermark.attacks import as_picture
from geniequeue.watermark.embedding import CannotCarry, embed, mark_pattern
from geniequeue.watermark.pattern import ssim
from geniequeue.watermark.plane import luma_of, plane_of
from tests.watermark.pictures import FANS, KEY, asset, landscape, leaked


@pytest.mark.parametrize("seed", [3, 8])
def test_the_mark_is_below_what_the_eye_sees(seed: int) -> None:
    change = leaked(seed).astype(np.float32) - asset(seed).picture
    assert 10 * np.log10(255**2 / float((change**2).mean())) >= 48
    first, second = (luma_of(picture).astype(np.float32) for picture in (leaked(seed), asset(seed).picture))
    assert ssim(first, second) >= 0.993


def test_the_mark_lies_in_luma_only() -> None:
    change = leaked(3).astype(int) - asset(3).picture
    unclipped = (asset(3).picture > 10).all(2) & (asset(3).picture < 245).all(2)
    differing = np.ptp(change[unclipped], axis=1)
    assert differing.max() <= 1
    assert (differing > 0).mean() < 1e-3


def test_the_same_copy_is_the_same_to_the_last_bit() -> None:
    assert np.array_equal(asset(3).copy(FANS[0]), leaked(3))
    assert not np.array_equal(asset(3).copy(FANS[1]), leaked(3))


def test_flat_places_get_less_of_it_than_busy_ones() -> None:
    picture = as_picture(landscape(5) + np.random.default_rng(1).normal(0, 12, (600, 800, 1)))
    picture[:, :400] = 90
    mark = mark_pattern(plane_of(luma_of(picture)), KEY, "a", 1)
    assert mark[:, 20:360].std() < 0.6 * mark[:, 440:].std()


def test_strength_is_a_factor() -> None:
    plane = asset(3).plane
    half, whole = (mark_pattern(plane, KEY, "a", 1, strength=strength) for strength in (0.5, 1.0))
    assert np.allclose(half * 2, whole, atol=1e-4)


@pytest.mark.parametrize(("width", "height"), [(20, 20), (1200, 120)])
def test_a_picture_too_small_is_refused_with_its_size(width: int, height: int) -> None:
    picture = landscape(3, width, height)
    with pytest.raises(CannotCarry, match=f"at least 200 pixels .* got {width}x{height}"):
        embed(picture, plane_of(luma_of(picture)), KEY, "a", 1)


@pytest.mark.parametrize("level", [0, 127, 255])
def test_a_picture_of_one_colour_is_refused(level: int) -> None:
    picture = np.full((400, 500, 3), level, np.uint8)
    with pytest.raises(CannotCarry, match="nearly all flat"):
        embed(picture, plane_of(luma_of(picture)), KEY, "a", 1)


def test_large_pictures_are_marked_in_strips() -> None:
    picture = np.tile(landscape(3), (4, 4, 1))
    plane = plane_of(luma_of(picture))
    mark_pattern(plane, KEY, "a", 1)
    tracemalloc.start()
    embed(picture, plane, KEY, "a", 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * picture.nbytes


def test_the_plane_is_at_most_1024_pixels_and_keeps_the_shape() -> None:
    assert plane_of(np.zeros((3000, 4000), np.uint8)).shape == (768, 1024)
    assert plane_of(np.zeros((300, 400), np.uint8)).shape == (300, 400)


def test_patterns_are_the_same_for_ever() -> None:
    mark = mark_pattern(asset(3).plane, KEY, "a", 1)
    signs = np.packbits(mark[::50, ::50] > 0)
    assert hashlib.sha256(signs.tobytes()).hexdigest()[:16] == "743774cd6c57b231"
