"""The definition's access rules in the words of Directus.

What an item must satisfy to be read, changed or deleted becomes a filter. What a new one must satisfy becomes a
`validation` of the values sent, which Directus evaluates without looking into other collections; so a rule that goes
through another one asks what belongs to the current user, by an alias on `directus_users`, both times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from geniequeue.records.definition import (
    PRIMARY_KEY,
    AllOf,
    AnyOf,
    Condition,
    Equals,
    Everything,
    Own,
    Rule,
    Through,
)
from geniequeue.records.directus_shapes import FILES, USERS
from geniequeue.records.schema import COLLECTIONS

SET_BY_DIRECTUS = frozenset(
    (shape.name, field.name) for shape in COLLECTIONS.values() for field in shape.fields if field.fill == "caller"
)
"""Fields that hold the caller in every new item, whatever he sends."""
PRESET_BY_DIRECTUS = frozenset({(FILES, "uploaded_by")})
"""Fields that hold the caller unless he sends another: when its content is there, an upload's form is written again."""
_ME = "$CURRENT_USER"


@dataclass(frozen=True)
class Link:
    """A relation that a rule needs.

    Attributes:
        collection, field: where the other item's key is kept.
        to: collection of the other item.
        alias: whether the other collection must list what points to it.
    """

    collection: str
    field: str
    to: str
    alias: bool


def permission_of(rule: Rule, aliases: Mapping[str, str]) -> dict[str, Any]:
    """Return a rule as a permission, without its policy.

    Args:
        aliases: name of the field of `directus_users` that lists the items of a collection.
    """
    creating = rule.action == "create"
    condition = None if isinstance(rule.where, Everything) else rule.where
    return {
        "collection": rule.collection,
        "action": rule.action,
        "fields": ["*"] if rule.fields is None else list(rule.fields),
        "permissions": _filter(condition, aliases) if condition and not creating else {},
        "validation": _validation(rule.collection, condition, aliases) if condition and creating else {},
        "presets": None,
    }


def links_of(rules: tuple[Rule, ...]) -> list[Link]:
    """Return the relations that rules go through, each once."""
    found = [link for rule in rules for link in _links(rule.collection, rule.where)]
    return [
        Link(
            collection,
            field,
            to,
            alias=any(link.alias for link in found if (link.collection, link.field) == (collection, field)),
        )
        for collection, field, to in dict.fromkeys((link.collection, link.field, link.to) for link in found)
    ]


def _links(collection: str, condition: Condition) -> Iterator[Link]:
    match condition:
        case AnyOf(conditions) | AllOf(conditions):
            for each in conditions:
                yield from _links(collection, each)
        case Through(field, other, key, where):
            if key == PRIMARY_KEY:
                yield Link(collection, field, other, alias=False)
                yield from _links(other, where)
            else:
                yield Link(other, _owner_field(condition), USERS, alias=True)


def _filter(condition: Condition, aliases: Mapping[str, str]) -> dict[str, Any]:
    match condition:
        case Everything():
            return {}
        case Own(field):
            return {field: {"_eq": _ME}}
        case Equals(field, value):
            return {field: {"_null": True} if value is None else {"_eq": value}}
        case Through(field, _, key, where):
            return {field: _filter(where, aliases) if key == PRIMARY_KEY else _mine(condition, aliases)}
        case AnyOf(conditions):
            return {"_or": [_filter(each, aliases) for each in conditions]}
        case AllOf(conditions):
            return {"_and": [_filter(each, aliases) for each in conditions]}


def _validation(collection: str, condition: Condition, aliases: Mapping[str, str]) -> dict[str, Any]:
    match condition:
        case Own(field):
            return _own_when_created(collection, field)
        case Equals(field, None):
            return {field: {"_null": True}}
        case Equals(field, value):
            return {field: {"_eq": value}}
        case Through(field):
            return {field: _mine(condition, aliases)}
        case AnyOf(conditions):
            return {"_or": _validations(collection, conditions, aliases)}
        case AllOf(conditions):
            parts = _validations(collection, conditions, aliases)
            return parts[0] if len(parts) == 1 else {"_and": parts}
        case Everything():
            return {}


def _own_when_created(collection: str, field: str) -> dict[str, Any]:
    if (collection, field) in SET_BY_DIRECTUS:
        return {}
    sent = {} if (collection, field) in PRESET_BY_DIRECTUS else {"_submitted": True}
    return {field: {**sent, "_eq": _ME}}


def _validations(
    collection: str, conditions: tuple[Condition, ...], aliases: Mapping[str, str]
) -> list[dict[str, Any]]:
    return [part for each in conditions if (part := _validation(collection, each, aliases))]


def _mine(condition: Through, aliases: Mapping[str, str]) -> dict[str, Any]:
    """Ask for one of the current user's own items of a collection."""
    _owner_field(condition)
    return {"_in": f"{_ME}.{aliases[condition.collection]}.{condition.key}"}


def _owner_field(condition: Through) -> str:
    if not isinstance(condition.where, Own):
        raise NotImplementedError(f"expected a rule through {condition.collection} by its owner alone; change the rule")
    return condition.where.field
