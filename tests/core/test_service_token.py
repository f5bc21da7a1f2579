"""The service account's token in a file: a new one is used without a restart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from geniequeue.config import load_settings
from geniequeue.errors import SettingsError
from geniequeue.records.service_token import FixedToken, TokenFile
from tests.accounts import SECRET


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first\n")
    return path


def test_a_token_is_read_again_when_its_file_has_changed(path: Path) -> None:
    token = TokenFile(path)
    assert token.current() == "first"
    path.write_text("the second\n")
    os.utime(path, (1, 1))
    assert token.current() == "the"


def test_a_refused_token_is_read_again_even_where_the_file_looks_the_same(path: Path) -> None:
    token = TokenFile(path)
    assert token.current() == "first"
    before = path.stat()
    assert not token.renewed("first")
    path.write_text("other\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert token.current() == "first"
    assert token.renewed("first")
    assert token.current() == "other"


def test_a_file_that_is_replaced_empty_or_gone_for_a_moment_leaves_the_last_token(path: Path, tmp_path: Path) -> None:
    token = TokenFile(path)
    token.current()
    path.write_text("")
    assert token.current() == "first"
    path.unlink()
    assert token.current() == "first"
    assert not token.renewed("first")
    (tmp_path / "new").write_text("new")
    (tmp_path / "new").rename(path)
    assert token.current() == "new"


def test_a_token_given_by_itself_is_never_another(path: Path) -> None:
    token = FixedToken("static")
    assert token.current() == "static"
    assert not token.renewed("static")


def test_one_of_token_and_file_is_needed_and_not_both(path: Path) -> None:
    values = {"DIRECTUS_URL": "http://d", "DIRECTUS_SECRET": SECRET, "REDIS_URL": "redis://localhost"}
    assert load_settings({**values, "DIRECTUS_TOKEN_FILE": str(path)}).directus_token_file == path
    for wrong in ({}, {"DIRECTUS_TOKEN": "t", "DIRECTUS_TOKEN_FILE": str(path)}, {"DIRECTUS_TOKEN_FILE": "/no/file"}):
        with pytest.raises(SettingsError, match="DIRECTUS_TOKEN"):
            load_settings({**values, **wrong})
