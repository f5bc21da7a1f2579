"""`apply_watermark` on videos: the same picture as on images, on every frame, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
import pyvips

from geniequeue.errors import InputError, VerifyError
from geniequeue.media import filters
from tests.core import samples, videos


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "film.mp4"
    graph = "gradients=s=320x180:r=10:d=0.8:c0=0x405060:c1=0x908070:speed=0.02"
    videos.ffmpeg("-f", "lavfi", "-i", graph, *videos.tone(0.8), "-crf", "10", path)
    return path


def changed(before: Path, after: Path, number: int = 0) -> pyvips.Image:
    """How far each pixel of a frame moved."""
    first, second = videos.frames_of(before)[number], videos.frames_of(after)[number]
    return (first.cast("float") - second.cast("float")).abs().bandmean()


@pytest.mark.parametrize(
    ("position", "box"),
    [("tl", (0, 0)), ("tr", (200, 0)), ("bl", (0, 120)), ("br", (200, 120)), ("center", (100, 60))],
)
def test_the_mark_is_in_its_place_on_the_first_and_the_last_frame_and_nowhere_else(
    film: Path, tmp_path: Path, position: str, box: tuple[int, int]
) -> None:
    path, output = samples.run(
        "apply_watermark", film, tmp_path / "out", watermark_text="@creator", scale=0.3, position=position, margin=5
    )
    assert output.facts["frames"] == 8 and output.mime == "video/mp4"
    for number in (0, 4, -1):
        moved = changed(film, path, number)
        left, top, width, height = (moved > 25).find_trim(background=[0], threshold=0.5)
        assert box[0] <= left and left + width <= box[0] + 120
        assert box[1] <= top and top + height <= box[1] + 60
        assert moved.max() > 60
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["output.mp4"]


def test_a_tile_marks_the_whole_picture(film: Path, tmp_path: Path) -> None:
    path, _ = samples.run("apply_watermark", film, tmp_path / "out", watermark_text="@creator", position="tile")
    moved = changed(film, path)
    assert all(moved.crop(x, y, 106, 90).max() > 40 for x in (0, 107, 214) for y in (0, 90))


def test_it_is_the_same_picture_as_on_an_image(film: Path, tmp_path: Path) -> None:
    still = tmp_path / "still.png"
    videos.frames_of(film)[0].pngsave(str(still))
    params = {"watermark_text": "❤️ Ω", "color": "#ff0000", "scale": 0.6, "opacity": 1, "position": "center"}
    on_image, _ = samples.run("apply_watermark", still, tmp_path / "image", **params)
    on_video, _ = samples.run("apply_watermark", film, tmp_path / "video", **params)
    image, frame = samples.read(on_image), videos.frames_of(on_video)[0]
    red = (image[0] > 230) & (image[1] < 40) & (image[2] < 40)
    assert red.avg() > 0.5
    difference = (image.cast("float") - frame.cast("float")).abs().bandmean()
    assert difference.avg() < 3
    inside = red.rank(5, 5, 0) > 0
    assert (inside.ifthenelse(difference, 0)).max() < 40


def test_an_overlay_lies_on_the_video_with_its_transparency(film: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "logo.png"
    logo = pyvips.Image.black(100, 100, bands=4).copy(interpretation="srgb").cast("uchar")
    logo.draw_rect([0, 255, 0, 255], 0, 0, 50, 100, fill=True).write_to_file(str(overlay))
    path, _ = samples.run(
        "apply_watermark", film, tmp_path / "out", overlay=overlay, scale=0.25, position="tl", margin=0, opacity=1
    )
    frame = videos.frames_of(path)[3]
    assert frame(20, 40) == pytest.approx([0, 255, 0], abs=12)
    assert changed(film, path, 3).crop(50, 0, 30, 80).max() < 20


@pytest.mark.parametrize(
    "text",
    [
        "%{metadata:title}", "@/etc/passwd", "':textfile=/etc/passwd", "[out];movie=/etc/passwd", "مرحبا \u202eabc",
        "❤️‍🔥👩‍👩‍👧", "two\nlines", "你好 Ω é", "x" * 500,
    ],
)  # fmt: skip
def test_row_25_row_26_any_text_is_only_text(film: Path, tmp_path: Path, text: str) -> None:
    path, output = samples.run("apply_watermark", film, tmp_path / "out", watermark_text=text, scale=0.5)
    assert output.facts["frames"] == 8
    assert changed(film, path).max() > 40


def test_a_mark_that_is_missing_is_noticed(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "marked", lambda *_, **__: "[under];[under]null")
    with pytest.raises(VerifyError) as caught:
        samples.run("apply_watermark", film, tmp_path / "out", watermark_text="@creator", scale=0.3)
    assert caught.value.reason == "mark_missing"


def test_a_picture_format_for_a_video_is_refused(film: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        samples.run("apply_watermark", film, tmp_path / "out", watermark_text="@creator", format="webp")
    assert caught.value.reason == "format_not_allowed"


@pytest.mark.parametrize("size", [(2, 2), (17, 33), (321, 181)])
def test_odd_and_very_small_videos_are_marked(tmp_path: Path, size: tuple[int, int]) -> None:
    source = tmp_path / "small.mkv"
    videos.ffmpeg(*videos.scene(*size, fps="5", seconds=0.4), "-c:v", "ffv1", "-pix_fmt", "yuv444p", source)
    path, output = samples.run("apply_watermark", source, tmp_path / "out", watermark_text="@creator", scale=0.5)
    assert videos.shown_size(path) == (size[0] // 2 * 2, size[1] // 2 * 2) == (output.width_px, output.height_px)
