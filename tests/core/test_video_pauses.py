"""Recordings that pause: a frame is shown as long as it is, in the middle and at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from geniequeue.errors import InputError
from tests.core import samples, videos

PAUSED = ("-vf", "setpts='if(lt(N,75),N/25/TB,(N/25+5)/TB)'", "-fps_mode", "vfr", "-enc_time_base", "1:90000")
RECORDINGS = {
    "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-auto-alt-ref", "0"),
    "mp4": ("-c:v", "libx264", "-preset", "medium"),
    "mov": ("-c:v", "libx264", "-preset", "medium", "-bf", "0"),
    "mkv": ("-c:v", "libx264", "-preset", "medium"),
}


def paused(path: Path) -> Path:
    """Write a recording of 9 s that shows one frame for 5 s, in the middle."""
    videos.ffmpeg(*videos.scene(160, 120, fps="25", seconds=4), *PAUSED, *RECORDINGS[path.suffix[1:]], path)
    return path


@pytest.mark.parametrize("extension", sorted(RECORDINGS))
def test_a_pause_is_no_longer_than_it_is(tmp_path: Path, extension: str) -> None:
    source = paused(tmp_path / f"paused.{extension}")
    for operation, params, expected_s in (
        ("resize_video", {"width": 80}, 9),
        ("compress_video", {}, 9),
        ("apply_watermark", {"watermark_text": "x"}, 9),
        ("strip_metadata", {}, 9),
        ("trim_videos", {"start": 2.52}, 6.48),
    ):
        _, output = samples.run(operation, source, tmp_path / operation, **params)
        assert output.duration_s == pytest.approx(expected_s, abs=0.05), operation
    with pytest.raises(InputError) as caught:
        samples.run("create_teaser", source, tmp_path / "teaser", segments=[[9.5, 11]])
    assert caught.value.reason == "outside_video"


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_a_last_frame_that_is_held_stays_as_long(tmp_path: Path, extension: str) -> None:
    plain, source = tmp_path / "plain.mp4", tmp_path / f"held.{extension}"
    videos.ffmpeg(*videos.scene(fps="25", seconds=2), "-bf", "0", plain)
    videos.ffmpeg("-i", plain, "-c", "copy", "-bsf:v", "setts=duration='if(eq(N,49),6/TB,DURATION)'", source)
    path, output = samples.run("resize_video", source, tmp_path / "out", width=80)
    assert output.duration_s == pytest.approx(7.96, abs=0.01)
    _, again = samples.run("resize_video", path, tmp_path / "again", width=40)
    assert again.duration_s == output.duration_s
