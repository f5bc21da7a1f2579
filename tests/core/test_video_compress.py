"""`compress_video`: by quality, to a size, by a bit rate."""

from __future__ import annotations

from pathlib import Path

import pytest
from marshmallow import ValidationError

from geniequeue.errors import PolicyError
from geniequeue.operations import OPERATIONS
from tests.core import samples, videos


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "noisy.mp4"
    graph = "testsrc2=s=320x180:r=30:d=3,noise=alls=12:allf=t"
    videos.ffmpeg("-f", "lavfi", "-i", graph, *videos.tone(3), "-preset", "ultrafast", "-crf", "16", path)
    return path


def test_less_quality_takes_less_room_and_looks_the_same(noisy: Path, tmp_path: Path) -> None:
    sizes = []
    for crf in (20, 28, 36):
        path, output = samples.run("compress_video", noisy, tmp_path / str(crf), crf=crf)
        assert output.facts["frames"] == 90
        sizes.append(path.stat().st_size)
        assert videos.psnr(noisy, path) > {20: 33, 28: 28, 36: 25}[crf]
    assert noisy.stat().st_size > sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize(("codec", "share"), [("h264", 0.3), ("h264", 0.08), ("hevc", 0.1)])
def test_a_target_size_is_met_within_eight_percent_and_never_exceeded(
    noisy: Path, tmp_path: Path, codec: str, share: float
) -> None:
    target = round(noisy.stat().st_size * share / 1_000_000, 3)
    path, output = samples.run(
        "compress_video", noisy, tmp_path / "out", target_size_mb=target, codec=codec, preset="fast"
    )
    assert 0.92 * target <= path.stat().st_size / 1_000_000 <= target
    assert output.facts["codec"] == codec
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["output.mp4"]


def test_a_target_above_the_input_does_not_inflate_it(noisy: Path, tmp_path: Path) -> None:
    path, _ = samples.run("compress_video", noisy, tmp_path / "out", target_size_mb=500, preset="ultrafast")
    assert path.stat().st_size <= noisy.stat().st_size


def test_a_bit_rate_is_kept(noisy: Path, tmp_path: Path) -> None:
    path, _ = samples.run("compress_video", noisy, tmp_path / "out", bitrate_kbps=300)
    sound = 3 * 80_000 / 8
    assert 0.75 < (path.stat().st_size - sound) / (300_000 * 3 / 8) < 1.25


@pytest.mark.parametrize("megabytes", [0.000001, 0.002])
def test_row_23_a_size_that_no_picture_has_room_in_is_refused(noisy: Path, tmp_path: Path, megabytes: float) -> None:
    with pytest.raises(PolicyError) as caught:
        samples.run("compress_video", noisy, tmp_path / "out", target_size_mb=megabytes)
    assert caught.value.reason == "unreachable_target"


def test_hevc_plays_on_apples_players(noisy: Path, tmp_path: Path) -> None:
    path, _ = samples.run("compress_video", noisy, tmp_path / "out", codec="hevc", preset="ultrafast")
    assert "Video: hevc" in videos.info(path) and "hvc1" in videos.info(path)


@pytest.mark.parametrize(
    "params",
    [
        {"crf": 99}, {"crf": 17}, {"crf": "28"}, {"crf": 28.5}, {"bitrate_kbps": "1;rm"}, {"target_size_mb": 0},
        {"target_size_mb": -1}, {"crf": 28, "target_size_mb": 5}, {"codec": "vp9"}, {"preset": "placebo"},
        {"bitrate_kbps": 2**63},
    ],
)  # fmt: skip
def test_row_22_numbers_out_of_range_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OPERATIONS["compress_video"].load_params(params)


def test_a_still_scene_fits_into_a_generous_size(tmp_path: Path) -> None:
    source = tmp_path / "still.mp4"
    videos.ffmpeg("-f", "lavfi", "-i", "color=gray:s=1280x720:r=30:d=3", "-preset", "ultrafast", source)
    path, _ = samples.run("compress_video", source, tmp_path / "out", target_size_mb=20, preset="ultrafast")
    assert path.stat().st_size <= 20_000_000
