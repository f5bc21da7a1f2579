"""Rows of the table of bad input that are only seen in the job, through the whole running system.

What each decoder does with each variant is tested in `tests/core/`; here a file of each row goes in through the API,
and the record must say what was wrong. After every test nothing is left in `MEDIA_TMP_DIR` (see conftest).
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import pyvips

from tests.core import pictures
from tests.service import Service, output_path

MAX_PEAK_BYTES = 300_000_000
RESIZE = {"width": 50}


def photo_bytes() -> bytes:
    return bytes(pictures.photo(640, 480).jpegsave_buffer())


REFUSED: list[tuple[str, Callable[[], bytes], str, str]] = [
    ("50_empty", lambda: b"", "input", "empty_file"),
    ("51_text", lambda: b"Dear diary, this is no picture.", "input", "type_not_allowed"),
    ("52_truncated_10", lambda: photo_bytes()[: len(photo_bytes()) // 10], "input", "corrupt_file"),
    ("52_truncated_50", lambda: photo_bytes()[: len(photo_bytes()) // 2], "input", "corrupt_file"),
    ("52_truncated_99", lambda: photo_bytes()[: len(photo_bytes()) * 99 // 100], "input", "corrupt_file"),
    ("54_header_60000", lambda: pictures.png_header(60_000, 60_000), "policy", "too_many_pixels"),
    ("54_bomb_16000", lambda: pictures.png_bomb(16_000), "policy", "too_many_pixels"),
    ("54_lottapixel", lambda: pictures.jpeg_claiming(64_250, 64_250), "policy", "too_many_pixels"),
    ("55_gif_50000", lambda: pictures.gif_bomb(50_000), "policy", "too_many_frames"),
    ("55_apng", lambda: pictures.apng(50_000), "policy", "too_many_frames"),
    ("55_webp_million", lambda: pictures.webp_bomb(1_000_000), "policy", "too_many_frames"),
    ("59_svg", lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://x/"/></svg>', "input",
     "type_not_allowed"),
    ("59_pdf", lambda: b"%PDF-1.7\n1 0 obj", "input", "type_not_allowed"),
    ("59_postscript", lambda: b"%!PS-Adobe-3.0\nshowpage", "input", "type_not_allowed"),
    ("65_jpeg_xl", lambda: b"\xff\x0a" + bytes(200), "input", "type_not_allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "error", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_row(
    service: Service, token: str, tmp_path: Path, content: Callable[[], bytes], error: str, reason: str
) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content())
    job = service.run(token, "resize_image", path, RESIZE)
    assert (job["state"], job["error"], job["reason"]) == ("failed", error, reason)
    assert job["attempts"] == 1
    assert job["outputs"] == []
    assert job["message"].endswith(".") and job["message"][0].isupper()
    assert (job["peak_memory_bytes"] or 0) < MAX_PEAK_BYTES


def test_row_21_a_crop_outside_the_picture_fails_as_input(service: Service, token: str, photo: Path) -> None:
    job = service.run(token, "crop_image", photo, {"x": 9000, "y": 0, "width": 10, "height": 10})
    assert (job["error"], job["reason"]) == ("input", "crop_outside")


@pytest.mark.parametrize("text", ["%{metadata:GPSLatitude}", "@/etc/passwd", "':textfile=/etc/passwd", "<b>&amp;"])
def test_row_26_text_that_looks_like_a_command_is_only_text(
    service: Service, token: str, photo: Path, text: str
) -> None:
    job = service.run(token, "apply_watermark", photo, {"watermark_text": text})
    assert job["state"] == "completed", job["message"]


@pytest.mark.parametrize("text", ["مرحبا \u202eabc", "❤️‍🔥👩‍👩‍👧", "two\nlines", "你好 Ω é"])
def test_row_25_any_script_and_emoji_are_rendered(service: Service, token: str, photo: Path, text: str) -> None:
    job = service.run(token, "apply_watermark", photo, {"watermark_text": text, "scale": 0.5})
    assert job["state"] == "completed", job["message"]
    before, after = pyvips.Image.new_from_file(str(photo)), pyvips.Image.new_from_file(str(output_path(job)))
    assert (before - after).abs().max() > 60


@pytest.mark.parametrize("name", ["../../x.jpg", "CON", "x" * 300, "-i", "|id", "x.jpg;id", "a\nb.jpg"])
def test_row_29_a_file_name_is_never_a_path(service: Service, token: str, photo: Path, name: str) -> None:
    file_id = service.upload(token, photo, filename=name)
    stored = service.store.as_user(token).get_file(file_id).filename_download
    assert "/" not in stored and len(stored.encode()) <= 255 and stored.isprintable()
    item = {"operation": "resize_image", "input_file_id": file_id, "params": RESIZE}
    job_id = service.store.as_user(token).create_item("media_jobs", item)["id"]
    assert service.enqueue(token, job_id, "resize_image").status == 200
    assert service.await_final(token, job_id)["state"] == "completed"


def test_row_60_nothing_behind_the_picture_comes_out(service: Service, token: str, tmp_path: Path) -> None:
    path = tmp_path / "polyglot.jpg"
    path.write_bytes(photo_bytes() + b"<script>alert(1)</script>" + bytes(20_000_000))
    job = service.run(token, "strip_metadata", path, {})
    made = output_path(job).read_bytes()
    assert b"<script>" not in made
    assert len(made) < 1_000_000


def test_row_61_a_turned_picture_comes_out_upright_and_without_metadata(
    service: Service, token: str, tmp_path: Path
) -> None:
    path = tmp_path / "turned.jpg"
    path.write_bytes(photo_bytes())
    tags = ["-Orientation#=6", "-GPSLatitude=37.7", "-GPSLatitudeRef=N", "-SerialNumber=1234", "-XMP:Title=<script>"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *tags, str(path)], check=True)
    job = service.run(token, "resize_image", path, {"width": 120})
    output = job["outputs"][0]
    assert (output["width_px"], output["height_px"]) == (120, 160)
    shown = subprocess.check_output(["exiftool", "-a", "-G1", "-u", output["path"]], text=True)
    assert not any(word in shown for word in ("GPS", "Serial", "XMP", "Orientation"))


def test_row_64_transparency_is_flattened_on_the_background_that_was_asked_for(
    service: Service, token: str, tmp_path: Path
) -> None:
    path = tmp_path / "clear.png"
    pyvips.Image.black(40, 40, bands=4).copy(interpretation="srgb").pngsave(str(path))
    job = service.run(token, "convert_image", path, {"format": "jpeg", "background": "#00ff00"})
    pixel = pyvips.Image.new_from_file(str(output_path(job))).getpoint(20, 20)
    assert pixel == pytest.approx([0, 255, 0], abs=3)


def test_row_65_a_heic_is_read(service: Service, token: str, tmp_path: Path) -> None:
    heic = pictures.by_magick(pictures.photo(320, 240), tmp_path / "phone.heic", "heic")
    job = service.run(token, "convert_image", heic, {"format": "jpeg"})
    assert (job["state"], job["input"]["format_in"]) == ("completed", "heic")
