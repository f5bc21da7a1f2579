"""Rows of the table of bad input that concern videos, each through the real sandbox."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from geniequeue.errors import InputError, JobError, PolicyError
from geniequeue.media import clip, footage
from geniequeue.sandbox.inside import Limits
from tests.core import pictures, videos
from tests.core.conftest import RunInside

OPERATIONS = (
    ("resize_video", {"width": 64}),
    ("compress_video", {}),
    ("trim_videos", {"end": 0.5}),
    ("create_teaser", {}),
    ("strip_metadata", {}),
    ("apply_watermark", {"watermark_text": "x"}),
)


def made(tmp_path: Path, name: str, *arguments: str | Path) -> bytes:
    path = tmp_path / name
    videos.ffmpeg("-loglevel", "error", *arguments, path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video with its index first."""
    path = tmp_path_factory.mktemp("whole")
    return made(path, "whole.mp4", *videos.scene(), *videos.tone(), "-movflags", "+faststart")


def refused(run_inside: RunInside, content: bytes, operation: str = "resize_video", **params: object) -> JobError:
    with pytest.raises(JobError) as caught:
        run_inside(operation, content, **(params or dict(OPERATIONS)[operation]))
    return caught.value


def test_f33_row_50_an_empty_file_is_refused(run_inside: RunInside) -> None:
    error = refused(run_inside, b"")
    assert (error.kind, error.reason) == ("input", "empty_file")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Dear diary, this is no video.", "got text"),
        (pictures.photo().jpegsave_buffer(), "got a JPEG picture"),
        (pictures.photo().pngsave_buffer(), "got a PNG picture"),
        (b"PK\x03\x04" + bytes(60), "got an archive"),
        (b"\x7fELF" + bytes(60), "got a program"),
        (bytes(4096), "not recognised"),
    ],
)
def test_row_51_what_is_no_video_is_refused_whatever_its_name(
    run_inside: RunInside, content: bytes, words: str
) -> None:
    for name in ("film.mp4", "-i", "|id", "film.mp4;id"):
        with pytest.raises(InputError) as caught:
            run_inside("resize_video", content, name=name, width=64)
        assert caught.value.reason == "type_not_allowed" and words in caught.value.message


@pytest.mark.parametrize("operation", ["strip_metadata", "apply_watermark"])
def test_row_51_what_takes_both_says_that_it_is_neither_a_picture_nor_a_video(
    run_inside: RunInside, operation: str
) -> None:
    error = refused(run_inside, b"Dear diary, this is no video.", operation)
    assert error.reason == "type_not_allowed"
    assert all(words in error.message for words in ("a picture (JPEG", "or a video (MP4", "got text"))


@pytest.mark.parametrize("name", ["picture.jpg", "-i", "|id", "a:b.mp4", "x%d.mp4", "concat:x|y"])
def test_row_51_a_video_is_known_by_content_whatever_its_name(run_inside: RunInside, whole: bytes, name: str) -> None:
    [output] = run_inside("resize_video", whole, name=name, width=64).outputs
    assert output.facts["format_in"] == "mp4"


@pytest.mark.parametrize("percent", [5, 30, 60, 99])
def test_f33_row_53_a_video_that_is_cut_off_is_refused(run_inside: RunInside, whole: bytes, percent: int) -> None:
    for operation in ("resize_video", "strip_metadata"):
        error = refused(run_inside, whole[: len(whole) * percent // 100], operation)
        assert (error.kind, error.reason) == ("input", "corrupt_file")


@pytest.mark.parametrize(
    ("extension", "codec"), [("mkv", "libx264"), ("webm", "libvpx-vp9"), ("avi", "mpeg4"), ("flv", "flv1")]
)
def test_row_53_other_containers_that_are_cut_off_are_refused_or_end_earlier(
    run_inside: RunInside, tmp_path: Path, extension: str, codec: str
) -> None:
    content = made(tmp_path, f"whole.{extension}", *videos.scene(), "-c:v", codec)
    try:
        [output] = run_inside("resize_video", content[: len(content) // 2], width=64).outputs
    except InputError as error:
        assert error.reason == "corrupt_file"
    else:
        assert 0 < (output.duration_s or 0) < 0.9


VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")


@pytest.mark.parametrize("operation", ["resize_video", "strip_metadata"])
def test_row_53_a_matroska_that_ends_before_its_segment_is_refused(
    run_inside: RunInside, tmp_path: Path, operation: str
) -> None:
    for extension, codec in (("mkv", ("-c:v", "libx264")), ("webm", VP9)):
        content = made(tmp_path, f"whole.{extension}", *videos.scene(seconds=2), *codec)
        error = refused(run_inside, content[: len(content) // 2], operation)
        assert (error.kind, error.reason) == ("input", "corrupt_file")


def test_a_recording_that_does_not_know_its_length_is_taken(run_inside: RunInside, tmp_path: Path) -> None:
    content = made(tmp_path, "live.webm", *videos.scene(), *VP9, "-live", "1")
    for operation in ("resize_video", "strip_metadata"):
        [output] = run_inside(operation, content, **dict(OPERATIONS)[operation]).outputs
        assert output.facts["frames"] == 30


@pytest.mark.parametrize("operation", ["resize_video", "strip_metadata"])
def test_a_matroska_whose_second_half_is_passed_over_is_refused(
    run_inside: RunInside, tmp_path: Path, operation: str
) -> None:
    content = bytearray(made(tmp_path, "whole.webm", *videos.scene(seconds=4), *VP9))
    chance = random.Random(1)
    for _ in range(200):
        content[chance.randrange(len(content) // 3, len(content) * 2 // 3)] ^= 1 << chance.randrange(8)
    error = refused(run_inside, bytes(content), operation)
    assert (error.kind, error.reason) == ("input", "corrupt_file")


def test_subtitles_may_last_longer_than_the_pictures(run_inside: RunInside, tmp_path: Path) -> None:
    (tmp_path / "late.srt").write_text("1\n00:00:01,000 --> 00:00:09,000\nstill here\n")
    content = made(tmp_path, "film.mkv", *videos.scene(), "-i", tmp_path / "late.srt", "-map", "0", "-map", "1")
    [output] = run_inside("strip_metadata", content).outputs
    assert output.facts["frames"] == 30


def test_f33_row_53_an_index_that_is_missing_or_claims_two_gigabytes_is_refused(
    run_inside: RunInside, whole: bytes
) -> None:
    at = whole.index(b"moov") - 4
    size = int.from_bytes(whole[at : at + 4], "big")
    without = whole[:at] + whole[at + size :]
    huge = whole[:at] + struct.pack(">I", 2 << 30) + whole[at + 4 :]
    for content in (without, huge):
        error = refused(run_inside, content)
        assert (error.kind, error.reason) == ("input", "corrupt_file")
        assert (error.peak_memory_bytes or 0) < 300 << 20


def test_row_53_an_index_at_the_end_is_fine(run_inside: RunInside, tmp_path: Path) -> None:
    content = made(tmp_path, "late.mp4", *videos.scene(seconds=0.3))
    assert content.index(b"mdat") < content.index(b"moov")
    assert run_inside("resize_video", content, width=64).outputs[0].width_px == 64


def test_f33_frames_that_are_damaged_in_the_middle_are_the_senders_fault(run_inside: RunInside, whole: bytes) -> None:
    start = whole.index(b"mdat") + 4
    damaged = bytearray(whole)
    damaged[start + 3000 : start + 9000] = b"\xa5" * 6000
    error = refused(run_inside, bytes(damaged))
    assert (error.kind, error.reason) == ("input", "corrupt_file")


def _patched(content: bytes, box: bytes, offset: int, value: bytes) -> bytes:
    """Overwrite bytes at `offset` behind the name of every box of a kind."""
    data, at = bytearray(content), content.find(box)
    while at >= 0:
        data[at + 4 + offset : at + 4 + offset + len(value)] = value
        at = content.find(box, at + 4)
    return bytes(data)


def test_f34_row_56_a_hundred_hours_in_two_megabytes_are_refused_cheaply(run_inside: RunInside, tmp_path: Path) -> None:
    graph = "color=black:s=64x64:r=1/600:d=360000"
    content = made(tmp_path, "long.mp4", "-f", "lavfi", "-i", graph, "-preset", "ultrafast")
    for operation, _ in OPERATIONS:
        error = refused(run_inside, content, operation)
        assert (error.kind, error.reason) == ("policy", "too_long")
        assert (error.peak_memory_bytes or 0) < 300 << 20


def test_f34_row_56_an_index_of_a_thousand_million_frames_is_refused_cheaply(
    run_inside: RunInside, tmp_path: Path
) -> None:
    content = bytearray(made(tmp_path, "few.mp4", *videos.scene(64, 64, seconds=0.3), "-bf", "0"))
    claimed = struct.pack(">I", 1_000_000_000)
    for table, offset, value in (
        (b"stts", 8, claimed),
        (b"stsz", 4, struct.pack(">I", 1) + claimed),
        (b"stsc", 12, claimed),
    ):
        at = content.index(table) + 4 + offset
        content[at : at + len(value)] = value
    for operation, _ in OPERATIONS:
        error = refused(run_inside, bytes(content), operation)
        assert error.kind in ("input", "policy")
        assert (error.peak_memory_bytes or 0) < 300 << 20


def test_row_56_a_thousand_frames_a_second_are_handled_and_too_many_are_refused(
    run_inside: RunInside, tmp_path: Path
) -> None:
    content = made(tmp_path, "fast.mp4", *videos.scene(64, 64, fps="1000", seconds=0.3), "-preset", "ultrafast")
    [output] = run_inside("resize_video", content, width=32).outputs
    assert output.facts["frames"] == 300
    (tmp_path / "fast").write_bytes(content)
    with pytest.raises(PolicyError) as caught:
        clip.probe(tmp_path / "fast", Limits(max_video_frames=200))
    assert caught.value.reason == "too_many_frames"


@pytest.mark.parametrize("size", [(0, 0), (65535, 65535)])
def test_row_56_sizes_that_cannot_be_are_refused(run_inside: RunInside, whole: bytes, size: tuple[int, int]) -> None:
    entry = whole.index(b"avc1", whole.index(b"stsd"))
    data = bytearray(whole)
    data[entry + 28 : entry + 32] = struct.pack(">HH", *size)
    try:
        [output] = run_inside("resize_video", bytes(data), width=64).outputs
    except JobError as error:
        assert error.kind in ("input", "policy")
    else:
        assert (output.width_px, output.height_px) == (64, 36)  # the codec knows better than the container


def test_f34_row_54_a_video_of_huge_frames_is_refused_before_it_is_decoded(
    run_inside: RunInside, tmp_path: Path
) -> None:
    graph = "color=black:s=16000x4000:r=1:d=1"
    content = made(
        tmp_path, "huge.mp4", "-f", "lavfi", "-i", graph, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-f", "mov"
    )
    error = refused(run_inside, content)
    assert (error.kind, error.reason) == ("policy", "too_many_pixels")
    assert (error.peak_memory_bytes or 0) < 300 << 20


def test_row_56_odd_sides_and_a_turn_of_45_degrees_are_handled(run_inside: RunInside, tmp_path: Path) -> None:
    odd = made(tmp_path, "odd.mkv", *videos.scene(1079, 607, seconds=0.1), "-c:v", "ffv1", "-pix_fmt", "yuv444p")
    [output] = run_inside("compress_video", odd, preset="ultrafast").outputs
    assert (output.width_px, output.height_px) == (1078, 606)
    made(tmp_path, "straight.mp4", *videos.scene(seconds=0.2))
    turned = made(tmp_path, "turned.mp4", "-display_rotation", "45", "-i", tmp_path / "straight.mp4", "-c", "copy")
    assert run_inside("resize_video", turned, width=64).outputs[0].width_px == 64


def test_row_57_sound_alone_and_a_cover_alone_are_no_video(run_inside: RunInside, tmp_path: Path) -> None:
    pictures.photo().jpegsave(str(tmp_path / "cover.jpg"))
    cover = ["-i", tmp_path / "cover.jpg", "-map", "0", "-map", "1", "-c:v", "mjpeg", "-disposition:v", "attached_pic"]
    for name, extra in (("sound.m4a", []), ("sound.mp3", []), ("cover.m4a", cover), ("cover.mp3", cover)):
        error = refused(run_inside, made(tmp_path, name, *videos.tone(), *extra))
        assert (error.kind, error.reason) == ("input", "no_video"), name


def test_row_57_a_video_without_sound_and_one_with_thirty_tracks_are_handled(
    run_inside: RunInside, tmp_path: Path
) -> None:
    silent = made(tmp_path, "silent.mp4", *videos.scene(seconds=0.2))
    assert run_inside("resize_video", silent, width=64).outputs[0].facts["sound"] is None
    maps = [part for _ in range(30) for part in ("-map", "1:a")]
    many = made(tmp_path, "many.mkv", *videos.scene(seconds=0.2), *videos.tone(0.2), "-map", "0:v", *maps)
    [output] = run_inside("resize_video", many, width=64).outputs
    assert output.facts["sound"] == "aac"


def test_a_container_that_refers_to_another_file_does_not_open_it(run_inside: RunInside, tmp_path: Path) -> None:
    content = made(tmp_path, "plain.mov", *videos.scene(seconds=0.2), "-movflags", "+faststart")
    at = content.index(b"url \0\0\0\1")
    alias = b"url \0\0\0\0"
    [output] = run_inside("resize_video", content[:at] + alias + content[at + 8 :], width=64).outputs
    assert output.width_px == 64


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\0\0\0\x18ftypisom", footage.MP4), (b"\0\0\0\x08wide\0\0\0\0mdat", footage.MP4),
        (b"\x1aE\xdf\xa3", footage.MATROSKA),
        (b"RIFF\0\0\0\0AVI ", footage.AVI), (b"RIFF\0\0\0\0WAVE", footage.WAV), (b"RIFF\0\0\0\0WEBP", None),
        (b"\0\0\0\x18ftypheic", None), (b"\0\0\0\x18ftypavif", None), (b"", None), (b"G" * 400, footage.MPEGTS),
    ],
)  # fmt: skip
def test_containers_are_told_by_their_first_bytes(
    tmp_path: Path, head: bytes, expected: footage.Container | None
) -> None:
    (tmp_path / "file").write_bytes(head)
    assert footage.container_of(tmp_path / "file") == expected
