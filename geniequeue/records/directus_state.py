"""What of the definition a Directus has: collections, fields, relations, our policies and who holds them."""

from __future__ import annotations

import uuid
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from geniequeue.errors import RecordForbidden
from geniequeue.records.definition import Everything, Field, Rule
from geniequeue.records.directus import DirectusStore
from geniequeue.records.directus_fields import TYPES, fits
from geniequeue.records.directus_http import Call, path_of
from geniequeue.records.directus_shapes import USERS
from geniequeue.records.schema import COLLECTIONS, CREATOR_RULES, SERVICE_RULES, USER_FIELDS

_IDS = uuid.UUID("8d3f3a63-6f0f-4d5c-9a5e-0f8e2b7a4c11")
CREATOR_POLICY = str(uuid.uuid5(_IDS, "policy of creators"))
SERVICE_POLICY = str(uuid.uuid5(_IDS, "policy of the service"))
SERVICE_ROLE = str(uuid.uuid5(_IDS, "role of the service"))
SERVICE_ACCOUNT = str(uuid.uuid5(_IDS, "account of the service"))

SYSTEM_RULES = tuple(
    Rule(f"directus_{name}", "read", Everything())
    for name in ("roles", "policies", "access", "collections", "fields", "relations")
)
"""What tells the service whether an account is an administrator's, and `doctor` whether a field is missing."""
POLICIES: Mapping[str, tuple[str, tuple[Rule, ...]]] = {
    CREATOR_POLICY: ("geniequeue creators", CREATOR_RULES),
    SERVICE_POLICY: ("geniequeue service", SERVICE_RULES + SYSTEM_RULES),
}


@dataclass(frozen=True)
class State:
    """What is there.

    Attributes:
        fields: type of each field, by collection and name.
        relations: name of the alias (or None), by collection and field.
        permissions: of our policies, by policy, collection and action.
        roles: name of each role, by id.
        policies: ids of ours that are there.
        holders: ids of the roles and accounts that hold one of our policies, by policy.
        has_account: whether the account of the service is there.
    """

    fields: Mapping[str, Mapping[str, str]]
    relations: Mapping[tuple[str, str], str | None]
    permissions: Mapping[tuple[str, str, str], Mapping[str, Any]]
    roles: Mapping[str, str]
    policies: frozenset[str]
    holders: Mapping[str, frozenset[str]]
    has_account: bool


def read_state(store: DirectusStore) -> State:
    """Return what is there.

    Args:
        store: opened with an administrator's token.

    Raises:
        RecordForbidden: the token is not an administrator's.
    """
    ours = {"policy": {"_in": list(POLICIES)}}
    # first, for it is what only an administrator may read
    permissions = store.request(look("permissions", filter=ours, limit="-1"))
    fields: dict[str, dict[str, str]] = {}
    for row in store.request(look("fields")):
        fields.setdefault(row["collection"], {})[row["field"]] = row["type"]
    return State(
        fields=fields,
        relations={
            (row["collection"], row["field"]): (row["meta"] or {}).get("one_field")
            for row in store.request(look("relations"))
        },
        permissions={(row["policy"], row["collection"], row["action"]): row for row in permissions},
        roles=roles_of(store),
        policies=frozenset(_ids(store, "policies", list(POLICIES))),
        holders={policy: holders_of(store, policy) for policy in POLICIES},
        has_account=bool(list(_ids(store, "users", [SERVICE_ACCOUNT]))),
    )


def roles_of(store: DirectusStore) -> dict[str, str]:
    """Return the names of all roles, by id."""
    rows = store.request(look("roles", fields="id,name", sort="name", limit="-1"))
    return {row["id"]: row["name"] for row in rows}


def holders_of(store: DirectusStore, policy: str) -> frozenset[str]:
    """Return the ids of the roles and accounts that hold a policy; an empty id stands for the public."""
    rows = store.request(look("access", filter={"policy": {"_eq": policy}}, fields="role,user", limit="-1"))
    return frozenset(row["role"] or row["user"] or "" for row in rows)


def missing(store: DirectusStore, among: Container[str] | None = None) -> list[str]:
    """Return which collections and fields the store's own account does not see, or sees with a type that does not fit.

    Each is one line for an operator, such as `media_jobs.progress: not there`.

    Args:
        among: names of the collections to look at; all by default.
    """
    wanted = {name: fields for name, fields in wanted_fields().items() if among is None or name in among}
    return [line for name, fields in wanted.items() for line in _missing_in(store, name, fields)]


def wanted_fields() -> dict[str, tuple[Field, ...]]:
    """Return the fields of the definition by collection, those of accounts included."""
    return {**{name: shape.fields for name, shape in COLLECTIONS.items()}, USERS: USER_FIELDS}


def look(name: str, **query: object) -> Call:
    """Return a call that reads one of Directus' own collections, named without its prefix."""
    return Call("GET", path_of(name, **query), f"directus_{name}", "read")


def _missing_in(store: DirectusStore, name: str, fields: tuple[Field, ...]) -> Iterator[str]:
    try:
        rows = store.request(Call("GET", path_of("fields", name), name, "read"))
    except RecordForbidden:
        yield f"{name}: not there"
        return
    types = {row["field"]: row["type"] for row in rows}
    for field in fields:
        if field.name not in types:
            yield f"{name}.{field.name}: not there"
        elif not fits(field, types[field.name]):
            yield f"{name}.{field.name}: expected the type {TYPES[field.type]}, got {types[field.name]}"


def _ids(store: DirectusStore, name: str, wanted: list[str]) -> Iterator[str]:
    yield from (row["id"] for row in store.request(look(name, filter={"id": {"_in": wanted}}, fields="id")))
