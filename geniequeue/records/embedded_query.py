"""Filters, orders and access rules in SQL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from geniequeue.errors import RecordInvalid
from geniequeue.records.definition import (
    AllOf,
    AnyOf,
    Collection,
    Condition,
    Equals,
    Everything,
    Field,
    Own,
    Through,
)
from geniequeue.records.embedded_sql import TRUE, Clause, is_in, joined, quoted, select
from geniequeue.records.embedded_tables import to_column
from geniequeue.records.protocol import Filter
from geniequeue.records.values import check_value, known_field

SQL_MAX_INTEGER = 2**63 - 1
_COMPARISONS: Mapping[str, str] = {"_lt": "<", "_lte": "<=", "_gt": ">", "_gte": ">=", "_neq": "<>"}


def filter_clause(collection: Collection, where: Filter | None) -> Clause:
    """Return what a caller asks for.

    Raises:
        RecordInvalid: unknown field or operator, or a value of the wrong type.
    """
    return joined(
        [
            _comparison(collection, known_field(collection, name, "read"), operator, value)
            for name, wanted in (where or {}).items()
            for operator, value in (wanted.items() if isinstance(wanted, Mapping) else (("_eq", wanted),))
        ]
    )


def _comparison(collection: Collection, field: Field, operator: str, value: Any) -> Clause:
    column = quoted(field.name)
    if operator == "_null" and isinstance(value, bool):
        return Clause(f"{column} IS {'' if value else 'NOT '}NULL")
    if operator == "_eq" and value is None:
        return Clause(f"{column} IS NULL")
    if field.type == "json":
        raise _refused(collection, f"a filter on {field.name} by _null, for it is JSON", operator)
    if operator == "_in" and isinstance(value, list | tuple | set | frozenset):
        wanted = [_parameter(collection, field, each) for each in value]
        return is_in(field.name, Clause("SELECT value FROM json_each(?)", (json.dumps(wanted),)))
    if operator == "_eq":
        return Clause(f"{column} = ?", (_parameter(collection, field, value),))
    if operator in _COMPARISONS:
        return Clause(f"{column} {_COMPARISONS[operator]} ?", (_parameter(collection, field, value),))
    raise _refused(collection, "a filter by value, _in, _lt, _lte, _gt, _gte, _neq or _null", f"{operator} {value!r}")


def _parameter(collection: Collection, field: Field, value: Any) -> Any:
    return to_column(field, check_value(collection, field.name, value, "read"))


def order(collection: Collection, sort: Sequence[str]) -> str:
    """Return the ORDER BY of a list; null counts as the highest value, as in PostgreSQL.

    Raises:
        RecordInvalid: a field is unknown or has no order.
    """
    terms = []
    for name in sort:
        field = known_field(collection, name.removeprefix("-"), "read")
        if field.type == "json":
            raise _refused(collection, f"a field with an order, for {field.name} is JSON", name)
        direction, nulls = ("DESC", "FIRST") if name.startswith("-") else ("ASC", "LAST")
        terms.append(f"{quoted(field.name)} {direction}" + (f" NULLS {nulls}" if field.nullable else ""))
    return f" ORDER BY {', '.join(terms)}" if terms else ""


def page(collection: Collection, limit: int, offset: int) -> str:
    """Return the LIMIT of a list; -1 asks for all.

    Raises:
        RecordInvalid: a number is out of range.
    """
    if not -1 <= limit <= SQL_MAX_INTEGER or not 0 <= offset <= SQL_MAX_INTEGER:
        raise _refused(collection, "a limit from -1 and an offset from 0", f"{limit} and {offset}")
    return f" LIMIT {int(limit)} OFFSET {int(offset)}"


def rule_clause(condition: Condition, user_id: str | None) -> Clause:
    """Return what an access rule lets the user touch."""
    match condition:
        case Everything():
            return TRUE
        case Own(field):
            return Clause(f"{quoted(field)} = ?", (user_id,))
        case Equals(field, value):
            return Clause(f"{quoted(field)} IS ?", (value,))
        case Through(field, collection, key, where):
            return is_in(field, select(collection, (key,), rule_clause(where, user_id)))
        case AnyOf(conditions):
            return joined([rule_clause(each, user_id) for each in conditions], "OR")
        case AllOf(conditions):
            return joined([rule_clause(each, user_id) for each in conditions])


def _refused(collection: Collection, expected: str, got: str) -> RecordInvalid:
    return RecordInvalid(f"expected {expected}, got {got}; ask again", collection=collection.name, action="read")
