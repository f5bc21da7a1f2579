"""The operation `strip_metadata` on videos and sound recordings: packets are copied, everything around them is new.

Kept is what a player needs: pictures, sound, their times, colour tags and the turn of a phone's picture. Tags,
chapters, covers, subtitles (drones write their position there) and timed data are gone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geniequeue.errors import VerifyError
from geniequeue.media import clip as clips
from geniequeue.media import ffmpeg, footage, movie_boxes, packets, remake
from geniequeue.media.ffmpeg import FfmpegFailed, Source
from geniequeue.media.progress import Progress
from geniequeue.sandbox.inside import Output, Work

_HEAD_BYTES = 64
_MAPS = ("0:V?", "0:a?")
_LISTED, _COPIED = 0.2, 0.7
_SAME_DURATION_S = 0.1
# A table of the index has at most this many bytes for each packet (ISO/IEC 14496-12: stsz, ctts, stts, co64, stss).
_INDEX_BYTES, _INDEX_BASE_BYTES = 40, 1 << 16
# What ffmpeg says of every file of a kind, whoever made it.
_OF_THE_CONTAINER = re.compile(
    r"major_brand=.{4}|minor_version=\d+|compatible_brands=.{0,64}|handler_name=(Video|Sound)Handler"
    r"|vendor_id=(FFMP|\[0\]\[0\]\[0\]\[0\])|encoder=(Lavf|ffmpeg)|language=(und|eng)|DURATION=[\d:.]+|creation_time=1601-01-01.*"
    r"|service_(name|provider)=(Service01|FFmpeg)|variant_bitrate=\d+|.*\\=1601-01-01.*"
)


@dataclass(frozen=True)
class Target:
    """A container as it is written: ffmpeg's muxer, extension and media type."""

    muxer: str
    extension: str
    mime: str
    options: tuple[str, ...] = ()


# Dolby Vision in MP4 is not in the official standard, and without its box the picture looks wrong.
_MOVIE_OPTIONS = ("-strict", "unofficial")
_MP4 = Target("mp4", "mp4", "video/mp4", _MOVIE_OPTIONS)
_MOV = Target("mov", "mov", "video/quicktime", _MOVIE_OPTIONS)
_M4A = Target("ipod", "m4a", "audio/mp4")
_WEBM, _MKV = Target("webm", "webm", "video/webm"), Target("matroska", "mkv", "video/x-matroska")
_TARGETS = {
    "avi": Target("avi", "avi", "video/x-msvideo"),
    # Camcorders write place, time and serial number into the H.264 itself (SEI), and exiftool reads it from there.
    "mpegts": Target("mpegts", "ts", "video/mp2t", ("-mpegts_flags", "+resend_headers")),
    "mpeg": Target("mpeg", "mpg", "video/mpeg"),
    "flv": Target("flv", "flv", "video/x-flv"),
    "asf": Target("asf", "wmv", "video/x-ms-wmv"),
    "ogg": Target("ogg", "ogg", "audio/ogg"),
    "flac": Target("flac", "flac", "audio/flac"),
    "mp3": Target("mp3", "mp3", "audio/mpeg", ("-id3v2_version", "0", "-write_id3v1", "0")),
    "wav": Target("wav", "wav", "audio/wav"),
    "aac": Target("adts", "aac", "audio/aac"),
}


def strip_footage(work: Work) -> list[Output]:
    """Remove all metadata from a video or sound recording without encoding it again.

    Raises:
        InputError: damaged, or neither pictures nor sound are in it.
        PolicyError: too large or too long.
        VerifyError: something is left, or pictures or sound are not the same.
    """
    path, progress = work.inputs["input"], Progress(work.report)
    container = footage.video_container(path)
    source = Source(path, container.demuxer, work.limits.max_video_pixels)
    before = clips.listed(source, work.limits, maps=_MAPS)
    progress.tell(_LISTED)
    target = _target(path, container, before)
    made = work.out_dir / f"output.{target.extension}"
    _copy(source, made, target, before, progress)
    output = _proved(made, Source(made, container.demuxer, source.max_pixels), before, target, work)
    progress.tell(1.0)
    return [output]


def _target(path: Path, container: footage.Container, tracks: Sequence[packets.Track]) -> Target:
    """Choose the container of the output: the input's own."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if container is footage.MP4:
        if all(track.kind != "video" for track in tracks):
            return _M4A if all(track.codec in ("aac", "alac", "ac3") for track in tracks) else _MOV
        return _MOV if head[8:12] == b"qt  " or head[4:8] != b"ftyp" else _MP4
    if container is footage.MATROSKA:
        return _WEBM if b"webm" in head else _MKV
    return _TARGETS[container.name]


def _copy(source: Source, made: Path, target: Target, before: Sequence[packets.Track], progress: Progress) -> None:
    arguments = [
        *source.arguments(),
        *(part for name in _MAPS for part in ("-map", name)),
        *("-c", "copy"),
        # No tag of the file, of a track, of a chapter; no name of the program that writes it now.
        *("-map_metadata", "-1"),
        *("-map_chapters", "-1"),
        *("-fflags", "+bitexact"),
        *_cleaned_bitstream(target, before),
        *_index_first(target, before),
        *target.options,
        *("-f", target.muxer, f"file:{made}"),
    ]
    duration_s = max(track.end_s - track.start_s for track in before)
    try:
        ffmpeg.run(arguments, cwd=made.parent, on_time=progress.part(_LISTED, _COPIED, duration_s))
    except FfmpegFailed as error:
        raise remake.blamed([source], made.parent) from error
    if target.muxer in ("mp4", "mov", "ipod"):
        movie_boxes.blank_user_data(made)


def _cleaned_bitstream(target: Target, before: Sequence[packets.Track]) -> list[str]:
    if target.muxer == "mpegts" and any(track.codec == "h264" for track in before):
        return ["-bsf:v", "filter_units=remove_types=6"]
    return []


def _index_first(target: Target, before: Sequence[packets.Track]) -> list[str]:
    """Reserve room for the index at the start, so that it plays while it loads and is not written twice."""
    if target.muxer not in ("mp4", "mov", "ipod"):
        return []
    size = _INDEX_BASE_BYTES + _INDEX_BYTES * sum(len(track.pts) for track in before)
    return ["-moov_size", str(size)]


def _proved(made: Path, copy: Source, before: Sequence[packets.Track], target: Target, work: Work) -> Output:
    """List what was made and compare: the same packets, and no tag beside them."""
    try:
        after = clips.listed(copy, work.limits, maps=_MAPS)
    except Exception as error:
        raise VerifyError("what was made cannot be read back; try again") from error
    exact = not _cleaned_bitstream(target, before)
    if len(after) != len(before) or not all(map(lambda a, b: _same(a, b, exact), before, after)):
        raise VerifyError("pictures or sound of what was made are not those of the input; try again", reason="changed")
    left = _tags(copy)
    if target.muxer in ("mp4", "mov", "ipod"):
        left += movie_boxes.left_over(made, len(before))
    if left:
        raise VerifyError(f"metadata is left in what was made: {', '.join(left)[:200]}", reason="metadata_left")
    video = next((track for track in before if track.kind == "video"), None)
    look = clips.look_at(copy, work.limits) if video else None
    return Output(
        name=made.name,
        mime=target.mime,
        width_px=look.shown[0] if look else None,
        height_px=look.shown[1] if look else None,
        duration_s=round(max(track.end_s - track.start_s for track in after), 3),
        facts={
            "format": target.extension,
            "codec": video.codec if video else before[0].codec,
            "tracks": len(after),
            "frames": len(video.pts) if video else None,
            "lossless": True,
        },
    )


def _same(before: packets.Track, after: packets.Track, exact: bool) -> bool:
    """Whether two tracks are the same packets at the same times."""
    lasting = abs((after.end_s - after.start_s) - (before.end_s - before.start_s)) <= _SAME_DURATION_S
    return (
        before.codec == after.codec
        and len(before.pts) == len(after.pts)
        and lasting
        and (not exact or (before.sums == after.sums and before.sizes == after.sizes))
    )


def _tags(source: Source) -> list[str]:
    """Return the tags that ffmpeg finds in a file, but those that every file of its kind has."""
    arguments = [
        *source.arguments(),
        *("-map", "0", "-c", "copy", "-fflags", "+bitexact"),
        *("-f", "ffmetadata", "pipe:1"),
    ]
    lines = [line for line in ffmpeg.lines(arguments, cwd=source.path.parent) if line and line[0] not in ";#"]
    return [line for line in lines if line != "[STREAM]" and not _OF_THE_CONTAINER.fullmatch(line)]
