"""`apply_steganographic_watermark`: every format comes out marked, proved and unseen, or is refused with a sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pyvips

from geniequeue.errors import InputError
from geniequeue.media.fan_mark import READ_BACK_SCORE
from tests.core import samples
from tests.core.leaks import KEY, OTHER_KEY, SAMPLE, mark, small_sample
from tests.core.pictures import by_magick, with_alpha

FORMATS = ("jpeg", "png", "webp", "avif", "gif", "tiff")
TRACE_ID = 0x00AB_0102_0304_05FF


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_sample(tmp_path_factory.mktemp("photo") / "photo.png", 640)


def psnr_db(first: pyvips.Image, second: pyvips.Image) -> float:
    error = (first[:3].cast("float") - second[:3].cast("float")) ** 2
    return float((255 * 255 / pyvips.Image.new_from_array([[error.avg()]])).log10()(0, 0)[0]) * 10


@pytest.mark.parametrize("format", FORMATS)
def test_a_photograph_is_marked_in_every_format(photo: Path, tmp_path: Path, format: str) -> None:
    made = mark(photo, tmp_path / "out", TRACE_ID, format=format, quality=85)
    assert made.copy.facts["mark_score"] >= READ_BACK_SCORE
    assert (made.copy.facts["format"], made.copy.width_px, made.copy.height_px) == (format, 640, 360)
    assert (made.kept.role, made.kept.width_px, made.kept.height_px) == ("plane", 640, 360)
    if format in ("png", "tiff"):
        assert psnr_db(samples.read(photo), samples.read(made.path)) >= 47.5


def _grey(image: pyvips.Image, path: Path) -> Path:
    image.colourspace("b-w").jpegsave(str(path), Q=95)
    return path


def _deep(image: pyvips.Image, path: Path) -> Path:
    (image.colourspace("rgb16")).pngsave(str(path), bitdepth=16)
    return path


def _transparent(image: pyvips.Image, path: Path) -> Path:
    with_alpha(image).pngsave(str(path))
    return path


@pytest.mark.parametrize(
    "written",
    [
        _grey,
        _deep,
        _transparent,
        lambda image, path: by_magick(image, path, "heic"),
    ],
    ids=["grey", "16 bit", "transparent", "heic"],
)
def test_every_kind_of_picture_is_marked(
    photo: Path, tmp_path: Path, written: Callable[[pyvips.Image, Path], Path]
) -> None:
    source = written(pyvips.Image.new_from_file(str(photo)), tmp_path / "input")
    made = mark(source, tmp_path / "out", TRACE_ID)
    assert made.copy.facts["mark_score"] >= READ_BACK_SCORE
    copy = samples.read(made.path)
    assert (copy.width, copy.height) == (640, 360)
    if written is _deep:
        assert copy.format == "ushort"
    if written is _transparent:
        assert (copy.extract_band(3) - samples.read(source).extract_band(3)).abs().max() == 0


@pytest.mark.parametrize("format", ["gif", "webp"])
def test_each_frame_of_an_animation_is_marked(photo: Path, tmp_path: Path, format: str) -> None:
    still = pyvips.Image.new_from_file(str(photo)).resize(0.8)
    joined = pyvips.Image.arrayjoin([still, still.fliphor(), still], across=1).copy()
    joined.set_type(pyvips.GValue.gint_type, "page-height", still.height)
    joined.set_type(pyvips.GValue.array_int_type, "delay", [100, 100, 100])
    source = tmp_path / f"input.{format}"
    joined.write_to_file(str(source), **({"Q": 90} if format == "webp" else {}))
    made = mark(source, tmp_path / "out", TRACE_ID)
    assert made.copy.facts["frames"] == 3
    before, after = samples.read(source, n=-1), samples.read(made.path, n=-1)
    moved = [
        (before[:3] - after[:3]).abs().crop(0, n * still.height, still.width, still.height).avg() for n in range(3)
    ]
    assert min(moved) > 0.3


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        (lambda: samples.photo(20, 20), "200 pixels"),
        (lambda: samples.photo(32, 32), "200 pixels"),
        (lambda: samples.photo(1, 1), "200 pixels"),
        (lambda: pyvips.Image.black(800, 600, bands=3).copy(interpretation="srgb"), "flat"),
    ],
    ids=["20x20 icon", "32x32", "1x1", "flat"],
)
def test_a_picture_that_cannot_carry_a_mark_is_refused_with_a_sentence(
    tmp_path: Path, drawn: Callable[[], pyvips.Image], said: str
) -> None:
    source = tmp_path / "input.png"
    drawn().pngsave(str(source))
    with pytest.raises(InputError, match=said) as caught:
        mark(source, tmp_path / "out", TRACE_ID)
    assert caught.value.reason == "cannot_carry_mark"


def test_a_mark_that_does_not_come_through_the_encoder_is_refused(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can not be read") as caught:
        mark(photo, tmp_path / "out", TRACE_ID, format="jpeg", quality=1, strength=0.5)
    assert caught.value.reason == "cannot_carry_mark"


def test_row_66_a_mark_that_is_there_already_is_seen_through_recompression(tmp_path: Path) -> None:
    first = mark(small_sample(tmp_path / "photo.png", 1200), tmp_path / "first", TRACE_ID, format="jpeg")
    again = tmp_path / "again.jpg"
    pyvips.Image.new_from_file(str(first.path)).resize(0.9).jpegsave(str(again), Q=80)
    second = mark(again, tmp_path / "second", TRACE_ID + 1, keys=[KEY])
    assert second.copy.facts["marked_with"] == f"{TRACE_ID >> 16:012x}"
    assert first.copy.facts["marked_with"] is None


def test_a_mark_of_another_key_is_none_of_ours(tmp_path: Path) -> None:
    small = small_sample(tmp_path / "small.jpg", 500)
    first = mark(small, tmp_path / "first", TRACE_ID)
    assert mark(first.path, tmp_path / "second", 1, keys=[OTHER_KEY]).copy.facts["marked_with"] is None


def test_the_copy_has_no_metadata(tmp_path: Path) -> None:
    source, private = tmp_path / "input.jpg", ("GPS", "IFD0", "ExifIFD", "XMP")
    pyvips.Image.thumbnail(str(SAMPLE), 640).jpegsave(str(source), Q=95, keep="all")
    assert any(name.startswith(private) for name in samples.tags(source))
    made = mark(source, tmp_path / "out", TRACE_ID)
    assert not any(name.startswith(private) for name in samples.tags(made.path))


def test_a_further_copy_is_proved_with_the_plane_that_is_kept(photo: Path, tmp_path: Path) -> None:
    first = mark(photo, tmp_path / "first", TRACE_ID)
    second = mark(photo, tmp_path / "second", TRACE_ID + 1, kept=first.plane)
    assert second.kept.facts["kept_sha256"] == first.kept.facts["sha256"]
    # another decoder has rounded some pixels otherwise
    rounded = tmp_path / "rounded.png"
    plane = samples.read(first.plane).numpy().reshape(360, 640).copy()
    plane[::7, ::5] += (plane[::7, ::5] < 255).astype(np.uint8)
    pyvips.Image.new_from_array(plane).cast("uchar").copy(interpretation="b-w").pngsave(str(rounded))
    third = mark(photo, tmp_path / "third", TRACE_ID, kept=rounded)
    assert third.kept.facts["kept_sha256"] == hashlib.sha256(plane.tobytes()).hexdigest()
    assert third.kept.facts["kept_sha256"] != third.kept.facts["sha256"]
    assert READ_BACK_SCORE <= third.copy.facts["mark_score"] != first.copy.facts["mark_score"]


def test_a_copy_on_another_background_is_refused_where_that_would_harm_its_trace(photo: Path, tmp_path: Path) -> None:
    """Traces lay leaks over the plane of the first copy, on which transparent parts are of its background."""
    image = pyvips.Image.new_from_file(str(photo))
    half, faint = tmp_path / "half.png", tmp_path / "faint.png"
    with_alpha(image).pngsave(str(half))
    image.bandjoin((pyvips.Image.xyz(640, 360)[0] * (255 / 640)).cast("uchar")).pngsave(str(faint))
    kept = {source: mark(source, tmp_path / "white", 1, format="jpeg").plane.read_bytes() for source in (half, faint)}
    planes = {source: source.with_suffix(".plane") for source in kept}
    for source, plane in planes.items():
        plane.write_bytes(kept[source])
    with pytest.raises(InputError, match="background") as caught:
        mark(half, tmp_path / "black", 2, format="jpeg", background="#000000", kept=planes[half])
    assert caught.value.reason == "asset_changed"
    mark(half, tmp_path / "white", 2, format="jpeg", background="#ffffff", kept=planes[half])
    # a light that changes slowly over the picture is evened out before a leak is read
    mark(faint, tmp_path / "black", 2, format="jpeg", background="#000000", kept=planes[faint])


def test_a_copy_of_another_picture_than_the_first_one_is_refused(photo: Path, tmp_path: Path) -> None:
    first, other = mark(photo, tmp_path / "first", TRACE_ID), tmp_path / "other.png"
    samples.photo(640, 360).pngsave(str(other))
    with pytest.raises(InputError, match="replaced") as caught:
        mark(other, tmp_path / "other", TRACE_ID + 1, kept=first.plane)
    assert caught.value.reason == "asset_changed"
