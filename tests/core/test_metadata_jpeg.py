"""JPEG: the segments a picture needs stay, bit by bit; everything else is gone, however it is hidden."""

from __future__ import annotations

import resource
import struct
import time
import zipfile
from pathlib import Path

import pytest

from geniequeue.media import jpeg_segments
from geniequeue.media.orientation import minimal_exif, orientation
from geniequeue.media.pieces import Broken
from tests.core import samples


def jpeg(tmp_path: Path, **options: object) -> Path:
    path = tmp_path / "input.jpg"
    samples.photo().jpegsave(str(path), **options)
    return path


def with_segment(path: Path, marker: int, payload: bytes) -> None:
    content = path.read_bytes()
    segment = bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload
    path.write_bytes(content[:2] + segment + content[2:])


def scans(content: bytes) -> bytes:
    """The entropy coded data of a baseline JPEG, from the start of scan on."""
    return content[content.rindex(b"\xff\xda") : content.rindex(b"\xff\xd9")]


def test_row_61_no_thumbnail_no_script_no_maker_note_is_left(tmp_path: Path) -> None:
    source, thumbnail = jpeg(tmp_path), tmp_path / "thumbnail.jpg"
    samples.photo(64, 48, level=90).jpegsave(str(thumbnail))
    samples.exiftool(
        "-q", "-overwrite_original", f"-ThumbnailImage<={thumbnail}", "-GPSLatitude=48.1", "-GPSLatitudeRef=N",
        "-SerialNumber=SN-4711", "-Comment=" + "<script>alert(1)</script>" * 2600,
        "-XMP:Description=" + "<script>" * 4000, source,
    )  # fmt: skip
    with_segment(source, 0xE1, b"Exif\0\0" + looping_exif())
    assert b"<script>" in source.read_bytes()
    made, _ = samples.run("strip_metadata", source, tmp_path / "out")
    left = samples.tags(made)
    assert {name.split(":")[0] for name in left} <= {"JFIF"}
    assert scans(made.read_bytes()) == scans(source.read_bytes())
    assert samples.pixels_of(made) == samples.pixels_of(source)


def looping_exif() -> bytes:
    """Exif whose maker note, sub-directory and next directory all point back to the first directory."""
    entries = struct.pack(">HHII", 0x8769, 4, 1, 8) + struct.pack(">HHII", 0x927C, 7, 0xFFFFFFFF, 8)
    return b"MM\0*" + struct.pack(">IH", 8, 2) + entries + struct.pack(">I", 8)


@pytest.mark.parametrize("value", range(1, 10))
def test_row_61_the_effect_of_the_orientation_stays_as_the_only_exif_tag(value: int, tmp_path: Path) -> None:
    source = jpeg(tmp_path)
    samples.exiftool("-q", "-overwrite_original", f"-Orientation#={value}", "-Artist=me", source)
    made, output = samples.run("strip_metadata", source, tmp_path / "out")
    exif = {name: shown for name, shown in samples.tags(made).items() if not name.startswith("JFIF")}
    assert set(exif) == ({"IFD0:Orientation"} if 2 <= value <= 8 else set())
    assert samples.differs(samples.read(made).autorot(), samples.read(source).autorot()) == 0
    assert (output.width_px, output.height_px) == ((240, 320) if 5 <= value <= 8 else (320, 240))


def test_row_60_a_trailer_of_a_hundred_megabytes_is_gone(tmp_path: Path) -> None:
    source = jpeg(tmp_path)
    clean = source.read_bytes()
    with source.open("ab") as file:
        file.truncate(len(clean) + 100_000_000)
    started = time.perf_counter()
    made, _ = samples.run("strip_metadata", source, tmp_path / "out")
    assert time.perf_counter() - started < 5
    assert made.stat().st_size <= len(clean)


def test_row_60_a_polyglot_is_only_a_picture_afterwards(tmp_path: Path) -> None:
    source = jpeg(tmp_path)
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr("index.php", "<?php system('id');")
    with_segment(source, 0xFE, b"<html><script>alert(1)</script></html>")
    made, _ = samples.run("strip_metadata", source, tmp_path / "out")
    assert not zipfile.is_zipfile(made)
    assert b"php" not in made.read_bytes()
    assert b"<html" not in made.read_bytes()


def test_row_63_a_content_credential_is_stripped_whole(tmp_path: Path) -> None:
    source = jpeg(tmp_path)
    for number in (2, 1):
        with_segment(source, 0xEB, b"JP" + struct.pack(">HI", 1, number) + b"\0\0\0\x20jumbc2pa" + bytes(200))
    made, _ = samples.run("strip_metadata", source, tmp_path / "out")
    assert b"c2pa" not in made.read_bytes()
    assert not any("JUMBF" in name for name in samples.tags(made))


def test_further_pictures_behind_the_first_are_gone(tmp_path: Path) -> None:
    source = jpeg(tmp_path)
    clean = source.read_bytes()
    with_segment(source, 0xE2, b"MPF\0" + bytes(60))
    source.write_bytes(source.read_bytes() + clean)
    made, _ = samples.run("strip_metadata", source, tmp_path / "out")
    assert made.read_bytes().count(b"\xff\xd8\xff") == 1
    assert b"MPF" not in made.read_bytes()


def test_the_thumbnail_in_a_jfif_header_is_gone(tmp_path: Path) -> None:
    source = jpeg(tmp_path)
    header = b"JFIF\0\x01\x01\0\0\x48\0\x48" + bytes((4, 4)) + b"UNCROPPEDORIGINAL" * 3
    with_segment(source, 0xE0, header)
    made, _ = samples.run("strip_metadata", source, tmp_path / "out")
    assert b"UNCROPPED" not in made.read_bytes()
    assert samples.pixels_of(made) == samples.pixels_of(source)


@pytest.mark.parametrize("options", ({"interlace": True}, {"restart_interval": 4}, {"subsample_mode": "off"}))
def test_progressive_and_restarting_pictures_keep_every_bit(options: dict[str, object], tmp_path: Path) -> None:
    source = jpeg(tmp_path, **options)
    with_segment(source, 0xFE, b"secret")
    made, _ = samples.run("strip_metadata", source, tmp_path / "out")
    assert b"secret" not in made.read_bytes()
    assert samples.pixels_of(made) == samples.pixels_of(source)


def test_cmyk_keeps_the_segment_that_says_how_its_inks_are_stored(tmp_path: Path) -> None:
    source = tmp_path / "input.jpg"
    samples.photo().icc_transform("cmyk", input_profile="srgb").jpegsave(str(source))
    made, _ = samples.run("strip_metadata", source, tmp_path / "out")
    assert samples.pixels_of(made) == samples.pixels_of(source)
    assert b"Adobe" in made.read_bytes()


@pytest.mark.parametrize(
    "noise", (b"\xff" * 300_000, b"\xff\x00" * 150_000, b"\xff\xe1\x00\x02" * 75_000, b"A" * 300_000)
)
def test_hostile_bytes_cost_no_more_than_their_length(noise: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(Broken):
        jpeg_segments.strip(b"\xff\xd8" + noise, True)
    assert time.perf_counter() - started < 2


def test_only_the_first_directory_is_searched_for_the_orientation() -> None:
    assert orientation(looping_exif()) == 1
    assert [orientation(minimal_exif(value)) for value in range(10)] == [1, 1, 2, 3, 4, 5, 6, 7, 8, 1]
    assert orientation(b"II*\0\xff\xff\xff\xff" + bytes(20)) == 1
    assert orientation(b"II*\0\x08\0\0\0\xff\xff") == 1


def test_memory_does_not_grow_with_what_is_dropped(tmp_path: Path) -> None:
    source = jpeg(tmp_path)
    source.write_bytes(source.read_bytes() + b"junk" * 30_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    samples.run("strip_metadata", source, tmp_path / "out")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (200, 3), (3, 100), (8, 8)])
def test_a_picture_smaller_than_a_block_is_stripped_like_any_other(size: tuple[int, int], tmp_path: Path) -> None:
    source = tmp_path / "small.jpg"
    samples.photo(*size).write_to_file(str(source))
    made, output = samples.run("strip_metadata", source, tmp_path / "out")
    assert (output.width_px, output.height_px) == size
    assert samples.pixels_of(made) == samples.pixels_of(source)
