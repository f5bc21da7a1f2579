"""The schema definition agrees with itself, for installers and stores believe it blindly."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from geniequeue.records.definition import AllOf, AnyOf, Condition, Equals, Own, Rule, Through
from geniequeue.records.protocol import FileInfo, User
from geniequeue.records.schema import COLLECTIONS, CREATOR_RULES, SERVICE_RULES, USER_FIELDS
from geniequeue.records.values import check_value

DIRECTUS_FIELDS = {
    "directus_files": {field.name for field in dataclasses.fields(FileInfo)},
    "directus_users": {field.name for field in dataclasses.fields(User)} | {field.name for field in USER_FIELDS},
    "directus_folders": {"id"},
}
FIELDS = DIRECTUS_FIELDS | {name: set(collection.by_name) for name, collection in COLLECTIONS.items()}


def _named(collection: str, condition: Condition) -> Iterator[tuple[str, str]]:
    """Name every field a condition looks at, with its collection."""
    match condition:
        case Own(field) | Equals(field):
            yield collection, field
        case Through(field, other, key, where):
            yield from ((collection, field), (other, key))
            yield from _named(other, where)
        case AnyOf(conditions) | AllOf(conditions):
            for each in conditions:
                yield from _named(collection, each)


@pytest.mark.parametrize("rule", CREATOR_RULES, ids=lambda rule: f"{rule.action} {rule.collection}")
def test_an_access_rule_names_only_what_exists(rule: Rule) -> None:
    assert set(rule.fields or ()) <= FIELDS[rule.collection]
    for collection, field in _named(rule.collection, rule.where):
        assert field in FIELDS[collection]


def test_there_is_one_rule_for_each_collection_and_action() -> None:
    named = [(rule.collection, rule.action) for rule in CREATOR_RULES]
    assert len(named) == len(set(named))


def test_creators_never_delete_and_the_service_may_do_all_with_its_collections() -> None:
    assert "delete" not in {rule.action for rule in CREATOR_RULES}
    allowed = {(rule.collection, rule.action) for rule in SERVICE_RULES}
    assert {(name, action) for name in COLLECTIONS for action in ("create", "read", "update", "delete")} <= allowed


@pytest.mark.parametrize("name", COLLECTIONS)
def test_a_collection_has_an_id_first_and_each_field_once(name: str) -> None:
    fields = COLLECTIONS[name].fields
    assert (fields[0].name, fields[0].type, fields[0].nullable) == ("id", "uuid", False)
    assert len({field.name for field in fields}) == len(fields)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_references_and_defaults_fit(name: str) -> None:
    for field in COLLECTIONS[name].fields:
        assert field.references is None or field.references in FIELDS
        assert not field.choices or field.default is None or field.default in field.choices
        if field.default is not None:
            assert check_value(COLLECTIONS[name], field.name, field.default, "create") == field.default
