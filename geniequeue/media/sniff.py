"""Tell what a file is by its first bytes, never by its name."""

from __future__ import annotations

import re
from pathlib import Path

from geniequeue.errors import InputError
from geniequeue.media import tiff

IMAGE_FORMATS = ("jpeg", "png", "webp", "avif", "gif", "tiff", "heic", "bmp", "psd")
PICTURES = "a picture (JPEG, PNG, WebP, AVIF, GIF, TIFF, HEIC, BMP or PSD)"
_HEAD_BYTES = 4096

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"8BPS", "psd"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "jxl"),
    (b"\xff\x0a", "jxl"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jpeg2000"),
    (b"IIU\0", "raw"),
    (b"IIRO", "raw"),
    (b"IIRS", "raw"),
    (b"FUJIFILMCCD-RAW", "raw"),
    (b"%!PS", "postscript"),
    (b"\xc5\xd0\xd3\xc6", "postscript"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "archive"),
    (b"Rar!", "archive"),
    (b"7z\xbc\xaf\x27\x1c", "archive"),
    (b"\x1aE\xdf\xa3", "video"),
    (b"FLV\x01", "video"),
    (b"\x00\x00\x01\xba", "video"),
    (b"\x00\x00\x01\xb3", "video"),
    (b"0&\xb2u\x8ef\xcf\x11", "video"),
    (b"OggS", "audio"),
    (b"fLaC", "audio"),
    (b"ID3", "audio"),
    (b"\xff\xfb", "audio"),
    (b"\xff\xf3", "audio"),
    (b"\xff\xf1", "audio"),
    (b"MZ", "program"),
    (b"\x7fELF", "program"),
)
_RIFF = {b"WEBP": "webp", b"AVI ": "video", b"WAVE": "audio"}
_BMP_HEADER_BYTES = (12, 16, 40, 52, 56, 64, 108, 124)
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_STILL_BRANDS = frozenset({b"mif1", b"msf1", b"miaf"})

# Text forms; matched on the start of the file after a byte order mark and blanks, in lower case.
_TEXTS: tuple[tuple[str, str], ...] = (
    (r"#extm3u|ffconcat|\[playlist\]|v=0\r?\no=", "playlist"),
    (r"(<\?xml.*?)?(<!--.*?-->\s*)*(<!doctype[^>]*>\s*)*<([a-z0-9]+:)?mpd\b", "playlist"),
    (r"<.*?<?([a-z0-9]+:)?svg\b", "svg"),
    (r"<\?xml.*?<(image|msl|group)\b|<(image|msl)\b", "msl"),
    (r"<!doctype html|<html|<head|<body|<script", "html"),
    (r"push graphic-context|push\s|viewbox\s", "mvg"),
    (r"%pdf-", "pdf"),
)
_TEXT_PATTERNS = tuple((re.compile(pattern, re.DOTALL), kind) for pattern, kind in _TEXTS)

_NAMES = {
    "jxl": "a JPEG XL picture",
    "jpeg2000": "a JPEG 2000 picture",
    "raw": "a camera raw file",
    "postscript": "a PostScript document",
    "pdf": "a PDF document",
    "zip": "an archive or office document",
    "archive": "an archive",
    "video": "a video",
    "audio": "a sound recording",
    "program": "a program",
    "svg": "an SVG drawing",
    "msl": "an ImageMagick script",
    "mvg": "an ImageMagick drawing",
    "html": "a web page",
    "text": "text",
    "unknown": "something that is not recognised",
}


def image_format(path: Path) -> str:
    """Name the picture format of a file.

    Returns:
        One of IMAGE_FORMATS.

    Raises:
        InputError: reason `empty_file`, `playlist_not_allowed` or `type_not_allowed`.
    """
    with path.open("rb") as file:
        kind = content_kind(file.read(_HEAD_BYTES))
    if kind == "tiff" and tiff.is_camera_raw(path):
        kind = "raw"
    if kind in IMAGE_FORMATS:
        return kind
    if kind == "empty":
        raise InputError("expected a picture, got an empty file; upload it again", reason="empty_file")
    if kind == "playlist":
        raise InputError(
            "expected a picture, got a playlist that points to other files; send the file itself",
            reason="playlist_not_allowed",
        )
    raise InputError(
        f"expected {PICTURES}, got {_NAMES[kind]}; export it as one of these first",
        reason="type_not_allowed",
    )


def name_of(kind: str) -> str:
    """Return what to call a kind of content in a sentence."""
    return _NAMES.get(kind) or f"a {kind.upper()} picture"


def content_kind(head: bytes) -> str:
    """Name what starts with `head`: one of IMAGE_FORMATS, `video`, `audio`, `playlist`, `empty` or a refused kind."""
    if not head:
        return "empty"
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], "unknown")
    if head[4:8] == b"ftyp":
        return _isobmff_kind(head)
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_BYTES:
        return "bmp"
    if head[:1] == b"G" and head[188:189] == b"G" and head[376:377] == b"G":
        return "video"
    return _text_kind(head)


def _isobmff_kind(head: bytes) -> str:
    """Tell AVIF and HEIC from the videos that share their container, by brand (ISO/IEC 23008-12, 10.2)."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    if brands[0] in _AVIF_BRANDS or (brands[0] in _STILL_BRANDS and _AVIF_BRANDS.intersection(brands)):
        return "avif"
    if brands[0] in _HEIC_BRANDS or brands[0] in _STILL_BRANDS:
        return "heic"
    return "raw" if brands[0] == b"crx " else "video"


def _text_kind(head: bytes) -> str:
    if b"%PDF-" in head[:1024]:
        return "pdf"
    text = _as_text(head)
    if text is None:
        return "unknown"
    start = text.lstrip("\ufeff \t\r\n\0").lower()
    for pattern, kind in _TEXT_PATTERNS:
        if pattern.match(start):
            return kind
    return "text"


def _as_text(head: bytes) -> str | None:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return head.decode("utf-16", errors="replace")
    if any(byte < 9 or 13 < byte < 32 for byte in head):
        return None
    return head.decode("utf-8", errors="replace")
