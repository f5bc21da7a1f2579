"""Sizes and boxes of resize and crop, as arithmetic and on real files."""

from __future__ import annotations

from pathlib import Path

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from geniequeue.errors import InputError, PolicyError
from geniequeue.media.geometry import ResizePlan, crop_box
from geniequeue.sandbox.inside import Limits
from tests.core import pictures
from tests.core.conftest import Operate

_SIDES = st.integers(1, 5000)


@pytest.mark.parametrize(
    ("fit", "width", "height", "upscale", "expected"),
    [
        ("inside", 100, 100, False, (100, 75)),
        ("inside", 800, 800, False, (400, 300)),
        ("inside", 800, 800, True, (800, 600)),
        ("inside", 100, None, False, (100, 75)),
        ("inside", None, 150, False, (200, 150)),
        ("cover", 100, 100, False, (100, 100)),
        ("cover", 200, None, False, (200, 150)),
        ("cover", 600, 600, False, (300, 300)),
        ("cover", 600, 300, False, (400, 200)),
        ("cover", 600, 600, True, (600, 600)),
        ("contain", 100, 100, False, (100, 100)),
        ("contain", 1000, 500, False, (1000, 500)),
        ("fill", 50, 290, False, (50, 290)),
        ("fill", 1000, 20, False, (400, 20)),
        ("fill", 1000, 20, True, (1000, 20)),
    ],
)
def test_a_resize_has_the_size_that_its_fit_says(
    operate: Operate,
    tmp_path: Path,
    fit: str,
    width: int | None,
    height: int | None,
    upscale: bool,
    expected: tuple[int, int],
) -> None:
    source = tmp_path / "in.jpg"
    pictures.photo(400, 300).jpegsave(str(source))
    sides = {name: side for name, side in (("width", width), ("height", height)) if side}
    output, path = operate("resize_image", source, fit=fit, upscale=upscale, **sides)
    assert (output.width_px, output.height_px) == expected
    made = pyvips.Image.new_from_file(str(path))
    assert (made.width, made.height) == expected


@given(_SIDES, _SIDES, _SIDES, _SIDES, st.sampled_from(["inside", "cover", "contain", "fill"]))
def test_without_upscale_no_pixel_is_enlarged(width: int, height: int, to_width: int, to_height: int, fit: str) -> None:
    plan = ResizePlan(to_width, to_height, fit, upscale=False)
    scaled, final = plan.scaled(width, height), plan.final(width, height)
    assert scaled[0] <= width and scaled[1] <= height
    assert min(final) >= 1
    if fit == "cover":
        assert final[0] <= scaled[0] and final[1] <= scaled[1]
        assert final[0] <= to_width and final[1] <= to_height
    if fit == "contain":
        assert final == (to_width, to_height)
        assert scaled[0] <= to_width and scaled[1] <= to_height


@given(_SIDES, _SIDES, st.integers(1, 40), st.integers(1, 40), st.sampled_from(["center", "north", "southwest"]))
def test_a_crop_by_aspect_lies_inside_and_touches_two_edges(
    width: int, height: int, wide: int, high: int, gravity: str
) -> None:
    box = crop_box(width, height, {"aspect": f"{wide}:{high}", "gravity": gravity})
    assert box.inside(width, height)
    assert box.width_px == width or box.height_px == height


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"x": 3, "y": 5, "width": 10, "height": 20}, (3, 5, 10, 20)),
        ({"width": 10, "height": 20}, (45, 30, 10, 20)),
        ({"width": 10, "height": 20, "gravity": "northwest"}, (0, 0, 10, 20)),
        ({"width": 10, "height": 20, "gravity": "southeast"}, (90, 60, 10, 20)),
        ({"width": 10, "height": 20, "gravity": "east"}, (90, 30, 10, 20)),
        ({"aspect": "1:1"}, (10, 0, 80, 80)),
        ({"aspect": "4:5", "gravity": "west"}, (0, 0, 64, 80)),
    ],
)
def test_a_crop_box_is_placed_by_coordinates_gravity_or_aspect(
    params: dict[str, object], expected: tuple[int, int, int, int]
) -> None:
    box = crop_box(100, 80, params)
    assert (box.x, box.y, box.width_px, box.height_px) == expected


@pytest.mark.parametrize("gravity", ["northwest", "northeast", "southwest", "southeast"])
def test_a_crop_takes_the_pixels_of_its_corner(operate: Operate, tmp_path: Path, gravity: str) -> None:
    source = tmp_path / "in.png"
    pictures.corners().pngsave(str(source))
    _output, path = operate("crop_image", source, width=10, height=8, gravity=gravity)
    colours = {"northwest": [255, 0, 0], "northeast": [0, 255, 0], "southwest": [0, 0, 255], "southeast": [255] * 3}
    assert pyvips.Image.new_from_file(str(path))(5, 4) == colours[gravity]


@pytest.mark.parametrize(
    "box",
    [
        {"x": 390, "y": 0, "width": 20, "height": 20},
        {"x": 0, "y": 281, "width": 20, "height": 20},
        {"x": 400, "y": 300, "width": 1, "height": 1},
        {"width": 401, "height": 10},
    ],
)
def test_row_21_a_crop_outside_the_picture_is_refused(operate: Operate, tmp_path: Path, box: dict[str, int]) -> None:
    source = tmp_path / "in.jpg"
    pictures.photo(400, 300).jpegsave(str(source))
    with pytest.raises(InputError, match="400 x 300 picture") as caught:
        operate("crop_image", source, **box)
    assert caught.value.reason == "crop_outside"


def test_contain_pads_with_nothing_where_the_format_can_and_else_with_the_background(
    operate: Operate, tmp_path: Path
) -> None:
    source = tmp_path / "in.png"
    for image in (pictures.corners(), pictures.with_alpha(pictures.corners())):
        image.pngsave(str(source))
        box = {"width": 64, "height": 64, "fit": "contain", "background": "#0a141e", "quality": 100}
        _output, path = operate("resize_image", source, format="jpeg", **box)
        made = pyvips.Image.new_from_file(str(path))
        assert all(abs(a - b) < 6 for y in (2, 62) for a, b in zip(made(32, y), (10, 20, 30), strict=True))
        _output, path = operate("resize_image", source, **box)
        made = pyvips.Image.new_from_file(str(path))
        assert made(32, 2)[3] == 0 and made(32, 62)[3] == 0
        assert made(5, 20) == [255, 0, 0, 255]


def test_a_result_beyond_the_limits_is_refused_before_it_is_made(operate: Operate, tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    pictures.photo(40, 40).pngsave(str(source))
    for operation, params, reason in (
        ("resize_image", {"width": 16_384, "upscale": True, "format": "webp"}, "too_large_for_format"),
        ("resize_image", {"width": 16_384, "upscale": True}, "too_many_pixels"),
    ):
        with pytest.raises(PolicyError) as caught:
            operate(operation, source, **params)
        assert caught.value.reason == reason
    with pytest.raises(PolicyError):
        operate("resize_image", source, limits=Limits(max_pixels=1000), width=10)
