"""Row 64: colours stay right through every operation, seen as a colour-managed viewer sees them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import pyvips

from geniequeue.errors import InputError
from tests.core import pictures
from tests.core.conftest import Operate

MAX_DE = 3.0


def _difference(path: Path, expected: pyvips.Image) -> float:
    return pictures.worst_difference(pictures.lab_of(path), expected)


@pytest.mark.parametrize("target", ["jpeg", "png", "webp", "avif", "tiff"])
@pytest.mark.parametrize("patches", [pictures.PATCHES, pictures.WIDE_PATCHES], ids=["plain", "wide"])
def test_row_64_wide_gamut_keeps_its_colours_where_the_target_carries_a_profile(
    operate: Operate, tmp_path: Path, target: str, patches: list[tuple[float, float, float]]
) -> None:
    chart = pictures.chart(patches)
    source = tmp_path / "p3.png"
    pictures.coded(chart, "p3").pngsave(str(source))
    quality = {} if target in ("png", "tiff") else {"quality": 95}
    output, path = operate("convert_image", source, format=target, **quality)
    assert output.facts["icc_in"] and output.facts["icc"]
    assert _difference(path, chart) <= MAX_DE


def test_row_64_wide_gamut_becomes_srgb_where_the_target_carries_no_profile(operate: Operate, tmp_path: Path) -> None:
    chart = pictures.chart()
    source = tmp_path / "p3.png"
    pictures.coded(chart, "p3").pngsave(str(source))
    output, path = operate("convert_image", source, format="gif")
    assert not output.facts["icc"]
    assert _difference(path, chart) <= MAX_DE


@pytest.mark.parametrize("format", ["jpg", "tif"])
@pytest.mark.parametrize("target", ["jpeg", "png", "webp", "tiff"])
def test_row_64_cmyk_becomes_srgb_by_its_own_profile(
    operate: Operate, tmp_path: Path, format: str, target: str
) -> None:
    source = tmp_path / f"cmyk.{format}"
    pictures.coded(pictures.chart(pictures.PATCHES[18:] + pictures.PATCHES[:6]), "cmyk").write_to_file(
        str(source), **({"Q": 100} if format == "jpg" else {})
    )
    seen_in = pictures.lab_of(source)
    output, path = operate("convert_image", source, format=target, quality=95)
    made = pyvips.Image.new_from_file(str(path))
    assert made.bands == 3 and not output.facts["icc"]
    assert _difference(path, seen_in) <= MAX_DE


def test_row_64_cmyk_without_a_profile_is_read_by_the_standard_one(operate: Operate, tmp_path: Path) -> None:
    source = tmp_path / "bare.jpg"
    chart = pictures.coded(pictures.chart(pictures.PATCHES[:12]), "cmyk")
    expected = chart.icc_import(embedded=True, intent="relative")
    chart.jpegsave(str(source), Q=100, keep="none")
    _output, path = operate("convert_image", source, format="png")
    assert _difference(path, expected) <= MAX_DE
    _output, path = operate("resize_image", source, width=chart.width * 2, upscale=True, format="png")
    assert pictures.worst_difference(pictures.lab_of(path).shrink(2, 2), expected) <= MAX_DE


@pytest.mark.parametrize("target", ["png", "tiff", "jpeg", "webp", "avif", "gif"])
def test_row_64_sixteen_bits_are_kept_or_brought_to_eight(operate: Operate, tmp_path: Path, target: str) -> None:
    chart = pictures.chart()
    source = tmp_path / "deep.png"
    pictures.coded(chart, "srgb", depth=16).pngsave(str(source))
    output, path = operate("convert_image", source, format=target, quality=95)
    assert output.facts["bits_in"] == 16
    assert pyvips.Image.new_from_file(str(path)).format == ("ushort" if target in ("png", "tiff") else "uchar")
    assert _difference(path, chart) <= MAX_DE


def test_row_64_a_resize_and_a_crop_keep_wide_gamut(operate: Operate, tmp_path: Path) -> None:
    chart = pictures.chart(pictures.WIDE_PATCHES)
    source = tmp_path / "p3.jpg"
    pictures.coded(chart, "p3").jpegsave(str(source), Q=95)
    _output, path = operate("crop_image", source, x=0, y=0, width=chart.width, height=chart.height)
    assert _difference(path, chart) <= MAX_DE
    _output, path = operate("resize_image", source, width=chart.width * 2, upscale=True)
    half = pictures.lab_of(path).shrink(2, 2)
    assert pictures.worst_difference(half, chart) <= MAX_DE


@pytest.mark.parametrize("background", ["#ffffff", "#f80", "#102030"])
@pytest.mark.parametrize("profile", ["srgb", "p3"])
@pytest.mark.parametrize("depth", [8, 16])
def test_row_64_transparency_is_laid_on_the_background_in_a_jpeg(
    operate: Operate, tmp_path: Path, background: str, profile: str, depth: int
) -> None:
    from geniequeue.media.colour import rgb

    source = tmp_path / "alpha.png"
    pictures.with_alpha(pictures.coded(pictures.chart(), profile, depth)).pngsave(str(source))
    output, path = operate("convert_image", source, format="jpeg", background=background, quality=95)
    seen = pictures.lab_of(path)
    flat = (pyvips.Image.black(1, 1, bands=3) + list(rgb(background))).cast("uchar").copy(interpretation="srgb")
    wanted = flat.icc_import(input_profile="srgb", embedded=False, intent="relative")
    assert output.width_px is not None
    spot = seen.crop(output.width_px - 20, 20, 10, 10).shrink(10, 10)
    assert spot.dE00(wanted)(0, 0)[0] <= MAX_DE


@pytest.mark.parametrize("target", ["png", "webp", "avif", "gif", "tiff"])
def test_row_64_transparency_stays_where_the_target_has_it(operate: Operate, tmp_path: Path, target: str) -> None:
    source = tmp_path / "alpha.png"
    pictures.with_alpha(pictures.photo(64, 64)).pngsave(str(source))
    for operation, params in (("convert_image", {}), ("resize_image", {"width": 32})):
        _output, path = operate(operation, source, format=target, **params)
        made = pyvips.Image.new_from_file(str(path))
        assert made.hasalpha() and made(2, 2)[3] == 255 and made(made.width - 2, 2)[3] == 0


@pytest.mark.parametrize("target", ["jpeg", "png", "webp", "avif", "gif", "tiff"])
def test_row_64_grey_stays_grey(operate: Operate, tmp_path: Path, target: str) -> None:
    source = tmp_path / "grey.png"
    pictures.photo(bands=1).pngsave(str(source))
    _output, path = operate("convert_image", source, format=target, quality=95)
    made, original = pyvips.Image.new_from_file(str(path)), pyvips.Image.new_from_file(str(source))
    levels = made if made.bands == 1 else made.extract_band(1)
    assert (levels - original).abs().avg() < 3
    assert made.bands == 1 or ((made.extract_band(0) - made.extract_band(2)).abs().avg() < 2)


@pytest.mark.parametrize("target", ["jpeg", "png", "webp", "gif"])
def test_row_64_a_palette_is_resolved(operate: Operate, tmp_path: Path, target: str) -> None:
    source = tmp_path / "palette.png"
    pictures.corners().pngsave(str(source), palette=True)
    assert source.read_bytes()[25] == 3
    _output, path = operate("convert_image", source, format=target, quality=95)
    made = pyvips.Image.new_from_file(str(path))
    for point, colour in (((10, 8), (255, 0, 0)), ((50, 8), (0, 255, 0)), ((10, 24), (0, 0, 255))):
        assert all(abs(got - want) < 20 for got, want in zip(made(*point), colour, strict=False))


def test_a_broken_profile_is_dropped(operate: Operate, tmp_path: Path) -> None:
    image = pictures.photo().copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", b"<script>" * 100)
    source = tmp_path / "in.jpg"
    image.jpegsave(str(source))
    output, path = operate("convert_image", source, format="jpeg")
    assert not output.facts["icc"] and b"<script>" not in path.read_bytes()


@pytest.mark.parametrize("format", ["heic", "bmp", "psd"])
def test_formats_that_libvips_does_not_read_come_through_magick(operate: Operate, tmp_path: Path, format: str) -> None:
    chart = pictures.chart()
    source = pictures.by_magick(pictures.coded(chart, "srgb"), tmp_path / "in", format)
    output, path = operate("convert_image", source, format="png")
    assert output.facts["format_in"] == format
    assert _difference(path, chart) <= MAX_DE
    output, path = operate("resize_image", source, width=100)
    assert output.mime == "image/jpeg" and output.width_px == 100


@pytest.mark.parametrize("format", ["heic", "psd"])
def test_a_wide_gamut_profile_survives_magick(operate: Operate, tmp_path: Path, format: str) -> None:
    chart = pictures.chart(pictures.WIDE_PATCHES)
    coded = pictures.coded(chart, "p3")
    source = pictures.by_magick(coded, tmp_path / "in", format, compression_quality=98)
    if format == "heic":
        profile = bytes(coded.get("icc-profile-data"))
        source.write_bytes(pictures.heic_with(source.read_bytes(), b"colr", b"prof" + profile))
    output, path = operate("convert_image", source, format="png")
    assert output.facts["icc"]
    assert _difference(path, chart) <= MAX_DE


def _nclx(primaries: int, transfer: int) -> bytes:
    return b"nclx" + struct.pack(">HHHB", primaries, transfer, 6, 0x80)


def test_wide_gamut_named_by_code_points_is_understood(operate: Operate, tmp_path: Path) -> None:
    chart = pictures.chart(pictures.WIDE_PATCHES)
    source = pictures.by_magick(pictures.coded(chart, "p3"), tmp_path / "in", "heic", compression_quality=98)
    source.write_bytes(pictures.heic_with(source.read_bytes(), b"colr", _nclx(12, 13)))
    output, path = operate("convert_image", source, format="png")
    assert output.facts["icc"]
    assert _difference(path, chart) <= MAX_DE


@pytest.mark.parametrize("transfer", [16, 18])
def test_row_64_hdr_is_refused_with_a_sentence(operate: Operate, tmp_path: Path, transfer: int) -> None:
    source = pictures.by_magick(pictures.photo(), tmp_path / "in", "heic")
    source.write_bytes(pictures.heic_with(source.read_bytes(), b"colr", _nclx(9, transfer)))
    with pytest.raises(InputError, match="standard dynamic range") as caught:
        operate("convert_image", source, format="png")
    assert caught.value.reason == "hdr_not_supported"


def test_a_turned_heic_is_turned_once(operate: Operate, tmp_path: Path) -> None:
    image = pictures.corners().resize(4, kernel="nearest")
    source = pictures.by_magick(image, tmp_path / "in", "heic", compression_quality=95)
    source.write_bytes(pictures.heic_with(source.read_bytes(), b"irot", b"\x01"))  # 90 degrees anticlockwise
    output, path = operate("convert_image", source, format="png")
    assert (output.width_px, output.height_px) == (128, 256)
    assert (output.facts["width_in_px"], output.facts["height_in_px"]) == (128, 256)
    red, green, blue = pyvips.Image.new_from_file(str(path))(5, 5)
    assert green > 200 and red < 60 and blue < 60
    output, _path = operate("resize_image", source, width=64)
    assert (output.width_px, output.height_px) == (64, 128)
