"""`trim_videos`: exact to the frame, copied where both cuts lie on key frames, sound in step."""

from __future__ import annotations

from pathlib import Path

import pytest
from marshmallow import ValidationError

from geniequeue.errors import InputError
from geniequeue.operations import OPERATIONS
from tests.core import samples, videos


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "numbered.mp4"
    codec = ("-c:v", "libx264", "-crf", "12", "-g", "15", "-keyint_min", "15", "-sc_threshold", "0", "-flags", "+cgop")
    return videos.numbered(path, 60, extra=codec)


@pytest.mark.parametrize(
    ("params", "frames", "lossless"),
    [
        ({"start": 0.5, "end": 1.0}, range(15, 30), True),
        ({"start": 0.5}, range(15, 60), True),
        ({"end": 1.5}, range(45), True),
        ({"start": 0.4, "end": 0.8}, range(12, 24), False),
        ({"start": 0.4}, range(12, 60), False),
        ({"start": 0.5, "end": 0.9}, range(15, 27), False),
        ({"start": 0.41, "end": 0.79}, range(12, 24), False),
        ({"start": 1.9, "end": 3600}, range(57, 60), False),
        ({"start": 1.0, "end": 1.01}, range(30, 31), False),
    ],
)
def test_exactly_these_frames_stay(
    numbered: Path, tmp_path: Path, params: dict[str, float], frames: range, lossless: bool
) -> None:
    path, output = samples.run("trim_videos", numbered, tmp_path / "out", **params)
    assert videos.numbers_of(path) == list(frames)
    assert output.facts["lossless"] is lossless
    assert videos.times_of(path)[0] == pytest.approx(0, abs=0.001)
    assert output.duration_s == pytest.approx(len(frames) / 30, abs=0.04)


def test_a_copied_part_is_the_source_bit_by_bit(numbered: Path, tmp_path: Path) -> None:
    path, _ = samples.run("trim_videos", numbered, tmp_path / "out", start=0.5, end=1.0)
    assert videos.pixels_of(path) == videos.pixels_of(numbered)[15:30]


def test_a_part_in_full_range_is_copied_too(tmp_path: Path) -> None:
    codec = ("-c:v", "libx264", "-preset", "veryfast", "-g", "10", "-color_range", "pc", "-vf", "scale=out_range=pc")
    source = videos.numbered(tmp_path / "full.mp4", 20, extra=codec)
    path, output = samples.run("trim_videos", source, tmp_path / "out", start=1 / 3)
    assert output.facts["lossless"] is True and videos.numbers_of(path) == list(range(10, 20))
    assert "yuvj420p" in videos.info(path) or "yuv420p(pc" in videos.info(path)


@pytest.mark.parametrize("degrees", [90, 180])
def test_a_turned_video_is_turned_and_not_copied(numbered: Path, tmp_path: Path, degrees: int) -> None:
    source = tmp_path / "turned.mp4"
    videos.ffmpeg("-display_rotation", str(degrees), "-i", numbered, "-c", "copy", source)
    path, output = samples.run("trim_videos", source, tmp_path / "out", start=0.5, end=1.0)
    assert output.facts["lossless"] is False and output.facts["frames"] == 15
    assert videos.is_tagged_turned(source) and not videos.is_tagged_turned(path)
    assert (output.width_px, output.height_px) == videos.shown_size(source) == videos.shown_size(path)


def test_a_group_that_needs_the_one_before_is_not_copied(tmp_path: Path) -> None:
    opened = ("-c:v", "libx264", "-crf", "12", "-g", "15", "-bf", "3", "-x264-params", "open-gop=1:scenecut=0")
    source = videos.numbered(tmp_path / "open.mp4", 60, extra=opened)
    path, _ = samples.run("trim_videos", source, tmp_path / "out", start=0.5, end=1.0)
    assert videos.numbers_of(path) == list(range(15, 30))


@pytest.mark.parametrize("start", [0.5, 0.4, 0.0])
def test_sound_stays_in_step(tmp_path: Path, start: float) -> None:
    source = videos.flash_and_beep(tmp_path / "clap.mp4", [0.2, 0.9, 1.5], 2)
    path, output = samples.run("trim_videos", source, tmp_path / "out", start=start, end=1.8)
    assert output.facts["sound"] == "aac"
    assert videos.out_of_step(path) < 0.02 + 1 / 30
    assert videos.beeps(path)[-1] == pytest.approx(1.5 - start, abs=0.025)
    assert videos.flashes(path)[-1] == pytest.approx(1.5 - start, abs=0.02)


@pytest.mark.parametrize("extension", ["mkv", "ts", "avi", "webm", "flv"])
def test_other_containers_are_cut_to_the_frame_too(tmp_path: Path, extension: str) -> None:
    codec = {"webm": ("-c:v", "libvpx-vp9", "-crf", "20", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "8")}
    extra = codec.get(extension, ("-c:v", "mpeg4" if extension == "avi" else "libx264", "-q:v", "2", "-g", "20"))
    source = videos.numbered(tmp_path / f"input.{extension}", 45, extra=extra)
    path, _ = samples.run("trim_videos", source, tmp_path / "out", start=0.6, end=1.2)
    assert videos.numbers_of(path) == list(range(18, 36))


def test_row_24_a_start_behind_the_end_of_the_video_is_refused(numbered: Path, tmp_path: Path) -> None:
    for start in (2.0, 5.0):
        with pytest.raises(InputError) as caught:
            samples.run("trim_videos", numbered, tmp_path / "out", start=start)
        assert caught.value.reason == "outside_video"


@pytest.mark.parametrize("start", [1.97, 1.999])
def test_a_start_inside_the_last_frame_gives_that_frame(numbered: Path, tmp_path: Path, start: float) -> None:
    path, _ = samples.run("trim_videos", numbered, tmp_path / "out", start=start)
    assert videos.numbers_of(path) == [59]


@pytest.mark.parametrize(
    "params",
    [{}, {"start": 0}, {"start": 2, "end": 1}, {"start": 1, "end": 1}, {"start": -1}, {"end": 0}, {"start": "1"}],
)
def test_row_24_times_that_make_no_part_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OPERATIONS["trim_videos"].load_params(params)


def test_a_part_behind_the_end_of_the_sound_is_silent(tmp_path: Path) -> None:
    source = tmp_path / "music.mp4"
    videos.ffmpeg(*videos.scene(seconds=2), *videos.tone(0.5), source)
    _, output = samples.run("trim_videos", source, tmp_path / "out", start=1.1, end=1.9)
    assert (output.facts["sound"], output.facts["frames"]) == (None, 24)


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv"])
def test_the_beginning_is_copied_with_its_sound_and_both_begin_together(tmp_path: Path, extension: str) -> None:
    codecs = ("-c:v", "libx264", "-g", "15", "-sc_threshold", "0", "-c:a", "aac")
    source = videos.flash_and_beep(tmp_path / f"clap.{extension}", [0.2, 0.9], 2, *codecs)
    for end in (1, 5):
        path, output = samples.run("trim_videos", source, tmp_path / "out", end=end)
        assert output.facts["lossless"] is True and output.facts["sound"] == "aac"
        assert videos.times_of(path)[0] == pytest.approx(0, abs=0.001)
        assert videos.beeps(path) == pytest.approx([0.2, 0.9], abs=0.02)
        assert videos.out_of_step(path) < 0.02
