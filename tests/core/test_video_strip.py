"""`strip_metadata` on videos and sound recordings: nothing that says who, where or with what, and the same packets."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from geniequeue.errors import InputError, VerifyError
from geniequeue.media import footage_strip, movie_boxes, movie_copy
from geniequeue.media.movie_copy import Movie
from tests.core import samples, videos

SECRETS = ("SECRET", "37.77", "2021:03:04", "2021-03-04", "Canon", "chapter one")
TAGS = ["-metadata", "title=SECRET title", "-metadata", "comment=SECRET comment", "-metadata", "artist=SECRET artist",
        "-metadata", "creation_time=2021-03-04T05:06:07Z"]  # fmt: skip
DATES = ("CreateDate", "ModifyDate", "TrackCreateDate", "MediaCreateDate")
CHAPTERS = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=SECRET chapter one\n"
FORMATS = {
    "mp4": ["-f", "mp4", "-c:v", "libx264", "-c:a", "aac"],
    "mov": ["-f", "mov", "-c:v", "prores_ks", "-c:a", "pcm_s16le"],
    "mkv": ["-f", "matroska", "-c:v", "libx264", "-c:a", "libmp3lame"],
    "webm": ["-f", "webm", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus"],
    "avi": ["-f", "avi", "-c:v", "mpeg4", "-c:a", "libmp3lame"],
    "ts": ["-f", "mpegts", "-c:v", "libx264", "-c:a", "aac"],
    "mpg": ["-f", "mpeg", "-c:v", "mpeg1video", "-c:a", "mp2"],
    "flv": ["-f", "flv", "-c:v", "libx264", "-c:a", "aac"],
    "wmv": ["-f", "asf", "-c:v", "wmv2", "-c:a", "wmav2"],
}
SOUNDS = {
    "mp3": ["-f", "mp3"], "wav": ["-f", "wav"], "flac": ["-f", "flac"], "ogg": ["-f", "ogg", "-c:a", "libvorbis"],
    "m4a": ["-f", "ipod", "-c:a", "aac"], "opus": ["-f", "ogg", "-c:a", "libopus"], "aac": ["-f", "adts"],
}  # fmt: skip


def phone_video(path: Path) -> Path:
    """A turned video as a phone records it: place, make, time, XMP, a C2PA-like uuid box, chapters, a GPS track."""
    (path.parent / "chapters.txt").write_text(CHAPTERS)
    (path.parent / "gps.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nGPS(37.77,-122.4) SECRET\n")
    plain = path.with_suffix(".plain.mp4")
    videos.ffmpeg(
        *videos.scene(), *videos.tone(), "-i", path.parent / "gps.srt", "-i", path.parent / "chapters.txt",
        "-map", "0", "-map", "1", "-map", "2", "-map_metadata", "3", "-c:s", "mov_text", *TAGS,
        "-metadata", "location=+37.7749-122.4194/", "-metadata:s:v", "handler_name=SECRET handler", "-f", "mp4", plain,
    )  # fmt: skip
    videos.ffmpeg(
        "-display_rotation:v:0", "90", "-i", plain, "-map", "0", "-c", "copy", "-movflags", "+faststart", path
    )
    samples.exiftool(
        "-q", "-overwrite_original", "-XMP:Creator=SECRET creator", *(f"-{name}=2021:03:04 05:06:07" for name in DATES),
        "-QuickTime:Make=Canon", "-QuickTime:Model=SECRET",
        "-Keys:GPSCoordinates=37.77, -122.41, 10", "-UserData:GPSCoordinates=37.77, -122.41, 10", path,
    )  # fmt: skip
    secret = b"c2pa manifest SECRET" * 20
    path.write_bytes(path.read_bytes() + struct.pack(">I4s", 24 + len(secret), b"uuid") + b"\xd8" * 16 + secret)
    return path


def everything_about(path: Path) -> str:
    commands = (["exiftool", "-a", "-G1", "-u", "-ee"], [videos.FFMPEG, "-hide_banner", "-i"])
    outputs = [subprocess.run([*each, str(path)], capture_output=True, check=False) for each in commands]
    told = "".join((each.stdout + each.stderr).decode(errors="replace") for each in outputs)
    return "\n".join(line for line in told.splitlines() if not line.startswith(("[System]", "[File]", "[ExifTool]")))


def streams_of(path: Path, *maps: str) -> list[str]:
    text = videos.ffmpeg("-v", "error", "-i", path, *(x for m in maps for x in ("-map", m)),
                         "-c", "copy", "-f", "streamhash", "-")  # fmt: skip
    return text.split()


def test_row_62_row_63_nothing_is_left_of_a_phone_video_but_picture_sound_and_turn(tmp_path: Path) -> None:
    source = phone_video(tmp_path / "phone.mp4")
    assert all(word in everything_about(source) for word in ("SECRET", "37.77", "2021:03:04", "Canon"))
    path, output = samples.run("strip_metadata", source, tmp_path / "out")
    told = everything_about(path)
    assert not [word for word in SECRETS if word in told or word.encode() in path.read_bytes()]
    for group in (
        "XMP",
        "GPS",
        "UserData",
        "ItemList",
        "Keys",
        "uuid",
        "Encoder",
        "Track3",
        "Chapter",
        "Handler Vendor",
    ):
        assert group not in told, group
    dates = [line for line in told.splitlines() if "Date" in line]
    assert len(dates) == 10 and not [line for line in dates if not line.endswith("0000:00:00 00:00:00")]
    assert videos.shown_size(path) == (180, 320) == (output.width_px, output.height_px)
    assert streams_of(source, "0:v", "0:a") == streams_of(path, "0:v", "0:a")
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")


@pytest.mark.parametrize("extension", sorted(FORMATS))
def test_a_video_keeps_its_packets_and_loses_its_tags(tmp_path: Path, extension: str) -> None:
    source = tmp_path / f"input.{extension}"
    videos.ffmpeg(*videos.scene(), *videos.tone(), *TAGS, *FORMATS[extension], source)
    path, output = samples.run("strip_metadata", source, tmp_path / "out")
    assert path.suffix == source.suffix
    told, content = everything_about(path), path.read_bytes()
    assert not [word for word in SECRETS if word in told or word.encode() in content]
    assert "Lavf6" not in told
    if extension != "ts":
        assert streams_of(source, "0:v", "0:a") == streams_of(path, "0:v", "0:a")
    assert len(videos.pixels_of(source)) == 30
    assert videos.pixels_of(source) == videos.pixels_of(path)
    assert output.width_px == 320


@pytest.mark.parametrize("extension", sorted(SOUNDS))
def test_a_sound_recording_keeps_its_packets_and_loses_its_tags_and_cover(tmp_path: Path, extension: str) -> None:
    source, cover = tmp_path / f"input.{extension}", tmp_path / "cover.jpg"
    samples.photo().jpegsave(str(cover))
    with_cover = ["-i", cover, "-map", "0:a", "-map", "1:v", "-c:v", "mjpeg", "-disposition:v", "attached_pic"]
    extra = with_cover if extension in ("mp3", "m4a", "flac") else []
    videos.ffmpeg(*videos.tone(), *extra, *TAGS, *SOUNDS[extension], source)
    path, output = samples.run("strip_metadata", source, tmp_path / "out")
    told = everything_about(path)
    assert not [word for word in SECRETS if word in told or word.encode() in path.read_bytes()]
    assert b"\xff\xd8\xff\xe0" not in path.read_bytes()
    assert streams_of(source, "0:a") == streams_of(path, "0:a")
    assert output.mime.startswith("audio/") and output.width_px is None
    assert abs((output.duration_s or 0) - 1) < 0.1


def test_a_video_in_fragments_is_stripped_too(tmp_path: Path) -> None:
    source = in_fragments(tmp_path / "fragments.mp4")
    path, output = samples.run("strip_metadata", source, tmp_path / "out")
    assert not [word for word in SECRETS if word in everything_about(path)]
    assert streams_of(source, "0:v", "0:a") == streams_of(path, "0:v", "0:a")
    assert output.facts["frames"] == 30


def test_a_video_in_fragments_with_an_edit_list_is_stripped_too(tmp_path: Path) -> None:
    plain, source = tmp_path / "plain.mp4", tmp_path / "fragments.mp4"
    videos.ffmpeg(*videos.scene(), *videos.tone(), "-c:a", "aac", *TAGS, plain)
    videos.ffmpeg("-i", plain, "-c", "copy", "-movflags", "+frag_keyframe+empty_moov+delay_moov", source)
    path, _ = samples.run("strip_metadata", source, tmp_path / "out")
    assert not [word for word in SECRETS if word in everything_about(path)]
    assert streams_of(source, "0:v", "0:a") == streams_of(path, "0:v", "0:a")


def test_what_a_camcorder_wrote_into_the_pictures_themselves_is_gone(tmp_path: Path) -> None:
    source = tmp_path / "camcorder.ts"
    sei = "086f3693-b7b3-4f2c-9653-21492feee5b8+SECRETCAM"
    videos.ffmpeg(*videos.scene(), "-c:v", "libx264", "-bsf:v", f"h264_metadata=sei_user_data={sei}", source)
    assert b"SECRETCAM" in source.read_bytes()
    path, _ = samples.run("strip_metadata", source, tmp_path / "out")
    assert b"SECRETCAM" not in path.read_bytes()


def test_row_62_positions_that_a_camera_recorded_in_a_track_of_their_own_are_gone(tmp_path: Path) -> None:
    source = phone_video(tmp_path / "phone.mp4")
    content = source.read_bytes()
    at = content.index(b"tx3g")
    camera = content[:at] + b"gpmd" + content[at + 4 :]
    assert b"sbtl" in camera and b"GPS(37.77" in camera
    source.write_bytes(camera.replace(b"sbtl", b"meta"))
    path, output = samples.run("strip_metadata", source, tmp_path / "out")
    assert output.facts["tracks"] == 2
    assert b"GPS(37.77" not in path.read_bytes() and b"gpmd" not in path.read_bytes()
    assert streams_of(source, "0:v", "0:a") == streams_of(path, "0:v", "0:a")


def in_fragments(path: Path) -> Path:
    videos.ffmpeg(*videos.scene(), *videos.tone(), *TAGS, "-movflags", "frag_keyframe+empty_moov", "-g", "10", path)
    return path


@pytest.mark.parametrize("make", [phone_video, in_fragments])
def test_metadata_that_is_left_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path]
) -> None:
    source = make(tmp_path / "input.mp4")

    def spoil(path: Path) -> None:
        samples.exiftool("-q", "-overwrite_original", "-XMP:Creator=SECRET", path)

    def copied(from_: Path, movie: Movie, made: Path, on_bytes: Callable[[float], None]) -> None:
        really(from_, movie, made, on_bytes)
        spoil(made)

    really = movie_copy.copied
    monkeypatch.setattr(movie_boxes, "blank_user_data", spoil)
    monkeypatch.setattr(movie_copy, "copied", copied)
    with pytest.raises(VerifyError) as caught:
        samples.run("strip_metadata", source, tmp_path / "out")
    assert caught.value.reason == "metadata_left"


def test_a_plain_movie_is_moved_without_ffmpeg_and_the_kernel_where_need_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = phone_video(tmp_path / "phone.mp4")
    monkeypatch.setattr(footage_strip, "_copied", None)
    whole, _ = samples.run("strip_metadata", source, tmp_path / "by_the_kernel")

    def other_file_system(*_: object) -> int:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", other_file_system)
    again, _ = samples.run("strip_metadata", source, tmp_path / "by_hand")
    assert whole.read_bytes() == again.read_bytes()


def test_bytes_that_were_copied_wrongly_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = phone_video(tmp_path / "phone.mp4")
    monkeypatch.setattr(os, "copy_file_range", lambda _old, new, size, _start, at: os.pwrite(new, bytes(size), at))
    with pytest.raises(VerifyError) as caught:
        samples.run("strip_metadata", source, tmp_path / "out")
    assert caught.value.reason == "changed"


def test_f33_an_index_that_points_outside_of_its_media_data_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "input.mp4"
    videos.ffmpeg(*videos.scene(seconds=0.2), *videos.tone(0.2), source)
    content = bytearray(source.read_bytes())
    for place in (8, len(content) - 4, (1 << 32) - 9):
        at = content.index(b"stco")
        content[at + 12 : at + 16] = struct.pack(">I", place)
        (tmp_path / "bad.mp4").write_bytes(content)
        with pytest.raises(InputError) as caught:
            samples.run("strip_metadata", tmp_path / "bad.mp4", tmp_path / "out")
        assert caught.value.reason == "corrupt_file"


def test_sound_that_is_not_the_same_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "sound.wav"
    videos.ffmpeg(*videos.tone(), source)
    monkeypatch.setitem(
        footage_strip._TARGETS,
        "wav",
        footage_strip.Target("wav", "wav", "audio/wav", ("-af", "volume=0.5", "-c:a", "pcm_s16le")),
    )
    with pytest.raises(VerifyError) as caught:
        samples.run("strip_metadata", source, tmp_path / "out")
    assert caught.value.reason == "changed"


def test_row_53_a_cut_off_video_is_refused(tmp_path: Path) -> None:
    whole = phone_video(tmp_path / "phone.mp4").read_bytes()
    for percent in (10, 50, 90):
        (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * percent // 100])
        with pytest.raises(InputError) as caught:
            samples.run("strip_metadata", tmp_path / "cut.mp4", tmp_path / "out")
        assert caught.value.reason == "corrupt_file"


def test_the_brands_of_a_maker_are_not_kept(tmp_path: Path) -> None:
    source = tmp_path / "input.mp4"
    videos.ffmpeg(*videos.scene(), source)
    data = source.read_bytes()
    assert data[8:12] == b"isom"
    source.write_bytes(data[:8] + b"XAVC" + data[12:])
    path, _ = samples.run("strip_metadata", source, tmp_path / "out")
    assert path.read_bytes().startswith(movie_copy.BRANDS)
