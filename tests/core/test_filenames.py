"""Whatever an uploader calls a file, the name offered for downloads is harmless."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from geniequeue.records.filenames import FILENAME_MAX_BYTES, clean_filename, clean_media_type


@given(st.text(st.characters()))
def test_a_cleaned_name_is_short_printable_and_no_path(name: str) -> None:
    cleaned = clean_filename(name)
    assert 0 < len(cleaned.encode()) <= FILENAME_MAX_BYTES
    assert not set(cleaned) & set('/\\<>:"|?*;')
    assert not cleaned.startswith((".", "-"))
    assert all(unicodedata.category(char) not in ("Cc", "Cs") for char in cleaned)


@given(st.text(st.characters()))
def test_cleaning_twice_changes_nothing(name: str) -> None:
    assert clean_filename(clean_filename(name)) == clean_filename(name)


@given(st.text(st.characters()))
def test_a_media_type_always_fits_a_header(mime: str) -> None:
    cleaned = clean_media_type(mime)
    assert cleaned.isascii()
    assert cleaned.isprintable()
    assert "/" in cleaned
