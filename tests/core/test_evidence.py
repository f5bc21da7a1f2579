"""Evidence: what was signed is told, what was changed is not believed."""

from __future__ import annotations

import base64
import json

import pytest

from geniequeue.marks.evidence import NotGenuine, public_key_of, signed_bundle, verify

SEED, OTHER = bytes(range(32)), bytes(range(1, 33))
CLAIMS = {"answer": {"verdict": "match", "candidates": [{"fan_id": "Zoë ✿"}]}, "leak": {"sha256": "ab"}}


def changed(**members: object) -> bytes:
    return json.dumps({**json.loads(signed_bundle(CLAIMS, SEED)), **members}).encode()


def test_a_bundle_says_what_was_signed_and_who_can_vouch_for_it() -> None:
    bundle = signed_bundle(CLAIMS, SEED)
    by_itself, by_key = verify(bundle), verify(bundle, public_key_of(SEED))
    assert by_itself.claims == by_key.claims == CLAIMS
    assert (by_itself.trusted, by_key.trusted) == (False, True)
    assert SEED not in bundle
    assert base64.b64encode(SEED) not in bundle


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xd8\xff",
        b"[" * 100_000,
        changed(signed=json.dumps({**CLAIMS, "answer": {}})),
        changed(signature="AAAA"),
        changed(signature=7),
        changed(public_key=public_key_of(OTHER)),
        changed(public_key="AAAA"),
        changed(format="geniequeue evidence 2"),
        signed_bundle(CLAIMS, SEED).replace("Zoë".encode(), b"Eve"),
    ],
    ids=lambda content: content[:30],
)
def test_what_was_changed_or_is_no_bundle_is_refused(content: bytes) -> None:
    with pytest.raises(NotGenuine):
        verify(content)


def test_a_bundle_of_another_service_is_refused_where_the_key_is_known() -> None:
    with pytest.raises(NotGenuine, match="another key"):
        verify(signed_bundle(CLAIMS, OTHER), public_key_of(SEED))
