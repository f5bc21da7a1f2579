"""No output counts before it was read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import pyvips

from geniequeue.errors import ToolError, VerifyError
from geniequeue.media import encode, verify
from geniequeue.media.decode import Picture, blamed_on
from geniequeue.sandbox.inside import Output
from tests.core import pictures

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


def test_a_failure_of_ours_is_not_blamed_on_a_sound_picture(tmp_path: Path) -> None:
    source = tmp_path / "in.jpg"
    pictures.photo().jpegsave(str(source))
    with pytest.raises(ToolError), blamed_on(source):
        raise pyvips.Error("disk full")
    with pytest.raises(ToolError):
        encode.save(Picture(pictures.photo(), "jpeg", 1, source=source), tmp_path / "missing", format="png")
