"""Tell the container of a video or a sound recording by its first bytes, and so the one demuxer that may read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geniequeue.errors import InputError
from geniequeue.media import sniff

_HEAD_BYTES = 4096
_TS_PACKET, _M2TS_PACKET = 188, 192
_VIDEOS = "a video (MP4, MOV, WebM, MKV, AVI, MPEG, FLV, WMV or GIF)"


@dataclass(frozen=True)
class Container:
    """A form of file that is read.

    Attributes:
        name: for people and records.
        demuxer: ffmpeg's.
        sound_only: it never holds a video.
    """

    name: str
    demuxer: str
    sound_only: bool = False


MP4, MATROSKA = Container("mp4", "mov"), Container("matroska", "matroska")
AVI, MPEGTS, MPEG = Container("avi", "avi"), Container("mpegts", "mpegts"), Container("mpeg", "mpeg")
FLV, ASF, GIF = Container("flv", "flv"), Container("asf", "asf"), Container("gif", "gif")
OGG, FLAC, MP3 = Container("ogg", "ogg"), Container("flac", "flac", True), Container("mp3", "mp3", True)
WAV, AAC = Container("wav", "wav", True), Container("aac", "aac", True)

_SIGNATURES: tuple[tuple[bytes, Container], ...] = (
    (b"\x1aE\xdf\xa3", MATROSKA),
    (b"FLV\x01", FLV),
    (b"\x00\x00\x01\xba", MPEG),
    (b"0&\xb2u\x8ef\xcf\x11", ASF),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"OggS", OGG),
    (b"fLaC", FLAC),
    (b"ID3", MP3),
    (b"\xff\xf1", AAC),
    (b"\xff\xf9", AAC),
    *((bytes((0xFF, second)), MP3) for second in (0xFB, 0xFA, 0xF3, 0xF2)),
)
_RIFF = {b"AVI ": AVI, b"WAVE": WAV}
# First boxes of a QuickTime file that has no `ftyp`, as old cameras write it.
_FIRST_BOXES = frozenset({b"moov", b"mdat", b"wide", b"skip", b"free", b"pnot"})


def container_of(path: Path) -> Container | None:
    """Return the container of a video or sound recording (an animated GIF is one), None for anything else."""
    with path.open("rb") as file:
        return _container(file.read(_HEAD_BYTES))


def is_footage(path: Path) -> bool:
    """Tell whether an operation on pictures and videos should take the file for a video or sound recording.

    Raises:
        InputError: reason `type_not_allowed`; it is nothing of that kind, and no picture either.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    container = _container(head)
    if container is not None:
        return container is not GIF
    kind = sniff.content_kind(head)
    # An empty file and a playlist are refused as such by whoever opens it as a picture.
    if kind not in (*sniff.IMAGE_FORMATS, "empty", "playlist"):
        raise InputError(
            f"expected {sniff.PICTURES} or {_VIDEOS}, got {sniff.name_of(kind)}; send one of these",
            reason="type_not_allowed",
        )
    return False


def video_container(path: Path) -> Container:
    """Return the container of a video.

    Raises:
        InputError: reason `empty_file`, `playlist_not_allowed` or `type_not_allowed`.
    """
    container = container_of(path)
    if container is not None:
        return container
    with path.open("rb") as file:
        kind = sniff.content_kind(file.read(_HEAD_BYTES))
    if kind == "empty":
        raise InputError("expected a video, got an empty file; upload it again", reason="empty_file")
    if kind == "playlist":
        raise InputError(
            "expected a video, got a playlist that points to other files; send the video itself",
            reason="playlist_not_allowed",
        )
    raise InputError(
        f"expected {_VIDEOS}, got {sniff.name_of(kind)}; send the video itself",
        reason="type_not_allowed",
    )


def _container(head: bytes) -> Container | None:
    for signature, container in _SIGNATURES:
        if head.startswith(signature):
            return container
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return MP4 if sniff.content_kind(head) == "video" else None
    if head[4:8] in _FIRST_BOXES:
        return MP4
    return MPEGTS if _is_transport_stream(head) else None


def _is_transport_stream(head: bytes) -> bool:
    starts = ((0, _TS_PACKET), (4, _M2TS_PACKET))
    return any(head[at : at + 2 * step + 1 : step] == b"GGG" for at, step in starts)
