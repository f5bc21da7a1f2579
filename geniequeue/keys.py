"""The service's own keys: of the marks in delivered copies, and of the evidence that a trace leaves.

A key is 32 random bytes, written in Base64. The marks of a copy can be read only with the key that made them, so a key
that is replaced is kept as an old one; each issue names its key by an id that tells nothing else about it. What works
inside the sandbox never sees a key itself, only what is derived from it here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field

KEY_BYTES = 32
KEY_ID_CHARS = 8

_ID_LABEL = b"geniequeue watermark key id v1\0"
_MARKING_LABEL = b"geniequeue watermark marking v1\0"


@dataclass(frozen=True)
class MarkKey:
    """One key of the marks.

    Attributes:
        secret: 32 bytes.
    """

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """First 8 hex digits of the SHA-256 of a label and the key: names it, and cannot be turned back."""
        return hashlib.sha256(_ID_LABEL + self.secret).hexdigest()[:KEY_ID_CHARS]

    @property
    def marking(self) -> bytes:
        """32 bytes that embed and read marks, for the sandbox: whoever has them knows nothing of `secret`."""
        return hmac.digest(self.secret, _MARKING_LABEL, "sha256")


@dataclass(frozen=True)
class MarkKeys:
    """The keys of the marks.

    Attributes:
        current: embeds and reads; None where none was set.
        old: read only, newest first.
    """

    current: MarkKey | None = None
    old: tuple[MarkKey, ...] = ()

    @property
    def all(self) -> tuple[MarkKey, ...]:
        """Every key that reads, the current one first, each once."""
        given = ((self.current,) if self.current else ()) + self.old
        return tuple({key.id: key for key in given}.values())


def missing_keys(mark_keys: MarkKeys, evidence_key: bytes | None) -> list[str]:
    """Return a sentence for each key that was not set, with what will not work."""
    told = []
    if mark_keys.current is None:
        told.append("WATERMARK_KEY_B64 is not set: apply_steganographic_watermark fails until it is")
    if evidence_key is None:
        told.append("EVIDENCE_KEY_B64 is not set: trace_leak fails until it is")
    return told


def read_key(raw: str) -> bytes:
    """Read a key from Base64, in the plain or the URL alphabet.

    Raises:
        ValueError: not Base64, or of another length; the message never shows the value.
    """
    told = f"expected {KEY_BYTES} bytes in Base64 (make them with: openssl rand -base64 {KEY_BYTES})"
    text = raw.strip().replace("-", "+").replace("_", "/")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{told}, got something that is no Base64") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"{told}, got {len(key)} bytes")
    return key


def read_mark_key(raw: str) -> MarkKey:
    """Read one key of the marks from Base64; raises ValueError."""
    return MarkKey(read_key(raw))


def read_mark_keys(raw: str) -> tuple[MarkKey, ...]:
    """Read keys of the marks, in Base64 with commas between them; raises ValueError that says which one is wrong."""
    keys = []
    for number, part in enumerate(raw.split(","), 1):
        try:
            keys.append(read_mark_key(part))
        except ValueError as error:
            raise ValueError(f"key {number} of {raw.count(',') + 1}: {error}") from None
    return tuple(keys)


def written_key(key: bytes) -> str:
    """Return a key in Base64."""
    return base64.b64encode(key).decode()
