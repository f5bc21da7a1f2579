"""Clean what an uploader says about a file; none of it is ever used as a path or trusted as a fact."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

from geniequeue.records.values import STRING_MAX_CHARS

FILENAME_MAX_BYTES = 200
FALLBACK_NAME = "file"
FALLBACK_TYPE = "application/octet-stream"

_RESERVED = frozenset('<>:"|?*;')
_BIDI_CONTROLS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean_filename(name: str) -> str:
    """Return a name that is safe to offer for a download: the last part, printable, up to 200 bytes of UTF-8."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(char for char in last if _harmless(char)).strip(" .-")
    return _shortened(shown) or FALLBACK_NAME


def clean_media_type(mime: str) -> str:
    """Return a media type that can stand in a header; the general one where it cannot."""
    fits = "/" in mime and len(mime) <= STRING_MAX_CHARS and mime.isascii() and mime.isprintable()
    return mime if fits else FALLBACK_TYPE


def _harmless(char: str) -> bool:
    hidden = unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
    return not (hidden or char in _RESERVED or char in _BIDI_CONTROLS)


def _shortened(name: str) -> str:
    """Cut the stem, so that the suffix survives."""
    suffix = PurePosixPath(name).suffix if name else ""
    if len(suffix) > 16:
        suffix = ""
    room = FILENAME_MAX_BYTES - len(suffix.encode())
    return name.removesuffix(suffix).encode()[:room].decode(errors="ignore") + suffix
