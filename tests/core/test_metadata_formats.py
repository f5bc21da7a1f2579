"""Every format loses its metadata; lossless ones keep each pixel."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path
from typing import Any

import pytest

from geniequeue.errors import InputError, PolicyError
from tests.core import pictures, samples

# What describes the coding itself: groups and tags that every file of the format has.
_CODING_GROUPS = {"GIF", "RIFF", "QuickTime", "Meta", "PNG-pHYs", "APP14"}
_CODING_TAGS = {
    "IFD0:ImageWidth", "IFD0:ImageHeight", "IFD0:BitsPerSample", "IFD0:Compression", "IFD0:Predictor",
    "IFD0:PhotometricInterpretation", "IFD0:StripOffsets", "IFD0:SamplesPerPixel", "IFD0:RowsPerStrip",
    "IFD0:StripByteCounts", "IFD0:XResolution", "IFD0:YResolution", "IFD0:PlanarConfiguration",
    "IFD0:ResolutionUnit", "IFD0:SampleFormat", "IFD0:Orientation",
    "PNG:ImageWidth", "PNG:ImageHeight", "PNG:BitDepth", "PNG:ColorType", "PNG:Compression", "PNG:Filter",
    "PNG:Interlace", "PNG:AnimationFrames", "PNG:AnimationPlays",
    "JFIF:JFIFVersion", "JFIF:ResolutionUnit", "JFIF:XResolution", "JFIF:YResolution",
}  # fmt: skip


def private(path: Path) -> dict[str, object]:
    """Tags of the file that say anything but how its pixels are coded."""
    return {
        name: value
        for name, value in samples.tags(path).items()
        if name.split(":")[0] not in _CODING_GROUPS and name not in _CODING_TAGS
    }


def make(tmp_path: Path, extension: str) -> Path:
    path = tmp_path / f"input.{extension}"
    options: dict[str, dict[str, Any]] = {
        "jpg": {"Q": 90},
        "avif": {"compression": "av1"},
        "tif": {"compression": "lzw"},
    }
    samples.photo().write_to_file(str(path), **options.get(extension, {}))
    return path


def inject(path: Path) -> None:
    """Write a position, a serial number, an author, a description and a comment, in every way the format knows."""
    samples.exiftool(
        "-q", "-overwrite_original", "-GPSLatitude=48.137", "-GPSLatitudeRef=N", "-GPSLongitude=11.575",
        "-GPSLongitudeRef=E", "-SerialNumber=SN-4711", "-Artist=Erika Mustermann", "-IPTC:City=Munich",
        "-XMP:Description=born in secret", "-Comment=a secret comment", path,
    )  # fmt: skip


LOSSLESS = ("jpg", "png", "webp", "gif", "avif", "tif")


@pytest.mark.parametrize("extension", LOSSLESS)
def test_row_61_nothing_private_is_left_and_no_pixel_changes(extension: str, tmp_path: Path) -> None:
    source = make(tmp_path, extension)
    inject(source)
    needle = b"secret" if extension == "gif" else b"SN-4711"
    assert needle in source.read_bytes()
    made, output = samples.run("strip_metadata", source, tmp_path / "out")
    assert private(made) == {}
    content = made.read_bytes()
    assert not any(word in content for word in (b"SN-4711", b"Mustermann", b"secret", b"Munich"))
    assert samples.pixels_of(made) == samples.pixels_of(source)
    assert output.facts["lossless"]


@pytest.mark.parametrize("extension", LOSSLESS)
def test_stripping_twice_gives_the_same_bytes(extension: str, tmp_path: Path) -> None:
    source = make(tmp_path, extension)
    inject(source)
    once, _ = samples.run("strip_metadata", source, tmp_path / "once")
    twice, _ = samples.run("strip_metadata", once, tmp_path / "twice")
    assert once.read_bytes() == twice.read_bytes()


@pytest.mark.parametrize("extension", ("jpg", "png", "webp", "avif", "tif"))
def test_the_colour_profile_stays_unless_it_is_unwanted(extension: str, tmp_path: Path) -> None:
    source = tmp_path / f"input.{extension}"
    with_profile = samples.photo().icc_transform("p3", input_profile="srgb")
    options = {"compression": "av1"} if extension == "avif" else {}
    with_profile.write_to_file(str(source), **options)
    kept, _ = samples.run("strip_metadata", source, tmp_path / "kept")
    dropped, _ = samples.run("strip_metadata", source, tmp_path / "dropped", keep_icc=False)
    assert samples.read(kept).get("icc-profile-data") == samples.read(source).get("icc-profile-data")
    assert samples.read(dropped).get_typeof("icc-profile-data") == 0
    assert samples.pixels_of(dropped) == samples.pixels_of(source)


@pytest.mark.parametrize("extension", ("gif", "webp"))
def test_an_animation_keeps_frames_delays_and_loops(extension: str, tmp_path: Path) -> None:
    source = tmp_path / f"input.{extension}"
    samples.animation(4).write_to_file(str(source))
    inject(source)
    made, output = samples.run("strip_metadata", source, tmp_path / "out")
    before, after = samples.read(source, n=-1), samples.read(made, n=-1)
    assert samples.differs(before, after) == 0
    assert after.get("delay") == before.get("delay")
    assert after.get("loop") == before.get("loop")
    assert output.facts["frames"] == 4
    assert private(made) == {}


def test_transparency_of_an_avif_is_part_of_the_picture(tmp_path: Path) -> None:
    source = tmp_path / "input.avif"
    samples.photo().bandjoin(samples.photo(level=100)[0]).write_to_file(str(source), compression="av1")
    inject(source)
    made, _ = samples.run("strip_metadata", source, tmp_path / "out")
    assert samples.read(made).hasalpha()
    assert samples.pixels_of(made) == samples.pixels_of(source)


def test_row_65_a_heic_stays_a_heic_without_its_exif(tmp_path: Path) -> None:
    source = pictures.by_magick(samples.photo(256, 192), tmp_path / "input.heic", "heic")
    inject(source)
    assert b"SN-4711" in source.read_bytes()
    made, output = samples.run("strip_metadata", source, tmp_path / "out")
    assert output.mime == "image/heic"
    assert private(made) == {}
    assert b"SN-4711" not in made.read_bytes()


@pytest.mark.parametrize(("extension", "coder"), (("bmp", "bmp3"), ("psd", "psd")))
def test_bmp_and_psd_become_png_with_the_same_pixels(extension: str, coder: str, tmp_path: Path) -> None:
    plain, source = tmp_path / "plain.png", tmp_path / f"input.{extension}"
    samples.photo(64, 48).write_to_file(str(plain))
    pictures.by_magick(samples.photo(64, 48), source, coder)
    made, output = samples.run("strip_metadata", source, tmp_path / "out")
    assert output.mime == "image/png"
    assert samples.differs(samples.read(made), samples.read(plain)) == 0


@pytest.mark.parametrize("extension", LOSSLESS)
@pytest.mark.parametrize("percent", (1, 10, 50, 99))
def test_row_52_a_truncated_file_is_refused(extension: str, percent: int, tmp_path: Path) -> None:
    source = make(tmp_path, extension)
    content = source.read_bytes()
    source.write_bytes(content[: len(content) * percent // 100])
    with pytest.raises(InputError) as refused:
        samples.run("strip_metadata", source, tmp_path / "out")
    assert refused.value.reason in ("corrupt_file", "type_not_allowed")


@pytest.mark.parametrize("extension", LOSSLESS)
def test_damaged_bytes_are_refused_or_survived_never_a_crash(extension: str, tmp_path: Path) -> None:
    whole = make(tmp_path, extension).read_bytes()
    for seed in range(40):
        chance = random.Random(seed)
        content = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            content[chance.randrange(min(len(content), 2000))] = chance.randrange(256)
        source = tmp_path / "damaged"
        source.write_bytes(content)
        with contextlib.suppress(InputError, PolicyError):
            samples.run("strip_metadata", source, tmp_path / "out")


def test_many_small_boxes_behind_an_avif_cost_no_more_than_their_number(tmp_path: Path) -> None:
    source = tmp_path / "boxes.avif"
    samples.photo(64, 48).write_to_file(str(source), compression="av1")
    with source.open("ab") as file:
        file.write(b"\0\0\0\x08free" * 100_000)
    began = time.process_time()
    made, _ = samples.run("strip_metadata", source, tmp_path / "out")
    assert time.process_time() - began < 5
    assert made.stat().st_size < 100_000
