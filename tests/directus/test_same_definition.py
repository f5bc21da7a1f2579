"""The embedded store and a real Directus, both made from one definition, offer the same."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import pytest

from geniequeue.config import Settings
from geniequeue.records.definition import Field
from geniequeue.records.directus_shapes import USERS
from geniequeue.records.embedded import DATABASE_NAME, EmbeddedStore
from geniequeue.records.schema import COLLECTIONS, USER_FIELDS
from tests.directus_fixture import DirectusPlace

EMBEDDED_TYPES = {"integer": "INTEGER", "bigInteger": "INTEGER", "boolean": "INTEGER", "float": "REAL"}


def test_both_stores_have_the_same_collections_fields_and_types(
    store: EmbeddedStore, settings: Settings, directus_place: DirectusPlace
) -> None:
    with closing(sqlite3.connect(settings.var_dir / "records" / DATABASE_NAME)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        embedded = {
            table: {row[1]: row[2] for row in connection.execute(f"PRAGMA table_info({table})")} for table in tables
        }
    in_directus: dict[str, dict[str, str]] = {}
    for row in directus_place.request("GET", "/fields"):
        in_directus.setdefault(row["collection"], {})[row["field"]] = EMBEDDED_TYPES.get(row["type"], "TEXT")
    own = {name for name in in_directus if not name.startswith("directus_")}
    assert {name for name in embedded if name in own} == own == set(COLLECTIONS)
    for name in own:
        assert embedded[name] == in_directus[name], name
    for field in USER_FIELDS:
        assert embedded[USERS][field.name] == in_directus[USERS][field.name]


def test_an_item_with_every_field_filled_is_the_same_in_both_stores(
    store: EmbeddedStore, directus_place: DirectusPlace
) -> None:
    ids = {name: str(uuid.uuid4()) for name in COLLECTIONS} | {USERS: directus_place.account("alice").id}
    # what others point to comes first
    for name in sorted(COLLECTIONS, key=lambda name: (name != "creator_profiles", list(COLLECTIONS).index(name))):
        item = {field.name: _sample(field, ids) for field in COLLECTIONS[name].fields} | {"id": ids[name]}
        for records in (store.as_service(), directus_place.store.as_service()):
            assert records.create_item(name, item) == item
            assert records.get_item(name, ids[name]) == item


@pytest.mark.parametrize("name", COLLECTIONS)
def test_an_item_with_nothing_but_what_it_must_have_is_the_same_in_both_stores(
    store: EmbeddedStore, directus_place: DirectusPlace, name: str
) -> None:
    service = directus_place.store.as_service()
    ids = {USERS: directus_place.account("alice").id, "media_jobs": service.create_item("media_jobs", {})["id"]}
    required = {field.name: _sample(field, ids) for field in COLLECTIONS[name].fields if field.required}
    chosen = [field.name for field in COLLECTIONS[name].fields if field.fill in ("uuid", "now")]
    made = [records.create_item(name, required) for records in (store.as_service(), service)]
    first, second = ({**item, **dict.fromkeys(chosen)} for item in made)
    assert first == second


def _sample(field: Field, ids: Mapping[str, str]) -> Any:
    """Return a value of a field's type that no default gives; one that points somewhere points to what is there."""
    if field.type == "uuid":
        return ids.get(field.references or "") or str(uuid.uuid4())
    samples = {
        "text": "many words " * 100, "string": "word", "integer": -(2**31), "bigint": 2**40, "float": 0.5,
        "boolean": False, "json": {"a": [1, None, "b"]}, "timestamp": "2026-02-03T04:05:06.789Z",
    }  # fmt: skip
    return samples[field.type]
