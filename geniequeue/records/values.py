"""Check values against the fields of the schema, before any store sees them.

Directus ignores unknown fields and, on PostgreSQL, answers a wrong type with status 500; so it is done here.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from geniequeue.errors import RecordInvalid
from geniequeue.records.definition import Collection, Field, FieldType

STRING_MAX_CHARS = 255
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def normal_uuid(value: object) -> str | None:
    """Return `value` as a lower-case UUID string, or None where it is none."""
    if isinstance(value, str) and _UUID.fullmatch(value.lower()):
        return value.lower()
    return None


def normal_timestamp(moment: datetime) -> str:
    """Return an aware time as the stores write it: `2026-11-23T10:33:26.565Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_data(collection: Collection, data: Mapping[str, Any], action: str) -> dict[str, Any]:
    """Return `data` with every value checked and normalised.

    Raises:
        RecordInvalid: a field is unknown or holds a value of the wrong type.
    """
    return {name: check_value(collection, name, value, action) for name, value in data.items()}


def check_value(collection: Collection, name: str, value: object, action: str) -> Any:
    """Return one value checked and normalised; None stands for null.

    Raises:
        RecordInvalid: names the field.
    """
    field = known_field(collection, name, action)
    if value is None and field.nullable:
        return None
    try:
        return _CHECKS[field.type](value)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise RecordInvalid(
            f"expected {_EXPECTED[field.type]} in {collection.name}.{name}, got {_shown(value)}; send that type",
            collection=collection.name,
            action=action,
        ) from None


def check_complete(collection: Collection, data: Mapping[str, Any]) -> None:
    """Refuse a new item that lacks what it needs.

    Raises:
        RecordInvalid: names the missing fields.
    """
    missing = [field.name for field in collection.fields if field.required and data.get(field.name) is None]
    if missing:
        raise RecordInvalid(
            f"expected a new item of {collection.name} with {', '.join(missing)}, got none; name every required field",
            collection=collection.name,
            action="create",
        )


def check_nobody_noted(collection: Collection) -> None:
    """Refuse a collection in which the store notes who created an item.

    Raises:
        RecordInvalid: names the collection.
    """
    if any(field.fill == "caller" for field in collection.fields):
        raise RecordInvalid(
            f"expected a collection that does not note who created an item, got {collection.name}; create them singly",
            collection=collection.name,
            action="create",
        )


def known_field(collection: Collection, name: str, action: str) -> Field:
    """Return the field called `name`.

    Raises:
        RecordInvalid: there is none.
    """
    try:
        return collection.by_name[name]
    except KeyError:
        raise RecordInvalid(
            f"expected a field of {collection.name}, got {_shown(name)}; use one of {', '.join(collection.by_name)}",
            collection=collection.name,
            action=action,
        ) from None


def _shown(value: object) -> str:
    try:
        return "null" if value is None else reprlib.repr(value)
    except ValueError:
        return f"a very long {type(value).__name__}"


def _uuid(value: object) -> str:
    if (normal := normal_uuid(value)) is None:
        raise ValueError
    return normal


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    value.encode()  # a lone surrogate can be stored nowhere
    return value


def _string(value: object) -> str:
    if len(text := _text(value)) > STRING_MAX_CHARS:
        raise ValueError
    return text


def _whole(bits: int) -> Callable[[object], int]:
    limit = 2 ** (bits - 1)

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not -limit <= value < limit:
            raise ValueError
        return value

    return check


def _float(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _json(value: object) -> object:
    if value is None:
        raise ValueError
    json.dumps(value, allow_nan=False)
    return value


def _timestamp(value: object) -> str:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError
    return normal_timestamp(moment)


_CHECKS: Mapping[FieldType, Callable[[object], object]] = {
    "uuid": _uuid,
    "string": _string,
    "text": _text,
    "integer": _whole(32),
    "bigint": _whole(64),
    "float": _float,
    "boolean": _boolean,
    "json": _json,
    "timestamp": _timestamp,
}

_EXPECTED: Mapping[FieldType, str] = {
    "uuid": "a UUID",
    "string": f"a string of up to {STRING_MAX_CHARS} characters without NUL",
    "text": "a string without NUL",
    "integer": "a whole number of 32 bits",
    "bigint": "a whole number of 64 bits",
    "float": "a finite number",
    "boolean": "true or false",
    "json": "a JSON value",
    "timestamp": "an ISO 8601 time with its offset",
}
