"""The operation `strip_metadata` on videos and sound recordings: packets are copied, everything around them is new.

Kept is what a player needs: pictures, sound, their times, colour tags and the turn of a phone's picture. Tags,
chapters, covers, subtitles (drones write their position there) and timed data are gone.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from geniequeue.errors import InputError, ToolError, VerifyError
from geniequeue.media import clip as clips
from geniequeue.media import encoding, ffmpeg, footage, footage_whole, movie_boxes, movie_copy, packets
from geniequeue.media.clip import Look
from geniequeue.media.ffmpeg import FfmpegFailed, Source
from geniequeue.media.movie_copy import Movie
from geniequeue.media.pieces import Broken
from geniequeue.media.progress import Progress
from geniequeue.sandbox.inside import Limits, Output, Work

_HEAD_BYTES = 64
_MAPS = ("0:V?", "0:a?")
# Not a packet: what is said about them is enough.
_TAGS = ("-map", "0", "-c", "copy", "-t", "0", "-fflags", "+bitexact", "-f", "ffmetadata", "pipe:1")
_COPIED, _MOVED = 0.6, 0.95
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
_M4A = Target("mp4", "m4a", "audio/mp4")
_WEBM, _MKV = Target("webm", "webm", "video/webm"), Target("matroska", "mkv", "video/x-matroska")
_TARGETS = {
    "avi": Target("avi", "avi", "video/x-msvideo"),
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


@dataclass(frozen=True)
class _Plan:
    """Container of the output, bytes to keep free for its index, and whether the H.264 itself is cleaned."""

    target: Target
    index_bytes: int = 0
    cleaned: bool = False


def strip_footage(work: Work) -> list[Output]:
    """Remove all metadata from a video or sound recording without encoding it again.

    Raises:
        InputError: damaged, or neither pictures nor sound are in it.
        PolicyError: too large or too long.
        VerifyError: something is left, or pictures or sound are not the same.
    """
    path, progress = work.inputs["input"], Progress(work)
    container = footage.video_container(path)
    source = Source(path, container.demuxer, work.limits.max_video_pixels)
    if footage_whole.is_cut_off(source):
        raise clips.corrupt()
    movie = _movie(path) if container is footage.MP4 else None
    if movie is not None:
        return [_moved(source, movie, work, progress)]
    plan = _plan(source, container, work)
    made = work.out_dir / f"output.{plan.target.extension}"
    before = _copied(source, made, plan, work, progress)
    on_bytes = progress.part(_COPIED, 1.0, made.stat().st_size, in_time=False)
    output = _proved(Source(made, container.demuxer, source.max_pixels), before, plan, work, on_bytes)
    progress.tell(1.0)
    return [output]


def _movie(path: Path) -> Movie | None:
    """Read the index of a plain MP4, which most are; None for any other.

    Raises:
        InputError: it is damaged.
    """
    try:
        return movie_copy.movie_of(path)
    except (Broken, struct.error, IndexError):
        raise clips.corrupt() from None


def _moved(source: Source, movie: Movie, work: Work, progress: Progress) -> Output:
    """Move pictures and sound of a plain MP4 under a new index, at the speed of `cp`, and prove it."""
    for track in movie.tracks:
        packets.check_duration(track.duration_s, work.limits)
        packets.check_frames(track.samples if track.pictures else 0, work.limits)
    made = work.out_dir / f"output.{_MP4.extension}"
    # ffmpeg takes longer to start than to look: it does so while the file is copied
    with ThreadPoolExecutor(1) as pool:
        before = pool.submit(clips.look_at, source, work.limits)
        movie_copy.copied(source.path, movie, made, progress.part(0.0, _MOVED, movie.size_bytes, in_time=False))
        look, copy = before.result(), Source(made, source.demuxer, source.max_pixels)
        with _read_back():
            after, tags = _looked(copy, work.limits)
            _check_nothing_left(copy, _MP4, len(movie.tracks), tags)
            if after != look:
                raise _changed()
    progress.tell(1.0)
    video = next(track for track in movie.tracks if track.pictures)
    return Output(
        name=made.name,
        mime=_MP4.mime,
        width_px=look.shown[0],
        height_px=look.shown[1],
        duration_s=round(_shown_s(made, movie), 3),
        facts={
            "format": _MP4.extension,
            "codec": video.codec,
            "tracks": len(movie.tracks),
            "frames": video.samples,
            "lossless": True,
        },
    )


def _shown_s(made: Path, movie: Movie) -> float:
    """Return how long the longest track is; for pictures their edits count, as frames lie in another order."""
    pictures_s = movie_boxes.shown_s(made)
    return max(pictures_s if track.pictures and pictures_s else track.duration_s for track in movie.tracks)


def _check_nothing_left(copy: Source, target: Target, tracks: int, tags: list[str]) -> None:
    left = list(tags)
    if target.muxer in ("mp4", "mov"):
        left += movie_boxes.left_over(copy.path, tracks)
    if left:
        raise VerifyError(f"metadata is left in what was made: {', '.join(left)[:200]}", reason="metadata_left")


def _changed() -> VerifyError:
    return VerifyError("pictures or sound of what was made are not those of the input; try again", reason="changed")


def _plan(source: Source, container: footage.Container, work: Work) -> _Plan:
    """Choose the container of the output, which is the input's own, and how much room its index needs."""
    if container is footage.MP4:
        told = movie_boxes.survey(source.path)
        if told is None:
            tracks = clips.listed(source, work.limits, maps=_MAPS)
            told = movie_boxes.Survey(
                sum(len(track.pts) for track in tracks), any(track.kind == "video" for track in tracks)
            )
        return _Plan(_movie_target(source.path, told.pictures), encoding.index_room(told.packets))
    if container is footage.MATROSKA:
        return _Plan(_WEBM if b"webm" in _head(source.path) else _MKV)
    if container is footage.MPEGTS:
        tracks = clips.listed(source, work.limits, maps=_MAPS)
        return _Plan(_TARGETS["mpegts"], cleaned=any(track.codec == "h264" for track in tracks))
    return _Plan(_TARGETS[container.name])


def _movie_target(path: Path, pictures: bool) -> Target:
    head = _head(path)
    if head[8:12] == b"qt  " or head[4:8] != b"ftyp":
        return _MOV
    return _MP4 if pictures else _M4A


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _copied(source: Source, made: Path, plan: _Plan, work: Work, progress: Progress) -> list[packets.Track]:
    """Copy the packets, and list them as they go by."""
    mapped = [part for name in _MAPS for part in ("-map", name)]
    arguments = [
        "-xerror",
        *source.arguments(),
        *(*mapped, "-c", "copy"),
        # No tag of the file, of a track, of a chapter; no name of the program that writes it now.
        *("-map_metadata", "-1"),
        *("-map_chapters", "-1"),
        *("-fflags", "+bitexact"),
        # Camcorders write place, time and serial number into the H.264 itself (SEI), where exiftool finds it.
        *(("-bsf:v", "filter_units=remove_types=6") if plan.cleaned else ()),
        # Room for the index at the start, so that it plays while it loads and is not written twice.
        *(("-moov_size", str(plan.index_bytes)) if plan.index_bytes else ()),
        *plan.target.options,
        *("-f", plan.target.muxer, f"file:{made}"),
        *(*mapped, "-c", "copy", "-f", "framecrc", "pipe:1"),
    ]
    running = ffmpeg.lines(arguments, cwd=made.parent)
    try:
        on_bytes = progress.part(0.0, _COPIED, source.path.stat().st_size, in_time=False)
        tracks = packets.read(packets.watched(running, on_bytes), work.limits)
    except (FfmpegFailed, packets.Unreadable) as error:
        clips.listed(source, work.limits, maps=_MAPS)  # says what is wrong with the input, if that is it
        raise ToolError("this file cannot be copied into its own kind of container; send another") from error
    finally:
        running.close()
    if not any(track.pts for track in tracks) or not footage_whole.settle(source, tracks):
        raise clips.corrupt()
    if plan.target.muxer in ("mp4", "mov"):
        movie_boxes.blank_user_data(made)
    return tracks


def _proved(
    copy: Source, before: Sequence[packets.Track], plan: _Plan, work: Work, on_bytes: Callable[[float], None]
) -> Output:
    """List what was made and compare: the same packets, and no tag beside them."""
    video = next((track for track in before if track.kind == "video"), None)
    with _read_back():
        after = clips.listed(copy, work.limits, maps=_MAPS, on_bytes=on_bytes)
        pairs = zip(before, after, strict=True)
        if len(after) != len(before) or not all(packets.same(a, b, exact=not _is_cleaned(a, plan)) for a, b in pairs):
            raise _changed()
        look, tags = _looked(copy, work.limits) if video else (None, _tags(copy))
        _check_nothing_left(copy, plan.target, len(before), tags)
    return Output(
        name=copy.path.name,
        mime=plan.target.mime,
        width_px=look.shown[0] if look else None,
        height_px=look.shown[1] if look else None,
        duration_s=round(max(track.end_s - track.start_s for track in after), 3),
        facts={
            "format": plan.target.extension,
            "codec": video.codec if video else before[0].codec,
            "tracks": len(after),
            "frames": len(video.pts) if video else None,
            "lossless": True,
        },
    )


@contextmanager
def _read_back() -> Iterator[None]:
    """Say of what cannot be read in here that it is our own.

    Raises:
        VerifyError: it cannot be read.
    """
    try:
        yield
    except (InputError, FfmpegFailed, Broken) as error:
        raise VerifyError("what was made cannot be read back; try again") from error


def _is_cleaned(track: packets.Track, plan: _Plan) -> bool:
    return plan.cleaned and track.codec == "h264"


def _looked(source: Source, limits: Limits) -> tuple[Look, list[str]]:
    """Return what its first frame looks like and its tags, in one run."""
    lines: list[str] = []
    look = clips.look_at(source, limits, further=_TAGS, on_line=lines.append)
    return look, _strange(lines)


def _tags(source: Source) -> list[str]:
    """Return the tags of a file without pictures."""
    return _strange(ffmpeg.lines([*source.arguments(), *_TAGS], cwd=source.path.parent))


def _strange(lines: Iterable[str]) -> list[str]:
    """Leave out of the tags that ffmpeg finds those that every file of a kind has."""
    told = (line for line in lines if line and line[0] not in ";#" and line != "[STREAM]")
    return [line for line in told if not _OF_THE_CONTAINER.fullmatch(line)]
