"""Videos of every kind come out in time, upright, in step and in the right colours."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
import pyvips

from geniequeue.errors import InputError
from tests.core import pictures, samples, videos


def shrunk(tmp_path: Path, source: Path, **params: object) -> Path:
    path, _ = samples.run("resize_video", source, tmp_path / "out", **(params or {"width": 160}))
    return path


def tags(path: Path) -> dict[str, str]:
    """Colour tags of the first frame."""
    found = re.findall(r"color_(range|space|primaries|trc):(\S+)", videos.info(path))
    return dict(found)


def test_a_video_of_a_phone_held_upright_is_turned_not_tagged(tmp_path: Path) -> None:
    plain, source = tmp_path / "plain.mp4", tmp_path / "phone.mp4"
    pictures.corners().pngsave(str(tmp_path / "corners.png"))
    videos.ffmpeg("-loop", "1", "-i", tmp_path / "corners.png", "-t", "0.2", "-vf", "scale=128:64:flags=neighbor",
                  "-pix_fmt", "yuv420p", "-crf", "5", plain)  # fmt: skip
    for degrees, size, top_left in ((90, (64, 128), "green"), (180, (128, 64), "white"), (270, (64, 128), "blue")):
        videos.ffmpeg("-display_rotation", str(degrees), "-i", plain, "-c", "copy", source)
        made = shrunk(tmp_path, source, width=size[0])
        assert videos.shown_size(made) == size
        assert videos.is_tagged_turned(source) and not videos.is_tagged_turned(made)
        red, green, blue = (value > 128 for value in videos.frames_of(made)[0](8, 8))
        names = {(True, False, False): "red", (False, True, False): "green", (False, False, True): "blue"}
        assert names.get((red, green, blue), "white") == top_left


def test_frames_at_varying_times_stay_at_their_times(tmp_path: Path) -> None:
    source = tmp_path / "vfr.mkv"
    chosen = "select='not(mod(n,3))+lt(n,20)*not(mod(n,2))+eq(n,35)',setpts=PTS+0.0013/TB*mod(N\\,3)"
    videos.ffmpeg(
        *videos.scene(fps="60"), "-vf", chosen, "-fps_mode", "passthrough", "-enc_time_base", "1:90000", source
    )
    before = videos.times_of(source)
    assert len({round(b - a, 3) for a, b in pairwise(before)}) >= 3
    for operation, params in (("resize_video", {"width": 160}), ("apply_watermark", {"watermark_text": "x"})):
        path, _ = samples.run(operation, source, tmp_path / operation, **params)
        assert videos.times_of(path) == pytest.approx([time - before[0] for time in before], abs=0.0006)


@pytest.mark.parametrize(
    "codecs",
    [
        ("-c:v", "libx264", "-c:a", "aac"),
        ("-f", "matroska", "-c:v", "libx264", "-c:a", "libmp3lame"),
        ("-f", "webm", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus"),
        ("-f", "mpegts", "-c:v", "libx264", "-c:a", "mp2"),
        ("-f", "mov", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"),
    ],
    ids=lambda codecs: "-".join(codecs[-3:]).replace("-c:a", ""),
)
def test_sound_stays_in_step(tmp_path: Path, codecs: tuple[str, ...]) -> None:
    source = videos.flash_and_beep(
        tmp_path / "clap", [0.3, 1.1, 1.7], 2, *codecs, *(() if "-f" in codecs else ("-f", "mp4"))
    )
    for operation, params in (("resize_video", {"width": 80}), ("compress_video", {"preset": "veryfast"})):
        path, output = samples.run(operation, source, tmp_path / operation, **params)
        assert output.facts["sound"] == "aac"
        assert videos.out_of_step(path) < 0.02 + videos.out_of_step(source)
        assert videos.flashes(path) == pytest.approx([0.3, 1.1, 1.7], abs=0.04)


def test_sound_that_begins_later_than_the_pictures_stays_in_step(tmp_path: Path) -> None:
    clap, source = videos.flash_and_beep(tmp_path / "clap.mp4", [0.8], 1.5), tmp_path / "late.mkv"
    videos.ffmpeg("-i", clap, "-ss", "0.5", "-i", clap, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "copy",
                  "-copyts", source)  # fmt: skip
    step = videos.out_of_step(source)
    assert videos.out_of_step(shrunk(tmp_path, source, width=80)) < step + 0.02


def test_surround_sound_keeps_its_channels(tmp_path: Path) -> None:
    source = tmp_path / "surround.mkv"
    videos.ffmpeg(*videos.scene(seconds=0.5), *videos.tone(0.5, layout="5.1"), "-c:a", "ac3", source)
    assert re.search(r"Audio: aac.*5\.1", videos.info(shrunk(tmp_path, source)))


def test_channels_that_no_player_knows_become_stereo(tmp_path: Path) -> None:
    source = tmp_path / "odd.mkv"
    videos.ffmpeg(*videos.scene(seconds=0.5), *videos.tone(0.5, layout="6.0", rate=96_000), "-c:a", "flac", source)
    assert re.search(r"Audio: aac.*48000 Hz, stereo", videos.info(shrunk(tmp_path, source)))


@pytest.mark.parametrize("size", [(1079, 607), (33, 17), (3, 3), (2, 2)])
def test_odd_sides_become_even(tmp_path: Path, size: tuple[int, int]) -> None:
    source = tmp_path / "odd.mkv"
    videos.ffmpeg(*videos.scene(*size, seconds=0.1), "-c:v", "ffv1", "-pix_fmt", "yuv444p", source)
    path, _ = samples.run("compress_video", source, tmp_path / "out", crf=18)
    assert videos.shown_size(path) == (size[0] // 2 * 2, size[1] // 2 * 2)
    if size[0] > 10:
        crop = f"format=yuv444p,crop={size[0] // 2 * 2}:{size[1] // 2 * 2}:0:0"
        assert videos.psnr(source, path, transform=crop) > 25


def test_a_fifth_of_a_second_and_a_single_frame_are_videos_too(tmp_path: Path) -> None:
    for frames in (6, 1):
        source = videos.numbered(tmp_path / f"{frames}.mp4", frames)
        for operation, params in (("compress_video", {}), ("create_teaser", {}), ("strip_metadata", {})):
            path, output = samples.run(operation, source, tmp_path / f"{operation}{frames}", **params)
            assert output.facts["frames"] == frames
            if operation != "create_teaser":
                assert videos.numbers_of(path) == list(range(frames))


def test_ten_bits_become_eight_that_every_player_takes(tmp_path: Path) -> None:
    source = tmp_path / "deep.mp4"
    videos.ffmpeg(*videos.scene(), "-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-crf", "12",
                  "-x265-params", "log-level=error", source)  # fmt: skip
    path = shrunk(tmp_path, source)
    assert "yuv420p(" in videos.info(path) or "yuv420p," in videos.info(path)
    assert videos.psnr(source, path, transform="scale=160:90:flags=lanczos") > 30


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("bt709", "bt709", "bt709", "tv"), {}),
        (("smpte170m", "smpte170m", "smpte170m", "tv"), {}),
        (("bt470bg", "bt470bg", "smpte170m", "tv"), {}),
        (("bt709", "bt709", "bt709", "pc"), {}),
        (("bt2020nc", "bt2020", "bt2020-10", "tv"), {}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_colour_tags_are_carried(tmp_path: Path, given: tuple[str, ...], expected: dict[str, str]) -> None:
    source = tmp_path / "tagged.mp4"
    space, primaries, transfer, span = given
    params = f"setparams=range={span}:color_primaries={primaries}:color_trc={transfer}:colorspace={space}"
    videos.ffmpeg(*videos.scene(seconds=0.2), "-vf", params, source)
    before = tags(source)
    assert before["space"] == space
    for operation, asked in (
        ("resize_video", {"width": 160}), ("crop_video", {"aspect": "1:1"}),
        ("apply_watermark", {"watermark_text": "x"}), ("trim_videos", {"end": 0.1}),
    ):  # fmt: skip
        path, _ = samples.run(operation, source, tmp_path / operation, **asked)
        assert tags(path) == {**before, **expected}, operation


PQ = "zscale=transfer=smpte2084:primaries=bt2020:matrix=bt2020nc:range=limited:npl=203"
HLG = "zscale=transfer=arib-std-b67:primaries=bt2020:matrix=bt2020nc:range=limited:npl=203"


@pytest.mark.parametrize("coding", [PQ, HLG], ids=["HDR10", "HLG"])
def test_row_64_hdr_comes_out_as_sdr_in_the_right_colours(tmp_path: Path, coding: str) -> None:
    """Skin, foliage, sky and greys below the knee, coded as HDR at the brightness they have in SDR, look the same."""
    picture = pictures.coded(pictures.chart(), "srgb")
    picture.pngsave(str(tmp_path / "chart.png"), keep="none")
    source = tmp_path / "hdr.mp4"
    display = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=gbr"
    graph = f"format=gbrpf32le,{display},{coding},format=yuv420p10le"
    videos.ffmpeg("-loop", "1", "-i", tmp_path / "chart.png", "-t", "0.2", "-vf", graph, "-c:v", "libx265", "-crf", "4",
                  "-x265-params", "log-level=error", source)  # fmt: skip
    assert tags(source)["trc"] in ("smpte2084", "arib-std-b67")
    path, output = samples.run("crop_video", source, tmp_path / "out", x=0, y=0, width=288, height=192)
    assert output.facts["hdr_in"] is True
    assert tags(path) == {"range": "tv", "space": "bt709", "primaries": "bt709", "trc": "bt709"}
    frame = videos.frames_of(path)[0]
    frame.pngsave(str(tmp_path / "seen.png"))
    got = frame.colourspace("lab")
    expected = picture.copy(interpretation="srgb").colourspace("lab")
    differences = [_difference(got, expected, n) for n in range(24)]
    below_the_knee = [n for n in range(24) if pictures.PATCHES[n][0] < 70]
    assert max(differences[n] for n in below_the_knee) < 6, differences
    assert sum(differences[n] for n in below_the_knee) / len(below_the_knee) < 3, differences


def _difference(got: pyvips.Image, expected: pyvips.Image, patch: int) -> float:
    left, top = patch % 6 * 48 + 16, patch // 6 * 48 + 16
    means = [
        image.crop(left, top, 16, 16).cast("float").shrink(16, 16).copy(interpretation="lab")
        for image in (got, expected)
    ]
    return float(means[0].dE00(means[1])(0, 0)[0])


@pytest.mark.parametrize("extension", ["webm", "gif", "mov"])
def test_row_64_what_is_transparent_lies_on_white(tmp_path: Path, extension: str) -> None:
    coding = {
        "webm": ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-crf", "10", "-b:v", "0"),
        "gif": ("-vf", "split[a][b];[a]palettegen=reserve_transparent=1[p];[b][p]paletteuse"),
        "mov": ("-c:v", "qtrle", "-pix_fmt", "argb"),
    }
    clear = pyvips.Image.black(64, 64, bands=4).copy(interpretation="srgb").cast("uchar")
    clear.draw_rect([220, 20, 30, 255], 0, 0, 32, 64, fill=True).pngsave(str(tmp_path / "half.png"))
    source = tmp_path / f"clear.{extension}"
    videos.ffmpeg("-loop", "1", "-t", "0.4", "-r", "10", "-i", tmp_path / "half.png", *coding[extension], source)
    frame = videos.frames_of(shrunk(tmp_path, source, width=64))[1]
    assert frame(12, 32) == pytest.approx([220, 20, 30], abs=10)
    assert frame(52, 32) == pytest.approx([255, 255, 255], abs=4)


def test_a_gif_becomes_a_video_with_its_times(tmp_path: Path) -> None:
    source = tmp_path / "animation.gif"
    samples.animation(5).gifsave(str(source))
    path, output = samples.run("resize_video", source, tmp_path / "out", width=60)
    assert videos.times_of(path) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4], abs=0.002)
    assert output.mime == "video/mp4" and output.facts["format_in"] == "gif"


def test_pixels_that_are_not_square_become_square(tmp_path: Path) -> None:
    source = tmp_path / "anamorphic.mp4"
    videos.ffmpeg(*videos.scene(180, 144, seconds=0.2), "-vf", "setsar=16/9", source)
    for operation, params, size in (
        ("compress_video", {}, (320, 144)),
        ("resize_video", {"height": 72}, (160, 72)),
        ("apply_watermark", {"watermark_text": "x"}, (320, 144)),
    ):
        path, output = samples.run(operation, source, tmp_path / operation, **params)
        assert videos.shown_size(path) == size == (output.width_px, output.height_px)
        assert "sar:1/1" in videos.info(path)


def test_two_hours_are_stripped_by_copying(tmp_path: Path) -> None:
    source = tmp_path / "long.mp4"
    videos.ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "color=black:s=64x64:r=1:d=7200",
        "-preset",
        "ultrafast",
        "-metadata",
        "title=SECRET",
        source,
    )
    path, output = samples.run("strip_metadata", source, tmp_path / "out")
    assert output.duration_s == pytest.approx(7200, abs=0.1)
    assert b"SECRET" not in path.read_bytes()


INTERLACED = {
    "mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", "interlaced=1", "-c:a", "aac"),
    "ts": ("-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-c:a", "mp2"),
}


@pytest.mark.parametrize("extension", sorted(INTERLACED))
def test_an_interlaced_video_keeps_its_frames_at_their_times(tmp_path: Path, extension: str) -> None:
    source = tmp_path / f"interlaced.{extension}"
    videos.ffmpeg(*videos.scene(fps="25", seconds=2), *videos.tone(2), *INTERLACED[extension], source)
    for operation, params in (
        ("resize_video", {"width": 160}),
        ("crop_video", {"aspect": "1:1"}),
        ("compress_video", {}),
        ("trim_videos", {"start": 0.52}),
        ("apply_watermark", {"watermark_text": "x"}),
    ):
        path, output = samples.run(operation, source, tmp_path / operation, **params)
        assert output.facts["frames"] == (37 if operation == "trim_videos" else 50), operation
        times = videos.times_of(path)
        assert [b - a for a, b in pairwise(times)] == pytest.approx([0.04] * (len(times) - 1), abs=0.001)


@pytest.mark.parametrize("matrix", ["ycgco", "bt2020c", "ictcp", "chroma-derived-c"])
@pytest.mark.parametrize("transfer", ["bt709", "smpte2084"])
def test_a_colour_matrix_that_cannot_be_converted_is_refused_by_name(
    tmp_path: Path, matrix: str, transfer: str
) -> None:
    source = tmp_path / "odd.mp4"
    said = f"format=yuv420p,setparams=colorspace={matrix}:color_trc={transfer}"
    videos.ffmpeg(*videos.scene(seconds=0.5), "-vf", said, source)
    assert tags(source)["space"] == matrix
    for operation, params in (
        ("resize_video", {"width": 160}),
        ("compress_video", {}),
        ("create_teaser", {}),
        ("apply_watermark", {"watermark_text": "x"}),
    ):
        with pytest.raises(InputError) as caught:
            samples.run(operation, source, tmp_path / operation, **params)
        assert caught.value.reason == "colours_not_supported" and matrix in caught.value.message
    samples.run("strip_metadata", source, tmp_path / "stripped")
