"""Evidence of a trace: a bundle of hashes and the answer, signed with Ed25519 (RFC 8032).

The bundle proves that this service gave this answer about these bytes; the files themselves are not in it. What is
signed are the bytes of `signed`, a JSON text inside the JSON, so nobody has to agree on how JSON is written.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from geniequeue.errors import GenieQueueError
from geniequeue.marks.issues import Issue

FORMAT = "geniequeue evidence 1"
ALGORITHM = "Ed25519"
_CONTEXT = b"geniequeue evidence 1\n"
MAX_BYTES = 4_000_000


class NotGenuine(GenieQueueError):
    """The bundle is not what this service signed; the message says why."""


@dataclass(frozen=True)
class Verified:
    """A bundle whose signature holds.

    Attributes:
        claims: what was signed.
        public_key: that it was checked with, in Base64.
        trusted: whether that key came from elsewhere than from the bundle itself.
    """

    claims: Mapping[str, Any]
    public_key: str
    trusted: bool


def public_key_of(seed: bytes) -> str:
    """Return the public key, 32 bytes in Base64, of a secret seed."""
    return base64.b64encode(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()).decode()


def signed_bundle(claims: Mapping[str, Any], seed: bytes) -> bytes:
    """Return claims as a signed bundle, in JSON."""
    text = json.dumps(claims, ensure_ascii=False, sort_keys=True)
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(_CONTEXT + text.encode())
    bundle = {
        "format": FORMAT,
        "algorithm": ALGORITHM,
        "public_key": public_key_of(seed),
        "signature": base64.b64encode(signature).decode(),
        "signed": text,
    }
    return json.dumps(bundle, ensure_ascii=False, indent=2).encode() + b"\n"


def verify(content: bytes, public_key: str | None = None) -> Verified:
    """Check a bundle.

    Args:
        public_key: of the service, in Base64; without it the bundle is checked with the key that it brings, which
            proves that nobody changed it since, but not who made it.

    Raises:
        NotGenuine: no bundle, signed by somebody else, or changed since.
    """
    try:
        bundle = json.loads(content)
        text, brought = str(bundle["signed"]), str(bundle["public_key"])
        signature = base64.b64decode(bundle["signature"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError):
        raise NotGenuine("expected a bundle of evidence as a trace makes it, got something else") from None
    if bundle.get("format") != FORMAT:
        raise NotGenuine(f"expected a bundle in the format {FORMAT!r}, got {str(bundle.get('format'))[:60]!r}")
    if public_key is not None and public_key.strip() != brought:
        raise NotGenuine("expected a bundle signed with the key given, got one of another key")
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key or brought, validate=True))
        key.verify(signature, _CONTEXT + text.encode())
        claims = json.loads(text)
    except (InvalidSignature, ValueError, binascii.Error):
        raise NotGenuine("the signature does not fit: the bundle was changed, or signed by somebody else") from None
    return Verified(claims, brought, trusted=public_key is not None)


def sha256_of_issue(issue: Issue) -> str:
    """Return the hash of an issue's row, as JSON with sorted members."""
    row = {**issue.as_row(), "issued_at": issue.issued_at}
    return hashlib.sha256(json.dumps(row, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def original_with(claims: Mapping[str, Any], sha256: str) -> str | None:
    """Return the file id of the original that has this hash; None where the leak was laid over no such file.

    Of pictures the bundle has no hash of the file, only of the plane that is kept.
    """
    found = (each for each in claims.get("originals", ()) if each.get("sha256") == sha256)
    return next((str(each["file_id"]) for each in found), None)
