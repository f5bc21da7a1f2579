"""Rows of the table of bad input that concern pictures, each through the real sandbox."""

from __future__ import annotations

import io
import resource
import struct
import time
import zipfile
from pathlib import Path

import pytest
import pyvips

from geniequeue.errors import InputError, JobError, PolicyError
from geniequeue.media import probe
from geniequeue.sandbox.inside import Limits
from tests.core import pictures
from tests.core.conftest import Operate, RunInside

SVG = b"""<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1/"/><text>&x;</text></svg>"""


def _zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    return packed.getvalue()


def _refused(run_inside: RunInside, content: bytes, operation: str = "resize_image") -> JobError:
    with pytest.raises(JobError) as caught:
        run_inside(operation, content, **({"width": 50} if operation == "resize_image" else {"format": "jpeg"}))
    return caught.value


def test_row_50_an_empty_file_is_refused(run_inside: RunInside) -> None:
    error = _refused(run_inside, b"")
    assert (error.kind, error.reason) == ("input", "empty_file")


def test_row_51_text_named_jpg_is_refused(run_inside: RunInside) -> None:
    error = _refused(run_inside, b"Dear diary, this is no picture.")
    assert (error.kind, error.reason) == ("input", "type_not_allowed")
    assert "got text" in error.message


@pytest.mark.parametrize("name", ["film.mp4", "picture.jpg", "-i", "|id"])
def test_row_51_a_picture_is_known_by_content_whatever_its_name(run_inside: RunInside, name: str) -> None:
    [output] = run_inside("convert_image", pictures.photo().pngsave_buffer(), name=name, format="webp").outputs
    assert output.mime == "image/webp"
    assert output.facts["format_in"] == "png"


@pytest.mark.parametrize("percent", [10, 50, 99])
@pytest.mark.parametrize("format", ["jpg", "png", "webp", "avif", "tif", "gif"])
def test_row_52_truncated_pictures_are_refused(run_inside: RunInside, format: str, percent: int) -> None:
    whole = pictures.photo(640, 480).write_to_buffer(f".{format}")
    cut = whole[: len(whole) * percent // 100]
    for operation in ("resize_image", "convert_image"):
        error = _refused(run_inside, cut, operation)
        assert (error.kind, error.reason) == ("input", "corrupt_file"), (format, percent, error)


def test_row_52_a_truncated_jpeg_is_refused_even_where_the_crop_does_not_reach(
    operate: Operate, tmp_path: Path
) -> None:
    whole = pictures.photo(640, 480).jpegsave_buffer()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) * 9 // 10])
    with pytest.raises(InputError, match="damaged"):
        operate("crop_image", tmp_path / "cut.jpg", x=0, y=0, width=10, height=10)


@pytest.mark.parametrize("percent", [10, 50, 99, 100])
@pytest.mark.parametrize("format", ["heic", "bmp", "psd"])
def test_row_52_truncated_pictures_for_magick_are_refused(
    run_inside: RunInside, tmp_path: Path, format: str, percent: int
) -> None:
    whole = pictures.by_magick(pictures.photo(640, 480), tmp_path / "whole", format).read_bytes()
    if percent == 100:
        assert run_inside("resize_image", whole, width=50).outputs[0].facts["format_in"] == format
        return
    error = _refused(run_inside, whole[: len(whole) * percent // 100])
    assert (error.kind, error.reason) == ("input", "corrupt_file")


def test_row_52_zeros_in_the_middle_of_a_png_are_refused(run_inside: RunInside) -> None:
    data = bytearray(pictures.photo(640, 480).pngsave_buffer())
    data[len(data) // 2 : len(data) // 2 + 5000] = bytes(5000)
    assert _refused(run_inside, bytes(data)).reason == "corrupt_file"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(pictures.png_header(60_000, 60_000), id="60000x60000-png-header"),
        pytest.param(pictures.png_bomb(16_000), id="16000x16000-png"),
        pytest.param(pictures.jpeg_claiming(64_250, 64_250), id="lottapixel-jpeg"),
    ],
)
def test_row_54_pixel_bombs_are_refused_by_their_header(run_inside: RunInside, content: bytes) -> None:
    assert len(content) < 60_000
    for operation in ("resize_image", "convert_image"):
        error = _refused(run_inside, content, operation)
        assert (error.kind, error.reason) == ("policy", "too_many_pixels")
        assert error.peak_memory_bytes is not None and error.peak_memory_bytes < 100 << 20


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("gif", pictures.gif_bomb(50_000)),
        ("apng", pictures.apng(50_000)),
        ("webp", pictures.webp_bomb(1_000_000)),
    ],
)
def test_row_55_frame_bombs_are_refused_cheaply(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PolicyError) as caught:
        probe.probe(path, Limits())
    assert caught.value.reason == "too_many_frames"
    assert time.process_time() - began < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10


def test_row_55_a_frame_bomb_is_refused_inside_too(run_inside: RunInside) -> None:
    error = _refused(run_inside, pictures.gif_bomb(50_000))
    assert (error.kind, error.reason) == ("policy", "too_many_frames")


def test_row_55_frames_without_delay_are_no_fault(run_inside: RunInside) -> None:
    [output] = run_inside("convert_image", pictures.gif_bomb(20), format="webp").outputs
    assert output.mime == "image/webp"


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
        b"\xef\xbb\xbf  #EXTM3U\n",
    ],
)
def test_row_58_playlists_are_refused_by_name(run_inside: RunInside, content: bytes) -> None:
    error = _refused(run_inside, content)
    assert (error.kind, error.reason) == ("input", "playlist_not_allowed")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(SVG, id="svg"),
        pytest.param(SVG.decode().encode("utf-16"), id="svg-utf16"),
        pytest.param(b"push graphic-context\nviewbox 0 0 9 9\nimage over 0,0 0,0 'https://x/'\n", id="mvg"),
        pytest.param(b'<?xml version="1.0"?><image><read filename="/etc/passwd"/></image>', id="msl"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\nshowpage", id="ps"),
        pytest.param(b"\xc5\xd0\xd3\xc6" + bytes(40), id="eps"),
        pytest.param(b"%PDF-1.7\n1 0 obj", id="pdf"),
        pytest.param(_zip(), id="xps"),
        pytest.param(b"<!DOCTYPE html><script>alert(1)</script>", id="html"),
        pytest.param(b"\x1aE\xdf\xa3" + bytes(60), id="matroska"),
        pytest.param(b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(40), id="mp4"),
    ],
)
def test_row_59_drawings_documents_and_scripts_are_refused(run_inside: RunInside, content: bytes) -> None:
    for operation in ("resize_image", "convert_image"):
        error = _refused(run_inside, content, operation)
        assert (error.kind, error.reason) == ("input", "type_not_allowed")


@pytest.mark.parametrize("trailer", [_zip(), b"<html><script>alert(1)</script>", b"\0" * (8 << 20) + b"PHAR"])
def test_row_60_what_follows_the_picture_does_not_get_into_the_output(
    operate: Operate, tmp_path: Path, trailer: bytes
) -> None:
    source = tmp_path / "polyglot.jpg"
    source.write_bytes(pictures.photo().jpegsave_buffer() + trailer)
    for params in ({"format": "jpeg"}, {"format": "png"}):
        _output, path = operate("convert_image", source, **params)
        made = path.read_bytes()
        assert made.endswith(b"\xff\xd9" if params["format"] == "jpeg" else b"IEND\xaeB`\x82")
        assert trailer[:30] not in made and len(made) < 1 << 20


def _with_exif(orientation: int) -> bytes:
    image = pictures.corners().copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Make", "SECRETCAM (SECRETCAM, ASCII, 10 components, 10 bytes)")
    image.set_type(
        pyvips.GValue.gstr_type,
        "exif-ifd3-GPSLatitude",
        "37/1 44/1 59/1 (37, 44, 59, Rational, 3 components, 24 bytes)",
    )
    data = bytes(image.jpegsave_buffer(Q=95, subsample_mode="off"))
    assert b"SECRETCAM" in data
    return data


@pytest.mark.parametrize(
    ("orientation", "size", "top_left"),
    [
        (1, (64, 32), "red"),
        (2, (64, 32), "green"),
        (3, (64, 32), "white"),
        (4, (64, 32), "blue"),
        (5, (32, 64), "red"),
        (6, (32, 64), "blue"),
        (7, (32, 64), "white"),
        (8, (32, 64), "green"),
        (9, (64, 32), "red"),
        (0, (64, 32), "red"),
    ],
)
def test_row_61_the_orientation_is_applied_and_nothing_of_the_metadata_stays(
    operate: Operate, tmp_path: Path, orientation: int, size: tuple[int, int], top_left: str
) -> None:
    source = tmp_path / "turned.jpg"
    source.write_bytes(_with_exif(orientation))
    half = size[0] // 2, size[1] // 2
    for operation, params, expected in (
        ("convert_image", {"format": "png"}, size),
        ("resize_image", {"width": half[0], "format": "png"}, half),
        ("crop_image", {"x": 0, "y": 0, "width": half[0], "height": half[1]}, half),
    ):
        output, path = operate(operation, source, **params)
        assert (output.width_px, output.height_px) == expected
        made = pyvips.Image.new_from_file(str(path))
        red, green, blue = (value > 128 for value in made(3, 3))
        names = {(True, False, False): "red", (False, True, False): "green", (False, False, True): "blue"}
        assert names.get((red, green, blue), "white") == top_left
        assert made.get_typeof("exif-data") == 0 and b"SECRETCAM" not in path.read_bytes()


def test_row_65_a_heic_with_ten_thousand_items_is_read_or_refused(run_inside: RunInside) -> None:
    items = b"".join(struct.pack(">IIHH4s", 21, 0x696E6665, 0x0200, 0, b"\0\1\0\0") + b"hvc1\0" for _ in range(10_000))
    info = struct.pack(">I4sIH", 14 + len(items), b"iinf", 0, 10_000) + items
    size = struct.pack(">I4sIII", 20, b"ispe", 0, 64, 64)
    properties = struct.pack(">I4s", 36, b"iprp") + struct.pack(">I4s", 28, b"ipco") + size
    meta = struct.pack(">I4sI", 12 + len(info) + len(properties), b"meta", 0) + info + properties
    for brand in (b"heic", b"avif"):
        content = b"\0\0\0\x14ftyp" + brand + b"\0\0\0\0mif1" + meta
        error = _refused(run_inside, content)
        assert error.kind == "input" and error.reason in ("corrupt_file", "type_not_allowed")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xff\x0a" + bytes(60), id="jpeg-xl"),
        pytest.param(b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60), id="jpeg-xl-container"),
        pytest.param(b"II*\0\x10\0\0\0CR\x02\0" + bytes(60), id="cr2"),
        pytest.param(b"II*\0\x08\0\0\0\x01\0\x12\xc6\x01\0\x04\0\0\0\x01\x04\0\0" + bytes(60), id="dng"),
        pytest.param(b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(40), id="cr3"),
    ],
)
def test_row_65_jpeg_xl_and_camera_raw_are_refused(run_inside: RunInside, content: bytes) -> None:
    error = _refused(run_inside, content)
    assert (error.kind, error.reason) == ("input", "type_not_allowed")
