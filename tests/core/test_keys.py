"""Keys of the marks: read with care, named without telling anything, generated once, never shown."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from geniequeue.cli.embedded import prepare_values
from geniequeue.config import load_settings
from geniequeue.errors import SettingsError
from geniequeue.keys import MarkKey, MarkKeys, read_key
from tests.accounts import SECRET

KEYS = [bytes([number]) * 32 for number in range(1, 4)]
WRITTEN = [base64.b64encode(key).decode() for key in KEYS]


def values(tmp_path: Path, **given: str) -> dict[str, str]:
    return {"VAR_DIR": str(tmp_path), "REDIS_URL": "redis://127.0.0.1/0", "DIRECTUS_SECRET": SECRET, **given}


def test_a_key_is_read_from_both_alphabets_with_and_without_padding() -> None:
    key = bytes(range(220, 252))
    for text in (base64.b64encode(key), base64.urlsafe_b64encode(key), base64.urlsafe_b64encode(key).rstrip(b"=")):
        assert read_key(f" {text.decode()}\n") == key


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (base64.b64encode(b"x" * 31).decode(), "got 31 bytes"),
        (base64.b64encode(b"x" * 33).decode(), "got 33 bytes"),
        ("not base64 at all!", "no Base64"),
        ("schlüssel", "no Base64"),
    ],
)
def test_a_wrong_key_is_refused_by_every_process_and_not_shown(tmp_path: Path, raw: str, said: str) -> None:
    for name in ("WATERMARK_KEY_B64", "EVIDENCE_KEY_B64"):
        with pytest.raises(SettingsError) as caught:
            load_settings(values(tmp_path, **{name: raw}))
        assert [fault.split(":")[0] for fault in caught.value.faults] == [name]
        assert said in str(caught.value)
        assert raw not in str(caught.value)


def test_a_wrong_old_key_is_named_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"WATERMARK_KEYS_OLD_B64: key 2 of 3: .* got 3 bytes"):
        load_settings(values(tmp_path, WATERMARK_KEYS_OLD_B64=f"{WRITTEN[0]},YWJj,{WRITTEN[1]}"))


def test_all_keys_read_the_current_one_first_and_each_once(tmp_path: Path) -> None:
    old = f"{WRITTEN[1]}, {WRITTEN[0]},{WRITTEN[2]}"
    keys = load_settings(values(tmp_path, WATERMARK_KEY_B64=WRITTEN[0], WATERMARK_KEYS_OLD_B64=old)).mark_keys
    assert [key.secret for key in keys.all] == [KEYS[0], KEYS[1], KEYS[2]]
    assert MarkKeys().all == ()


def test_an_id_names_a_key_and_no_representation_shows_it(tmp_path: Path) -> None:
    assert MarkKey(KEYS[0]).id == MarkKey(bytes([1]) * 32).id == "acfdf5c3"
    assert len({MarkKey(key).id for key in KEYS}) == 3
    settings = load_settings(values(tmp_path, WATERMARK_KEY_B64=WRITTEN[0], EVIDENCE_KEY_B64=WRITTEN[1]))
    for shown in (repr(settings), str(settings.mark_keys)):
        assert repr(KEYS[0]) not in shown
        assert WRITTEN[0] not in shown
    assert MarkKey(KEYS[0]).marking not in (KEYS[0], MarkKey(KEYS[1]).marking)


def test_missing_keys_are_generated_once_and_stay(tmp_path: Path) -> None:
    environ = {"VAR_DIR": str(tmp_path)}
    first = prepare_values(tmp_path, environ)
    again = prepare_values(tmp_path, environ)
    names = ("WATERMARK_KEY_B64", "EVIDENCE_KEY_B64")
    assert [first[name] for name in names] == [again[name] for name in names]
    settings = load_settings(environ)
    assert settings.mark_keys.current == MarkKey(read_key(first["WATERMARK_KEY_B64"]))
    assert settings.evidence_key == read_key(first["EVIDENCE_KEY_B64"])


def test_a_key_of_the_environment_wins_and_none_is_generated_beside_it(tmp_path: Path) -> None:
    environ = {"VAR_DIR": str(tmp_path), "WATERMARK_KEY_B64": WRITTEN[0]}
    assert "WATERMARK_KEY_B64" not in prepare_values(tmp_path, environ)
    assert load_settings(environ).mark_keys.current == MarkKey(KEYS[0])
