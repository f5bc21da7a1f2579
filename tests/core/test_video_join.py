"""`join_videos` and `create_teaser`: parts one after the other, in the right order, in step with their sound."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from marshmallow import ValidationError

from geniequeue.errors import InputError, PolicyError
from geniequeue.media import ffmpeg, teaser
from geniequeue.media import join as join_module
from geniequeue.media.join import join_videos
from geniequeue.media.teaser import spread
from geniequeue.operations import OPERATIONS
from geniequeue.sandbox.inside import Limits, Output, Work
from tests.core import samples, videos


def join(out_dir: Path, *paths: Path, limits: Limits | None = None) -> tuple[Path, Output, list[float]]:
    out_dir.mkdir(exist_ok=True)
    told: list[float] = []
    inputs = {f"input_file_ids.{number}": path for number, path in enumerate(paths)}
    params = OPERATIONS["join_videos"].load_params({"input_file_ids": [samples.FILE_ID] * len(paths)})
    [output] = join_videos(Work(inputs, out_dir, params, limits or Limits(), told.append))
    return out_dir / output.name, output, told


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return videos.numbered(tmp_path_factory.mktemp("videos") / "numbered.mp4", 90)


@pytest.fixture(params=["all open at once", "one by one, as large ones are"])
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to put videos together."""
    if request.param.startswith("one"):
        monkeypatch.setattr(join_module, "_OPEN_AT_ONCE_PIXELS", 0)
        monkeypatch.setattr(ffmpeg, "is_large", lambda _pixels: True)
        monkeypatch.setattr(teaser, "_OPEN_AT_ONCE", 1)


@pytest.mark.usefixtures("memory")
def test_every_frame_of_every_clip_is_there_in_order(numbered: Path, tmp_path: Path) -> None:
    short = videos.numbered(tmp_path / "short.mp4", 12)
    path, output, told = join(tmp_path / "out", short, numbered, short)
    assert videos.numbers_of(path) == [*range(12), *range(90), *range(12)]
    assert output.facts["clips"] == 3 and output.duration_s == pytest.approx(114 / 30, abs=0.01)
    videos.progress_of(told)


@pytest.mark.usefixtures("memory")
def test_clips_of_other_sizes_and_rates_fit_into_the_first_one(tmp_path: Path) -> None:
    first, upright, slow = (tmp_path / name for name in ("first.mp4", "upright.mkv", "slow.webm"))
    videos.ffmpeg(*videos.scene(320, 180, seconds=0.5), first)
    videos.ffmpeg("-f", "lavfi", "-i", "color=red:s=90x160:r=25:d=0.6", "-c:v", "libx264", upright)
    videos.ffmpeg("-f", "lavfi", "-i", "color=blue:s=641x361:r=12:d=0.5", "-c:v", "libvpx-vp9", slow)
    path, output, _ = join(tmp_path / "out", first, upright, slow)
    assert videos.shown_size(path) == (320, 180) == (output.width_px, output.height_px)
    frames = videos.frames_of(path)
    assert len(frames) == 15 + 18 + 15
    assert frames[20](160, 90) == pytest.approx([255, 0, 0], abs=12)
    assert frames[20](20, 90) == pytest.approx([0, 0, 0], abs=12)
    assert frames[40](160, 90) == pytest.approx([0, 0, 255], abs=12)


@pytest.mark.usefixtures("memory")
def test_sound_stays_in_step_and_clips_without_sound_are_silent(tmp_path: Path) -> None:
    clap = videos.flash_and_beep(tmp_path / "clap.mp4", [0.3], 1)
    late = videos.flash_and_beep(tmp_path / "late.mkv", [0.5], 1, fps="25")
    silent = tmp_path / "silent.mp4"
    videos.ffmpeg("-f", "lavfi", "-i", "color=black:s=160x90:r=30:d=0.7", silent)
    path, output, _ = join(tmp_path / "out", silent, clap, silent, late)
    assert output.facts["sound"] == "aac"
    listed = videos.info(path).partition("Stream mapping")[0]
    assert re.findall(r"Stream #0:\d.*?(Video|Audio)", listed) == ["Video", "Audio"]
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["output.mp4"]
    assert videos.beeps(path) == pytest.approx([1.0, 2.9], abs=0.025)
    assert videos.out_of_step(path) < 0.02 + 1 / 30


def test_one_clip_is_no_join(numbered: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        join(tmp_path / "out", numbered)
    assert caught.value.reason == "one_clip"


def test_row_56_clips_that_are_too_long_together_are_refused(numbered: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        join(tmp_path / "out", numbered, numbered, limits=Limits(max_duration_s=5))
    assert caught.value.reason == "too_long"


@pytest.mark.parametrize("ids", [[], ["x"], None, ["../../etc/passwd"], [samples.FILE_ID] * 21])
def test_ids_that_are_none_are_refused(ids: object) -> None:
    with pytest.raises(ValidationError):
        OPERATIONS["join_videos"].load_params({"input_file_ids": ids})


@pytest.mark.usefixtures("memory")
def test_a_teaser_is_made_of_parts_spread_over_the_video(numbered: Path, tmp_path: Path) -> None:
    path, output = samples.run("create_teaser", numbered, tmp_path / "out", duration=1.5, clips=3, fade=0)
    numbers = videos.numbers_of(path)
    assert len(numbers) == 45 and output.duration_s == pytest.approx(1.5, abs=0.01)
    for part, start in enumerate((8, 38, 68)):
        assert numbers[15 * part : 15 * part + 15] == list(range(start, start + 15))


@pytest.mark.usefixtures("memory")
def test_segments_are_shown_in_the_order_given_and_fade_into_each_other(numbered: Path, tmp_path: Path) -> None:
    path, output = samples.run("create_teaser", numbered, tmp_path / "out", segments=[[2, 3], [0, 1]], fade=0.2)
    assert output.facts["frames"] == 30 + 30 - 6
    numbers = videos.numbers_of(path)
    assert numbers[8:22] == list(range(68, 82))
    assert numbers[32:46] == list(range(8, 22))
    brightness = [frame.avg() for frame in videos.frames_of(path)]
    assert brightness[0] < 5 < brightness[3] < brightness[8] and brightness[-1] < 40


@pytest.mark.usefixtures("memory")
def test_a_teaser_is_narrower_marked_and_silent_where_that_is_asked_for(tmp_path: Path) -> None:
    source = tmp_path / "long.mp4"
    graph = "color=gray:s=640x360:r=10:d=3"
    videos.ffmpeg("-f", "lavfi", "-i", graph, *videos.tone(3), source)
    params = {"duration": 1, "clips": 2, "fade": 0, "width": 320, "watermark_text": "@creator"}
    path, output = samples.run("create_teaser", source, tmp_path / "out", mute=True, **params)
    assert videos.shown_size(path) == (320, 180) and output.facts["sound"] is None
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["output.mp4"]
    for frame in videos.frames_of(path):
        assert frame.crop(240, 140, 80, 40).deviate() > 10
        assert frame.crop(0, 0, 200, 100).deviate() < 3
    path, output = samples.run("create_teaser", source, tmp_path / "loud", **params)
    assert output.facts["sound"] == "aac"


def test_a_teaser_of_a_video_in_full_range_fades_from_true_black(tmp_path: Path) -> None:
    source = tmp_path / "full.mp4"
    picture = (
        "color=0xc86432:s=64x64:r=10:d=2,scale=out_range=pc:out_color_matrix=bt709,setparams=range=pc:colorspace=bt709"
    )
    videos.ffmpeg("-f", "lavfi", "-i", picture, "-crf", "5", source)
    path, _ = samples.run("create_teaser", source, tmp_path / "out", duration=1, clips=1, fade=0.3)
    frames = videos.frames_of(path)
    assert frames[0].max() <= 3
    assert frames[5](32, 32) == pytest.approx([0xC8, 0x64, 0x32], abs=5)
    path, _ = samples.run("resize_video", source, tmp_path / "padded", width=32, height=64, fit="contain")
    frame = videos.frames_of(path)[0]
    assert frame(16, 4) == pytest.approx([0, 0, 0], abs=3)
    assert frame(16, 32) == pytest.approx([0xC8, 0x64, 0x32], abs=5)


@pytest.mark.usefixtures("memory")
def test_a_teaser_stays_in_step_with_its_sound(tmp_path: Path) -> None:
    source = videos.flash_and_beep(tmp_path / "clap.mp4", [0.5, 2.5], 3)
    path, _ = samples.run("create_teaser", source, tmp_path / "out", segments=[[0.1, 1.1], [2.1, 3]], fade=0.1)
    assert videos.out_of_step(path) < 0.02


def test_a_video_that_is_too_short_is_its_own_teaser(tmp_path: Path) -> None:
    source = videos.numbered(tmp_path / "short.mp4", 6)
    path, _ = samples.run("create_teaser", source, tmp_path / "out", fade=0)
    assert videos.numbers_of(path) == list(range(6))


@pytest.mark.parametrize(
    ("video_s", "wanted_s", "clips", "fade_s", "parts"),
    [(60, 10, 3, 0.5, 3), (12, 10, 3, 0.5, 3), (10, 10, 3, 0.5, 1), (5, 10, 3, 0.5, 1), (60, 1, 20, 0.5, 1)],
)
def test_parts_lie_inside_the_video_and_make_up_the_length(
    video_s: float, wanted_s: float, clips: int, fade_s: float, parts: int
) -> None:
    spans = spread(video_s, wanted_s, clips, fade_s)
    assert len(spans) == parts
    assert all(start >= 0 and start + length <= video_s + 1e-9 for start, length in spans)
    assert sum(length for _, length in spans) - fade_s * (parts - 1) == pytest.approx(min(wanted_s, video_s))


def test_row_24_a_segment_behind_the_end_is_refused(numbered: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        samples.run("create_teaser", numbered, tmp_path / "out", segments=[[0, 1], [60, 61]])
    assert caught.value.reason == "outside_video"


@pytest.mark.parametrize(
    "params",
    [
        {"segments": [[2, 1]]}, {"segments": [[1, 1]]}, {"segments": [[1]]}, {"segments": [[0, 1, 2]]}, {"duration": 0},
        {"segments": []}, {"clips": 0}, {"fade": 9}, {"width": 0}, {"segments": [["0", "1"]]}, {"watermark_text": " "},
    ],
)  # fmt: skip
def test_row_24_times_that_make_no_teaser_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OPERATIONS["create_teaser"].load_params(params)


@pytest.mark.usefixtures("memory")
def test_f33_a_clip_that_is_damaged_in_the_middle_is_no_frozen_picture(numbered: Path, tmp_path: Path) -> None:
    damaged = bytearray(numbered.read_bytes())
    start = damaged.index(b"mdat") + 4
    damaged[start + 3000 : start + 12_000] = b"\xa5" * 9000
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(damaged)
    with pytest.raises(InputError) as caught:
        join(tmp_path / "join", numbered, broken)
    assert caught.value.reason == "corrupt_file"
    with pytest.raises(InputError) as caught:
        samples.run("create_teaser", broken, tmp_path / "teaser", segments=[[0, 1], [1, 3]])
    assert caught.value.reason == "corrupt_file"


def test_slides_make_a_teaser_of_the_length_that_is_wanted(tmp_path: Path) -> None:
    source = tmp_path / "slides.mp4"
    videos.ffmpeg(*videos.scene(fps="1/5", seconds=30), source)
    _, output = samples.run("create_teaser", source, tmp_path / "out", duration=4, clips=3, fade=0.3)
    assert output.duration_s == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("sound", [[], videos.tone(4)], ids=["silent", "sound"])
@pytest.mark.parametrize(("segments", "frames"), [([[3.97, 4]], 1), ([[3.999, 99], [1, 2]], 26)])
def test_a_segment_inside_the_last_frame_shows_that_frame(
    tmp_path: Path, sound: list[str], segments: list[list[float]], frames: int
) -> None:
    source = tmp_path / "short.mp4"
    videos.ffmpeg(*videos.scene(fps="25", seconds=4), *sound, source)
    _, output = samples.run("create_teaser", source, tmp_path / "out", segments=segments)
    assert output.facts["frames"] == frames
    assert output.facts["parts_at_s"][0] == pytest.approx(segments[0][0], abs=0.001)


def test_segments_that_are_too_long_together_are_refused(numbered: Path, tmp_path: Path) -> None:
    params = OPERATIONS["create_teaser"].load_params({"segments": [[0, 3]] * 4})
    with pytest.raises(PolicyError) as caught:
        teaser.create_teaser(Work({"input": numbered}, tmp_path, params, Limits(max_duration_s=10)))
    assert caught.value.reason == "too_long"
