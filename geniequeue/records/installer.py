"""Install the definition into a Directus: create what is missing, touch nothing else.

It goes by the REST API, for applying a snapshot of the schema deletes the tables it does not name. Nothing is changed
or removed but the permissions of the two policies that are geniequeue's own, found by their fixed ids. Doing it again
does nothing. It needs an administrator's token; the service's own is not enough, and never should be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from geniequeue.records.definition import PRIMARY_KEY, Field
from geniequeue.records.directus import DirectusStore
from geniequeue.records.directus_fields import (
    alias_payload,
    collection_payload,
    field_payload,
    fits,
    relation_payload,
)
from geniequeue.records.directus_http import Call, path_of
from geniequeue.records.directus_rules import Link, links_of, permission_of
from geniequeue.records.directus_state import (
    CREATOR_POLICY,
    POLICIES,
    SERVICE_ACCOUNT,
    SERVICE_POLICY,
    SERVICE_ROLE,
    State,
    read_state,
    wanted_fields,
)
from geniequeue.records.schema import COLLECTIONS, CREATOR_RULES

ALIAS_PREFIX = "geniequeue_"


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Attributes:
        text: what, for an operator.
        call: how; None where only he can do it.
    """

    text: str
    call: Call | None


def plan(store: DirectusStore, *, creator_role: str | None = None, service_token: str | None = None) -> list[Step]:
    """Return what is missing; see `plan_from`.

    Args:
        store: opened with an administrator's token.

    Raises:
        RecordForbidden: the store's token is not an administrator's.
    """
    return plan_from(read_state(store), creator_role=creator_role, service_token=service_token)


def plan_from(
    state: State, *, creator_role: str | None = None, service_token: str | None = None, reset_token: bool = False
) -> list[Step]:
    """Return what is missing, in the order in which it can be created; nothing where all is there.

    Args:
        creator_role: id of the customer's own role whose accounts are creators; None leaves the holders of the policy
            as they are.
        service_token: static token for a new service account; None creates none.
        reset_token: whether an account that is there gets that token too.
    """
    aliases = {link.collection: _alias(state, link) for link in links_of(CREATOR_RULES) if link.alias}
    return [
        *_missing_fields(state),
        *_missing_relations(state, aliases),
        *_missing_policies(state, aliases),
        *_missing_role(state),
        *_missing_creators(state, creator_role),
        *(_missing_account(state, service_token, reset_token) if service_token else ()),
    ]


def apply(store: DirectusStore, steps: Iterable[Step]) -> list[Step]:
    """Do the steps; return those that only the operator can do."""
    left = []
    for step in steps:
        if step.call is None:
            left.append(step)
        else:
            store.request(step.call)
    return left


def _create(name: str, text: str, body: Mapping[str, Any], *below: str) -> Step:
    return Step(text, Call("POST", path_of(name, *below), f"directus_{name}", "create", dict(body), repeatable=False))


def _missing_fields(state: State) -> Iterator[Step]:
    for name, fields in wanted_fields().items():
        present = state.fields.get(name)
        if present is None:
            yield _create("collections", f"create the collection {name}", collection_payload(COLLECTIONS[name]))
            continue
        for field in fields:
            if field.name not in present:
                yield _missing_field(name, field)
            elif not fits(field, present[field.name]):
                text = f"change {name}.{field.name} by hand: expected the type {field.type}, got {present[field.name]}"
                yield Step(text, None)


def _missing_field(collection: str, field: Field) -> Step:
    if field.name == PRIMARY_KEY:
        return Step(f"give {collection} a primary key {PRIMARY_KEY} of the type uuid by hand", None)
    return _create(
        "fields", f"create the field {collection}.{field.name}", field_payload(field, later=True), collection
    )


def _missing_relations(state: State, aliases: Mapping[str, str]) -> Iterator[Step]:
    for link in links_of(CREATOR_RULES):
        place = (link.collection, link.field)
        alias = aliases[link.collection] if link.alias else None
        if alias and alias not in state.fields.get(link.to, {}):
            yield _create("fields", f"create the field {link.to}.{alias}", alias_payload(alias), link.to)
        if place not in state.relations:
            body = relation_payload(link, COLLECTIONS[link.collection].by_name[link.field], alias)
            yield _create("relations", f"relate {'.'.join(place)} to {link.to}", body)
        elif alias and state.relations[place] is None:
            body = {"collection": link.collection, "field": link.field, "meta": {"one_field": alias}}
            call = Call("PATCH", path_of("relations", *place), "directus_relations", "update", body)
            yield Step(f"list {link.collection} in {link.to}.{alias}", call)


def _alias(state: State, link: Link) -> str:
    """Return the name under which accounts list their items: the one that is there, or one that is free."""
    return state.relations.get((link.collection, link.field)) or f"{ALIAS_PREFIX}{link.collection}"


def _missing_policies(state: State, aliases: Mapping[str, str]) -> Iterator[Step]:
    for policy, (name, rules) in POLICIES.items():
        if policy not in state.policies:
            body = {"id": policy, "name": name, "icon": "work", "description": "Kept up to date by geniequeue."}
            yield _create("policies", f"create the policy {name}", {**body, "app_access": False, "admin_access": False})
        for rule in rules:
            wanted = {**permission_of(rule, aliases), "policy": policy}
            yield from _missing_permission(state.permissions.get((policy, rule.collection, rule.action)), wanted, name)


def _missing_permission(present: Mapping[str, Any] | None, wanted: Mapping[str, Any], name: str) -> Iterator[Step]:
    text = f"let the policy {name} {wanted['action']} {wanted['collection']}"
    if present is None:
        yield _create("permissions", text, wanted)
    elif any((present[key] or None) != (value or None) for key, value in wanted.items()):
        path = path_of("permissions", str(present["id"]))
        yield Step(
            f"{text} as this version defines it", Call("PATCH", path, "directus_permissions", "update", dict(wanted))
        )


def _missing_role(state: State) -> Iterator[Step]:
    name = POLICIES[SERVICE_POLICY][0]
    if SERVICE_ROLE not in state.roles:
        yield _create("roles", f"create the role {name}", {"id": SERVICE_ROLE, "name": name, "icon": "work"})
    yield from _missing_link(state, SERVICE_ROLE, SERVICE_POLICY, f"attach the policy {name} to its role")


def _missing_creators(state: State, role: str | None) -> Iterator[Step]:
    name = POLICIES[CREATOR_POLICY][0]
    if role is not None:
        text = f"attach the policy {name} to the role {state.roles.get(role, role)}"
        yield from _missing_link(state, role, CREATOR_POLICY, text)
    elif not state.holders[CREATOR_POLICY]:
        yield Step(f"name the role of your creators, to which the policy {name} is attached then", None)


def _missing_link(state: State, role: str, policy: str, text: str) -> Iterator[Step]:
    if role not in state.holders[policy]:
        yield _create("access", text, {"role": role, "policy": policy})


def _missing_account(state: State, token: str, reset_token: bool) -> Iterator[Step]:
    if not state.has_account:
        body = {"id": SERVICE_ACCOUNT, "first_name": "geniequeue", "role": SERVICE_ROLE, "token": token}
        yield _create("users", "create the account of the service", {**body, "status": "active"})
    elif reset_token:
        body = {"token": token, "status": "active", "role": SERVICE_ROLE}
        call = Call("PATCH", path_of("users", SERVICE_ACCOUNT), "directus_users", "update", body)
        yield Step("give the account of the service another token", call)
