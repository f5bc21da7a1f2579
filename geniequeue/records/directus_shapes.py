"""What Directus answers, read into what the protocol promises; anything else is no answer.

Directus writes 64 bit numbers as strings and takes a whole number for a float; both are set right here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from geniequeue.errors import RecordsUnavailable
from geniequeue.records.definition import Collection, FieldType
from geniequeue.records.directus_errors import unavailable
from geniequeue.records.protocol import FileInfo, Item, User
from geniequeue.records.schema import USER_FIELDS
from geniequeue.records.values import normal_timestamp, normal_uuid

FILES = "directus_files"
USERS = "directus_users"
FILE_FIELDS = ("id", "filename_download", "type", "filesize", "uploaded_by", "folder")
ROLE_DEPTH = 4
"""How many roles up, from his own, an account's right to everything is looked for."""


def _policies(prefix: str) -> tuple[str, ...]:
    return f"{prefix}policies.policy.admin_access", f"{prefix}policies.policy.ip_access"


_ROLES = tuple("role." + "parent." * depth for depth in range(ROLE_DEPTH))
USER_PROFILE_FIELDS = ("id", "status", *(field.name for field in USER_FIELDS))
ACCOUNT_FIELDS = (*USER_PROFILE_FIELDS, *_policies(""), *(name for role in _ROLES for name in _policies(role)))


def item_of(collection: Collection, names: Sequence[str], data: Any, action: str) -> Item:
    """Return one item with exactly the named fields.

    Raises:
        RecordsUnavailable: the answer has another shape.
    """
    try:
        return {name: _value(collection.by_name[name].type, data[name]) for name in names}
    except (KeyError, TypeError, ValueError):
        raise _misshapen(collection.name, action) from None


def items_of(collection: Collection, names: Sequence[str], data: Any) -> list[Item]:
    """Return a list of items; raises `RecordsUnavailable` where it is none."""
    if not isinstance(data, list):
        raise _misshapen(collection.name, "read")
    return [item_of(collection, names, each, "read") for each in data]


def count_of(collection: Collection, data: Any) -> int:
    """Return the number in the answer to a count; raises `RecordsUnavailable` where there is none."""
    try:
        return int(data[0]["count"])
    except (KeyError, TypeError, ValueError, IndexError):
        raise _misshapen(collection.name, "read") from None


def file_of(data: Any, action: str) -> FileInfo | None:
    """Return a file's record; None for one whose content is not complete: it has no size yet."""
    try:
        if data["filesize"] is None:
            return None
        return FileInfo(
            id=_uuid(data["id"]),
            filename_download=_string(data["filename_download"]),
            type=_string(data["type"] or "application/octet-stream"),
            filesize=int(data["filesize"]),
            uploaded_by=_optional(_uuid, data["uploaded_by"]),
            folder=_optional(_uuid, data["folder"]),
        )
    except (KeyError, TypeError, ValueError):
        raise _misshapen(FILES, action) from None


def user_of(data: Any) -> User:
    """Return an account from the answer for `ACCOUNT_FIELDS`."""
    try:
        return User(
            id=_uuid(data["id"]),
            status=_string(data["status"]),
            admin=any(_grants_all(each) for each in _links(data)),
            subscription_tier=_optional(_string, data["subscription_tier"]),
            subscription_start=_optional(_timestamp, data["subscription_start"]),
            subscription_period=_optional(_string, data["subscription_period"]),
        )
    except (KeyError, TypeError, ValueError):
        raise _misshapen(USERS, "read") from None


def id_of(data: Any, collection: str, action: str) -> str:
    """Return the id in an answer."""
    try:
        return _uuid(data["id"])
    except (KeyError, TypeError, ValueError):
        raise _misshapen(collection, action) from None


def _links(account: Mapping[str, Any]) -> Iterable[Any]:
    """Return the policies of an account: its own, those of its role, and of the roles above."""
    yield from account.get("policies") or ()
    role = account.get("role")
    while isinstance(role, dict):
        yield from role.get("policies") or ()
        role = role.get("parent")


def _grants_all(link: Any) -> bool:
    """Say whether a policy makes an administrator from everywhere; one bound to addresses does not."""
    policy = link["policy"]
    return bool(policy and policy["admin_access"] and not policy["ip_access"])


def _value(kind: FieldType, value: Any) -> Any:
    return value if value is None else _READ[kind](value)


def _optional(read: Callable[[Any], str], value: Any) -> str | None:
    return None if value is None else read(value)


def _uuid(value: Any) -> str:
    if (known := normal_uuid(value)) is None:
        raise ValueError
    return known


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != float(value):
        raise ValueError
    return int(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _timestamp(value: Any) -> str:
    moment = datetime.fromisoformat(_string(value))
    return normal_timestamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _json(value: Any) -> Any:
    return value


_READ: Mapping[FieldType, Callable[[Any], Any]] = {
    "uuid": _uuid,
    "string": _string,
    "text": _string,
    "integer": _whole,
    "bigint": _whole,
    "float": float,
    "boolean": _boolean,
    "json": _json,
    "timestamp": _timestamp,
}


def _misshapen(collection: str, action: str) -> RecordsUnavailable:
    return unavailable(collection, action, "JSON of another shape")
