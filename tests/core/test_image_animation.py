"""Animations stay animated where the target can be; elsewhere the first frame stands."""

from __future__ import annotations

from pathlib import Path

import pytest
import pyvips

from tests.core import pictures
from tests.core.conftest import Operate


@pytest.fixture(params=["gif", "webp"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"in.{request.param}"
    pictures.animation().write_to_file(str(path), **({"lossless": True} if request.param == "webp" else {}))
    return path


def _frames(path: Path) -> list[list[float]]:
    image = pyvips.Image.new_from_file(str(path), n=-1)
    height = image.get("page-height")
    return [image(image.width // 2, top + height // 2)[:3] for top in range(0, image.height, height)]


def _near(got: list[list[float]], expected: list[list[float]]) -> bool:
    return all(abs(a - b) < 12 for one, two in zip(got, expected, strict=True) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("target", ["gif", "webp"])
def test_a_conversion_keeps_frames_delays_and_loops(operate: Operate, source: Path, target: str) -> None:
    output, path = operate("convert_image", source, format=target)
    made = pyvips.Image.new_from_file(str(path), n=-1)
    assert made.get("n-pages") == 5 and made.get("page-height") == 40
    expected = pyvips.Image.new_from_file(str(source), n=-1)
    assert made.get("loop") == expected.get("loop")
    assert [round(delay, -1) for delay in made.get("delay")] == [round(delay, -1) for delay in expected.get("delay")]
    assert output.duration_s == pytest.approx(0.41, abs=0.011)
    assert (output.width_px, output.height_px, output.facts["frames"]) == (60, 40, 5)
    assert _near(_frames(path), _frames(source))


@pytest.mark.parametrize("fit", ["inside", "cover", "contain", "fill"])
def test_a_resize_changes_every_frame_alone(operate: Operate, source: Path, fit: str) -> None:
    output, path = operate("resize_image", source, width=30, height=30, fit=fit)
    expected = (30, 20) if fit == "inside" else (30, 30)
    assert (output.width_px, output.height_px) == expected
    made = pyvips.Image.new_from_file(str(path), n=-1)
    assert made.get("n-pages") == 5 and made.get("page-height") == expected[1]
    assert made.get("loop") == pyvips.Image.new_from_file(str(source), n=-1).get("loop")
    assert _near(_frames(path), _frames(source))
    top_rows = [made(15, expected[1] * n)[:3] for n in range(5)]
    if fit != "contain":
        assert _near(top_rows, _frames(source))


def test_a_crop_cuts_every_frame(operate: Operate, source: Path) -> None:
    output, path = operate("crop_image", source, aspect="1:1")
    assert (output.width_px, output.height_px, output.facts["frames"]) == (40, 40, 5)
    assert _near(_frames(path), _frames(source))


@pytest.mark.parametrize("target", ["jpeg", "png", "avif", "tiff"])
def test_elsewhere_the_first_frame_stands(operate: Operate, source: Path, target: str) -> None:
    for operation, params in (("convert_image", {}), ("resize_image", {"width": 30})):
        output, path = operate(operation, source, format=target, **params)
        made = pyvips.Image.new_from_file(str(path))
        assert (made.width, made.height) == (output.width_px, output.height_px)
        assert output.duration_s is None and output.facts["frames"] == 1
        assert _near([made(5, 5)[:3]], _frames(source)[:1])


def test_frames_that_are_equal_may_be_merged_by_the_encoder(operate: Operate, tmp_path: Path) -> None:
    source = tmp_path / "same.gif"
    image = pictures.animation(frames=4)
    flat = (image * 0 + 90).cast("uchar").copy()
    flat.gifsave(str(source), keep_duplicate_frames=True)
    output, _path = operate("convert_image", source, format="webp")
    assert output.mime == "image/webp"


def test_two_hundred_frames_stream_through(operate: Operate, tmp_path: Path) -> None:
    source = tmp_path / "long.gif"
    pages = [
        pyvips.Image.black(80, 60, bands=3).linear(1, [n * 41 % 256, 255 - n, n * 97 % 256]).cast("uchar")
        for n in range(200)
    ]
    image = pyvips.Image.arrayjoin(pages, across=1).copy(interpretation="srgb")
    image.set_type(pyvips.GValue.gint_type, "page-height", 60)
    image.set_type(pyvips.GValue.array_int_type, "delay", [50] * 200)
    image.gifsave(str(source))
    output, _path = operate("resize_image", source, width=40, format="webp")
    assert output.facts["frames"] == 200 and output.duration_s == pytest.approx(10)
