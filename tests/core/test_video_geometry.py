"""`resize_video` and `crop_video`: the frames of the source, each at its time, in another size or shape."""

from __future__ import annotations

from pathlib import Path

import pytest
from marshmallow import ValidationError

from geniequeue.errors import InputError
from geniequeue.operations import OPERATIONS
from tests.core import samples, videos


def made(tmp_path: Path, operation: str, source: Path, **params: object) -> Path:
    path, output = samples.run(operation, source, tmp_path / "out", **params)
    assert (output.width_px, output.height_px) == videos.shown_size(path)
    assert output.mime == "video/mp4"
    assert abs((output.duration_s or 0) - output.facts["duration_in_s"]) <= 0.1
    return path


@pytest.fixture(scope="module")
def landscape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "source.mp4"
    videos.ffmpeg(*videos.scene(), *videos.tone(), "-crf", "12", "-shortest", path)
    return path


@pytest.mark.parametrize(
    ("params", "size", "transform"),
    [
        ({"width": 160}, (160, 90), "scale=160:90:flags=lanczos"),
        ({"height": 120}, (212, 120), "scale=212:120:flags=lanczos"),
        ({"width": 640}, (320, 180), "null"),
        ({"width": 640, "upscale": True}, (640, 360), "scale=640:360:flags=lanczos"),
        ({"resolution": "480p"}, (320, 180), "null"),
        ({"width": 100, "height": 100}, (100, 56), "scale=100:56:flags=lanczos"),
        ({"width": 100, "height": 100, "fit": "fill"}, (100, 100), "scale=100:100:flags=lanczos"),
        ({"width": 100, "height": 100, "fit": "cover"}, (100, 100), "scale=178:100:flags=lanczos,crop=100:100:38:0"),
        ({"width": 100, "height": 100, "fit": "contain"}, (100, 100), "scale=100:56:flags=lanczos,pad=100:100:0:22"),
    ],
)  # fmt: skip
def test_each_frame_is_the_source_frame_scaled(
    landscape: Path, tmp_path: Path, params: dict[str, object], size: tuple[int, int], transform: str
) -> None:
    path = made(tmp_path, "resize_video", landscape, **params)
    assert videos.shown_size(path) == size
    assert len(videos.times_of(path)) == 30
    assert videos.psnr(landscape, path, transform=transform) > 30


def test_a_portrait_video_has_its_resolution_across(tmp_path: Path) -> None:
    source = tmp_path / "portrait.mp4"
    videos.ffmpeg(*videos.scene(540, 960, seconds=0.2), "-preset", "ultrafast", source)
    assert videos.shown_size(made(tmp_path, "resize_video", source, resolution="480p")) == (480, 852)


@pytest.mark.parametrize(
    ("params", "size", "transform"),
    [
        ({"x": 20, "y": 10, "width": 120, "height": 90}, (120, 90), "crop=120:90:20:10"),
        ({"x": 21, "y": 11, "width": 120, "height": 90}, (120, 90), "format=yuv444p,crop=120:90:21:11:exact=1"),
        ({"x": 20, "y": 10, "width": 121, "height": 91}, (120, 90), "crop=120:90:20:10"),
        ({"aspect": "1:1"}, (180, 180), "crop=180:180:70:0"),
        ({"width": 100, "height": 60, "gravity": "southeast"}, (100, 60), "crop=100:60:220:120"),
    ],
)  # fmt: skip
def test_the_box_is_cut_out_to_the_pixel(
    landscape: Path, tmp_path: Path, params: dict[str, object], size: tuple[int, int], transform: str
) -> None:
    path = made(tmp_path, "crop_video", landscape, **params)
    assert videos.shown_size(path) == size
    assert videos.psnr(landscape, path, transform=transform) > 34


def test_row_21_a_box_outside_the_video_is_refused(landscape: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        made(tmp_path, "crop_video", landscape, x=300, y=0, width=40, height=40)
    assert caught.value.reason == "crop_outside"


@pytest.mark.parametrize("side", [0, -1, 1.5, "100", 2**63, 100_000, True, None])
@pytest.mark.parametrize("operation", ["resize_video", "create_teaser"])
def test_row_20_a_width_that_is_none_is_refused(operation: str, side: object) -> None:
    with pytest.raises(ValidationError):
        OPERATIONS[operation].load_params({"width": side})


@pytest.mark.parametrize(
    "params",
    [
        {"x": 0, "y": 0, "width": 0, "height": 10}, {"x": -1, "y": 0, "width": 10, "height": 10}, {"aspect": "0:1"},
        {"aspect": "4:5;rm"}, {"width": 10}, {},
    ],
)  # fmt: skip
def test_row_21_a_box_without_area_is_refused(params: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OPERATIONS["crop_video"].load_params(params)


def test_it_plays_in_browsers(landscape: Path, tmp_path: Path) -> None:
    path = made(tmp_path, "resize_video", landscape, width=160)
    told = videos.info(path)
    assert "Video: h264 (High)" in told and "yuv420p" in told and "Audio: aac" in told
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    assert b"Lavf" not in content


def test_sound_stays_bit_by_bit(landscape: Path, tmp_path: Path) -> None:
    path = made(tmp_path, "crop_video", landscape, aspect="1:1")
    before, after = (
        videos.ffmpeg("-loglevel", "error", "-i", each, "-map", "0:a", "-c", "copy", "-f", "streamhash", "-")
        for each in (landscape, path)
    )
    assert before == after
