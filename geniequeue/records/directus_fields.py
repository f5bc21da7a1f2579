"""The definition's collections and fields as Directus wants them created.

Every field has a `meta`: without one a snapshot of the schema does not apply twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geniequeue.records.definition import PRIMARY_KEY, Collection, Field, FieldType
from geniequeue.records.directus_rules import Link

TYPES: Mapping[FieldType, str] = {
    **{name: name for name in ("uuid", "string", "text", "integer", "float", "boolean", "json", "timestamp")},
    "bigint": "bigInteger",
}
ALSO_FITS: Mapping[FieldType, frozenset[str]] = {
    "string": frozenset({"text"}),
    "text": frozenset(),
    "integer": frozenset({"bigInteger"}),
    "float": frozenset({"decimal"}),
    "timestamp": frozenset({"dateTime"}),
}
"""Types of a field that is there already and that hold the same values."""
_INTERFACES: Mapping[FieldType, str] = {
    "text": "input-multiline",
    "boolean": "boolean",
    "json": "input-code",
    "timestamp": "datetime",
}
_SPECIALS: Mapping[FieldType, str] = {"boolean": "cast-boolean", "json": "cast-json"}


def collection_payload(collection: Collection) -> dict[str, Any]:
    """Return the body that creates a collection with all its fields."""
    return {
        "collection": collection.name,
        "schema": {},
        "meta": {"note": collection.note, "icon": "work"},
        "fields": [field_payload(field) for field in collection.fields],
    }


def field_payload(field: Field, *, later: bool = False) -> dict[str, Any]:
    """Return the body that creates a field.

    Args:
        later: whether the collection is there already: its items have no value, so a field without default must
            allow that.
    """
    schema: dict[str, Any] = {"is_nullable": field.nullable or (later and field.required), "is_indexed": field.indexed}
    if field.unique:
        schema["is_unique"] = True
    if field.fill == "now":
        schema["default_value"] = "now()"
    elif field.default is not None:
        schema["default_value"] = field.default
    if field.name == PRIMARY_KEY:
        schema = {"is_primary_key": True, "is_nullable": False, "has_auto_increment": False}
    return {"field": field.name, "type": TYPES[field.type], "schema": schema, "meta": _meta(field)}


def alias_payload(name: str) -> dict[str, Any]:
    """Return the body that creates a field which lists what points to its item."""
    note = "what access rules of geniequeue go by"
    meta = {"special": ["o2m"], "interface": "list-o2m", "hidden": True, "note": note}
    return {"field": name, "type": "alias", "schema": None, "meta": meta}


def relation_payload(link: Link, field: Field, alias: str | None) -> dict[str, Any]:
    """Return the body that creates a relation; what points to a deleted item lets go of it, or goes with it."""
    return {
        "collection": link.collection,
        "field": link.field,
        "related_collection": link.to,
        "schema": {"on_delete": "SET NULL" if field.nullable else "CASCADE"},
        "meta": {"one_field": alias} if alias else {},
    }


def fits(field: Field, present_type: str) -> bool:
    """Say whether a field that is there already can hold what the definition's can."""
    return present_type == TYPES[field.type] or present_type in ALSO_FITS.get(field.type, ())


def _meta(field: Field) -> dict[str, Any]:
    special = {"uuid": "uuid", "caller": "user-created"}.get(field.fill or "", _SPECIALS.get(field.type))
    meta: dict[str, Any] = {
        "special": [special] if special else None,
        "interface": _INTERFACES.get(field.type, "input"),
        "note": field.note or None,
        "hidden": field.name == PRIMARY_KEY,
        "readonly": field.fill is not None,
    }
    if field.choices:
        choices = [{"text": choice, "value": choice} for choice in field.choices]
        meta |= {"interface": "select-dropdown", "options": {"choices": choices}}
    return meta
