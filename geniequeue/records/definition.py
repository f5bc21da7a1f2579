"""What a collection and an access rule are made of: plain data, for every store to build from.

The embedded store makes tables and SQL conditions of it, the installer makes Directus collections and policies of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

FieldType = Literal["uuid", "string", "text", "integer", "bigint", "float", "boolean", "json", "timestamp"]
Fill = Literal["uuid", "now", "caller"]
Action = Literal["create", "read", "update", "delete"]

PRIMARY_KEY = "id"


@dataclass(frozen=True)
class Field:
    """One field of a collection.

    Attributes:
        type: `string` holds up to 255 characters, `integer` 32 bits, `bigint` 64 bits, `timestamp` milliseconds in UTC.
        note: who sets it, its unit or range; shown to operators.
        nullable: whether it may be null; one that may not needs a value, a `default` or a `fill` at creation.
        default: what a new item gets when nobody names the field.
        fill: what the store itself puts into a new item: a fresh id, the time, the id of the caller.
        references: collection whose primary key it holds. A help for reading and for rules, never enforced: a run may
            outlive its job.
        choices: the words expected; a help for reading, as in Directus, never enforced.
        indexed: whether callers look items up by it.
        unique: whether no two items may have the same value; such a field is indexed, too.
    """

    name: str
    type: FieldType
    note: str = ""
    nullable: bool = True
    default: str | int | float | bool | None = None
    fill: Fill | None = None
    references: str | None = None
    choices: tuple[str, ...] = ()
    indexed: bool = False
    unique: bool = False

    @property
    def required(self) -> bool:
        """Say whether a new item must name it."""
        return not self.nullable and self.default is None and self.fill is None


@dataclass(frozen=True)
class Collection:
    """A named set of items with the same fields; `id` is the primary key."""

    name: str
    note: str
    fields: tuple[Field, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Field]:
        """Return the fields by their names."""
        return {field.name: field for field in self.fields}


@dataclass(frozen=True)
class Everything:
    """True for every item."""


@dataclass(frozen=True)
class Own:
    """True where `field` holds the id of the current user."""

    field: str


@dataclass(frozen=True)
class Equals:
    """True where `field` holds `value`; None asks for null."""

    field: str
    value: str | None


@dataclass(frozen=True)
class Through:
    """True where `field` equals `key` of an item of `collection` that itself satisfies `where`."""

    field: str
    collection: str
    key: str
    where: Condition


@dataclass(frozen=True)
class AnyOf:
    """True where at least one condition is."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class AllOf:
    """True where every condition is."""

    conditions: tuple[Condition, ...]


Condition = Everything | Own | Equals | Through | AnyOf | AllOf


@dataclass(frozen=True)
class Rule:
    """Allow one action on the items of one collection that satisfy `where`.

    Attributes:
        where: seen from the current user; for `create` it is what the new item must satisfy.
        fields: what may be read or written; None for all.
    """

    collection: str
    action: Action
    where: Condition
    fields: tuple[str, ...] | None = None
