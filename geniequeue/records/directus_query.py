"""What a caller asks for, in the words of Directus, checked before it is sent.

Two things Directus does otherwise than one may think: an `_in` of nothing is refused, and booleans know no `_in`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geniequeue.errors import RecordInvalid
from geniequeue.records.definition import PRIMARY_KEY, Collection, Field
from geniequeue.records.protocol import Filter
from geniequeue.records.values import check_value, known_field

MAX_NUMBER = 2**53 - 1
"""Beyond this the numbers of a query are rounded."""
LARGEST_LIMIT = 2**63 - 1
_COMPARISONS = frozenset({"_eq", "_lt", "_lte", "_gt", "_gte", "_neq"})
_NOTHING = {PRIMARY_KEY: {"_null": True}}


def filter_of(collection: Collection, where: Filter | None) -> dict[str, Any]:
    """Return a filter of Directus.

    Raises:
        RecordInvalid: unknown field or operator, or a value of the wrong type.
    """
    conditions = [
        _comparison(collection, known_field(collection, name, "read"), operator, value)
        for name, wanted in (where or {}).items()
        for operator, value in (wanted.items() if isinstance(wanted, Mapping) else (("_eq", wanted),))
    ]
    return {"_and": conditions} if conditions else {}


def _comparison(collection: Collection, field: Field, operator: str, value: Any) -> dict[str, Any]:
    if operator == "_null" and isinstance(value, bool):
        return {field.name: {"_null": value}}
    if operator == "_eq" and value is None:
        return {field.name: {"_null": True}}
    if field.type == "json":
        raise _refused(collection, f"a filter on {field.name} by _null, for it is JSON", operator)
    if operator == "_in" and isinstance(value, list | tuple | set | frozenset):
        return _one_of(field, [check_value(collection, field.name, each, "read") for each in value])
    if operator in _COMPARISONS:
        return {field.name: {operator: check_value(collection, field.name, value, "read")}}
    raise _refused(collection, "a filter by value, _in, _lt, _lte, _gt, _gte, _neq or _null", f"{operator} {value!r}")


def _one_of(field: Field, values: list[Any]) -> dict[str, Any]:
    if not values:
        return _NOTHING
    if field.type == "boolean":
        return {"_or": [{field.name: {"_eq": value}} for value in values]}
    return {field.name: {"_in": values}}


def checked_sort(collection: Collection, sort: Sequence[str]) -> list[str]:
    """Return a sort order of Directus.

    Raises:
        RecordInvalid: a field is unknown or has no order.
    """
    for name in sort:
        if known_field(collection, name.removeprefix("-"), "read").type == "json":
            raise _refused(collection, "a field with an order, for JSON has none", name)
    return list(sort)


def checked_page(collection: Collection, limit: int, offset: int) -> dict[str, int]:
    """Return limit and offset; a limit of -1 asks for all.

    Raises:
        RecordInvalid: a number is out of range.
    """
    if not -1 <= limit <= LARGEST_LIMIT or not 0 <= offset <= LARGEST_LIMIT:
        raise _refused(collection, "a limit from -1 and an offset from 0", f"{limit} and {offset}")
    return {"limit": min(limit, MAX_NUMBER), "offset": min(offset, MAX_NUMBER)}


def checked_fields(collection: Collection, fields: Sequence[str] | None) -> list[str]:
    """Return the names of the fields to ask for: those named, or all that the definition knows.

    Raises:
        RecordInvalid: a field is unknown.
    """
    return [known_field(collection, name, "read").name for name in fields] if fields else list(collection.by_name)


def _refused(collection: Collection, expected: str, got: str) -> RecordInvalid:
    return RecordInvalid(f"expected {expected}, got {got}; ask again", collection=collection.name, action="read")
