"""No output counts before it was read back."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pyvips

from geniequeue.errors import ToolError, VerifyError
from geniequeue.media import encode, verify
from geniequeue.media.decode import Picture, blamed_on
from geniequeue.sandbox.inside import Output
from tests.core import pictures, samples

FORMATS = ("jpeg", "png", "webp", "avif", "gif", "tiff")


def _written(folder: Path, format: str, **facts: int) -> tuple[Path, verify.Promise]:
    width, height = facts.get("width", 900), facts.get("height", 700)
    output = encode.save(pictures.photo(width, height), folder, format=format, quality=90)
    assert isinstance(output, Output)
    return folder / output.name, verify.Promise(format, width, height)


@pytest.mark.parametrize("format", FORMATS)
def test_a_sound_output_passes(tmp_path: Path, format: str) -> None:
    path, promise = _written(tmp_path, format)
    verify.verify(path, promise)


def _truncate(data: bytes) -> bytes:
    return data[: len(data) * 97 // 100]


def _zero_the_end(data: bytes) -> bytes:
    return data[: len(data) * 9 // 10] + bytes(len(data) - len(data) * 9 // 10)


def _zero_the_middle(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(6000) + data[middle + 6000 :]


def _empty(_data: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [_truncate, _zero_the_end, _zero_the_middle, _empty])
@pytest.mark.parametrize("format", FORMATS)
def test_a_damaged_output_is_found(tmp_path: Path, format: str, damage: Callable[[bytes], bytes]) -> None:
    path, promise = _written(tmp_path, format)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(VerifyError):
        verify.verify(path, promise)


@pytest.mark.parametrize("damage", [_truncate, _zero_the_end, _zero_the_middle])
def test_a_damaged_large_jpeg_is_found_at_an_eighth(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path, promise = _written(tmp_path, "jpeg", width=2001, height=1403)
    verify.verify(path, promise)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(VerifyError):
        verify.verify(path, promise)


@pytest.mark.parametrize(
    "promise",
    [
        verify.Promise("jpeg", 901, 700),
        verify.Promise("jpeg", 900, 699),
        verify.Promise("png", 900, 700),
        verify.Promise("jpeg", 900, 700, frames=2),
    ],
)
def test_another_size_or_format_than_promised_is_found(tmp_path: Path, promise: verify.Promise) -> None:
    path, _ = _written(tmp_path, "jpeg")
    with pytest.raises(VerifyError):
        verify.verify(path, promise)


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_of_one_colour_is_no_damage(tmp_path: Path, format: str) -> None:
    flat = (pyvips.Image.black(3000, 2000, bands=3) + 255).cast("uchar").copy(interpretation="srgb")
    for image in (flat, flat.extract_band(0).copy(interpretation="b-w")):
        assert encode.save(image, tmp_path, format=format).width_px == 3000


def _profile_with_zeros() -> bytes:
    """sRGB with a description padded by zeros, longer than any that tells damage."""
    profile = bytearray(pyvips.Operation.call("profile_load", "srgb"))
    profile += bytes(6000)
    profile[:4] = struct.pack(">I", len(profile))
    return bytes(profile)


def _tagged(image: pyvips.Image) -> pyvips.Image:
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", _profile_with_zeros())
    return image


@pytest.mark.parametrize("extension", ["jpg", "webp", "png"])
@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("convert_image", {"format": "jpeg"}),
        ("convert_image", {"format": "webp"}),
        ("resize_image", {"width": 600}),
        ("crop_image", {"aspect": "1:1"}),
        ("apply_watermark", {"watermark_text": "@creator"}),
    ],
)
def test_zeros_in_a_colour_profile_are_no_damage(
    tmp_path: Path, extension: str, operation: str, params: dict[str, Any]
) -> None:
    path = tmp_path / f"input.{extension}"
    _tagged(pictures.photo(900, 700)).write_to_file(str(path), keep="icc")
    assert bytes(5000) in path.read_bytes() or extension == "png"
    made, _ = samples.run(operation, path, tmp_path / "out", **params)
    assert bytes(5000) in made.read_bytes() or made.suffix == ".png"


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_a_hole_in_the_pixels_is_found_behind_a_profile_with_zeros(tmp_path: Path, format: str) -> None:
    output = encode.save(_tagged(pictures.photo(900, 700)), tmp_path, format=format, quality=90)
    path, promise = tmp_path / output.name, verify.Promise(format, 900, 700)
    verify.verify(path, promise)
    path.write_bytes(_zero_the_middle(path.read_bytes()))
    with pytest.raises(VerifyError):
        verify.verify(path, promise)


FLAT_COLOURS = ([0, 0, 0], [255, 255, 255], [128, 128, 128], [255, 0, 0], [1, 2, 3], [0, 0, 255])


@pytest.mark.parametrize(
    ("format", "quality"),
    [
        # quality makes no difference to these
        *(("png", 85), ("gif", 85)),
        *((format, quality) for format in ("jpeg", "webp", "avif", "tiff") for quality in (1, 50, 85, 100)),
    ],
)
def test_no_flat_picture_is_refused_at_any_quality(tmp_path: Path, format: str, quality: int) -> None:
    for number, colour in enumerate(FLAT_COLOURS):
        for size in ((1, 1), (17, 300), (400, 300) if format == "avif" else (1300, 1000)):
            flat = (pyvips.Image.black(*size, bands=3) + colour).cast("uchar").copy(interpretation="srgb")
            grey = flat.extract_band(0).copy(interpretation="b-w")
            for image in (flat, grey):
                assert (
                    encode.save(image, tmp_path, format=format, quality=quality, stem=f"{number}").width_px == size[0]
                )


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize(("format", "quality"), [("jpeg", 1), ("jpeg", 100), ("webp", 1), ("png", 85), ("gif", 85)])
def test_no_large_flat_picture_is_refused(tmp_path: Path, format: str, quality: int, value: int) -> None:
    flat = (pyvips.Image.black(6000, 4000, bands=3) + value).cast("uchar").copy(interpretation="srgb")
    assert encode.save(flat, tmp_path, format=format, quality=quality).height_px == 4000


@pytest.mark.parametrize("format", ["jpeg", "png"])
@pytest.mark.parametrize("damage", [_truncate, _zero_the_middle, _empty])
def test_damage_is_found_in_a_file_that_is_read_along(
    tmp_path: Path, format: str, damage: Callable[[bytes], bytes]
) -> None:
    sound, promise = _written(tmp_path, format, width=1500, height=1000)
    data, path = sound.read_bytes(), tmp_path / "grown"
    with verify.reading_along(path, promise) as decoding:
        assert decoding is not None
        path.write_bytes(damage(data))
    with pytest.raises(VerifyError):
        verify.verify(path, promise, decoding=decoding)


def test_a_file_that_grows_by_pieces_is_read_to_its_end(tmp_path: Path) -> None:
    sound, promise = _written(tmp_path, "jpeg", width=1500, height=1000)
    data, path = sound.read_bytes(), tmp_path / "grown"
    with verify.reading_along(path, promise) as decoding, path.open("wb", buffering=0) as file:
        for at in range(0, len(data), 100_000):
            file.write(data[at : at + 100_000])
    verify.verify(path, promise, decoding=decoding)


@pytest.mark.parametrize("begun", [False, True])
def test_a_writer_that_fails_does_not_leave_a_reader_waiting(tmp_path: Path, begun: bool) -> None:
    path = tmp_path / "output.jpg"
    with (
        pytest.raises(OSError, match="disk full"),
        verify.reading_along(path, verify.Promise("jpeg", 2000, 2000)) as decoding,
    ):
        if begun:
            path.write_bytes(b"\xff\xd8\xff\xe0")
        raise OSError("disk full")
    assert decoding is not None and decoding.done()


def test_a_failure_of_ours_is_not_blamed_on_a_sound_picture(tmp_path: Path) -> None:
    source = tmp_path / "in.jpg"
    pictures.photo().jpegsave(str(source))
    with pytest.raises(ToolError), blamed_on(source):
        raise pyvips.Error("disk full")
    with pytest.raises(ToolError):
        encode.save(Picture(pictures.photo(), "jpeg", 1, source=source), tmp_path / "missing", format="png")
