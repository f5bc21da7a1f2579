"""The installer: on an empty Directus, twice, and on one that has tables, fields and policies of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from geniequeue.errors import RecordForbidden
from geniequeue.records.definition import Field
from geniequeue.records.directus import DirectusStore
from geniequeue.records.directus_fields import TYPES, field_payload
from geniequeue.records.directus_http import Call
from geniequeue.records.directus_state import CREATOR_POLICY, missing, wanted_fields
from geniequeue.records.installer import Step, apply, plan
from geniequeue.records.schema import COLLECTIONS
from tests.directus_fixture import DirectusPlace
from tests.real_directus import RealDirectus, running_directus

OWN = "customers_own_table"
ID = {"field": "id", "type": "uuid", "schema": {"is_primary_key": True}, "meta": {"special": ["uuid"]}}


def _field(name: str, type_: str = "string") -> dict[str, Any]:
    return {"field": name, "type": type_, "schema": {}, "meta": {"note": "the customer's"}}


@pytest.fixture
def admin(directus_server: RealDirectus, directus_place: DirectusPlace) -> Iterator[DirectusStore]:
    store = DirectusStore(directus_server.url, directus_server.admin_token)
    yield store
    store.close()


@pytest.fixture(scope="module")
def customer(directus_server: RealDirectus) -> Iterator[DirectusStore]:
    """A second server, with tables, fields, roles and policies of its own."""
    with running_directus() as server:
        store = DirectusStore(server.url, server.admin_token)
        _send(store, "/collections", {"collection": OWN, "schema": {}, "meta": {}, "fields": [ID, _field("name")]})
        _send(store, f"/items/{OWN}", {"name": "precious"})
        jobs = [ID, _field("operation", "text"), _field("priority"), _field("colour"), _field("user_created", "uuid")]
        _send(store, "/collections", {"collection": "media_jobs", "schema": {}, "meta": {}, "fields": jobs})
        _send(store, "/items/media_jobs", {"operation": "old", "colour": "red"})
        for field in (_field("nickname"), _field("subscription_tier")):
            _send(store, "/fields/directus_users", field)
        role = _send(store, "/roles", {"name": "Creators"})["id"]
        policy = _send(store, "/policies", {"name": "Creators of the customer"})["id"]
        _send(store, "/access", {"role": role, "policy": policy})
        permission = {"policy": policy, "collection": OWN, "action": "read", "fields": ["*"], "permissions": {}}
        _send(store, "/permissions", permission)
        yield store
        store.close()


def _send(store: DirectusStore, path: str, body: Any = None, method: str = "POST") -> Any:
    return store.request(Call(method, path, path, method, body))


def _everything(store: DirectusStore) -> dict[str, Any]:
    """Return whatever an installer could touch, by kind and key."""
    found: dict[str, Any] = {}
    for kind in ("collections", "fields", "relations", "roles", "policies", "permissions", "access", "users"):
        for row in _send(store, f"/{kind}?limit=-1", method="GET"):
            key = row.get("id") or (row["collection"], row.get("field"))
            found[f"{kind} {key}"] = row
    for name in (OWN, "media_jobs"):
        found[f"items {name}"] = _send(
            store, f"/items/{name}?fields=id,{'name' if name == OWN else 'colour'}", method="GET"
        )
    return found


def test_installing_again_has_nothing_to_do(admin: DirectusStore) -> None:
    assert plan(admin) == []


def test_the_plan_needs_an_administrator(directus_place: DirectusPlace) -> None:
    with pytest.raises(RecordForbidden):
        plan(directus_place.store)


def test_nothing_is_missing_for_the_service(directus_place: DirectusPlace) -> None:
    assert missing(directus_place.store) == []


def test_the_service_may_do_what_it_needs_and_no_more(directus_place: DirectusPlace) -> None:
    account = directus_place.store.as_service().me()
    assert account.admin is False
    role = {"role": directus_place.roles[True]}
    for method, path, body in (
        ("GET", "/settings", None),
        ("GET", "/permissions", None),
        ("GET", "/flows", None),
        ("POST", "/collections", {"collection": "x", "schema": {}, "meta": {}}),
        ("POST", "/users", {"first_name": "x", **role}),
        ("PATCH", f"/users/{account.id}", role),
        ("DELETE", f"/users/{directus_place.account('alice').id}", None),
    ):
        with pytest.raises(RecordForbidden):
            _send(directus_place.store, path, body, method)


def test_directus_has_each_field_with_its_type_and_no_other(directus_place: DirectusPlace) -> None:
    for name, fields in wanted_fields().items():
        present = {row["field"]: row for row in directus_place.request("GET", f"/fields/{name}")}
        for field in fields:
            row = present[field.name]
            assert (row["type"], row["schema"]["is_nullable"]) == (TYPES[field.type], field.nullable), field.name
            assert row["meta"] is not None
        if name in COLLECTIONS:
            assert set(present) == {field.name for field in fields}


def test_what_a_customer_has_is_left_as_it_is(customer: DirectusStore) -> None:
    before = _everything(customer)
    (role,) = (row["id"] for row in _send(customer, "/roles", method="GET") if row["name"] == "Creators")
    steps = plan(customer, creator_role=role)
    assert _everything(customer) == before
    assert _texts(apply(customer, steps)) == [
        "change media_jobs.priority by hand: expected the type integer, got string"
    ]
    after = _everything(customer)
    assert [name for name, row in before.items() if not _still(row, after[name])] == []
    assert _texts(plan(customer, creator_role=role)) == _texts(step for step in steps if step.call is None)


def _still(row: Any, now: Any) -> bool:
    """Say whether a row holds what it held; it may have new fields, and new items that point to it."""
    if not isinstance(row, dict):
        return bool(row == now)
    moving = ("last_access", "policies", "users", "children", "permissions", "roles")
    return all(now[name] == value for name, value in row.items() if name not in moving)


def _texts(steps: Iterable[Step]) -> list[str]:
    return [step.text for step in steps]


def test_a_permission_of_ours_that_somebody_changed_is_put_right(admin: DirectusStore) -> None:
    ours = f'/permissions?filter={{"policy":{{"_eq":"{CREATOR_POLICY}"}}}}&limit=-1'
    row = next(row for row in _send(admin, ours, method="GET") if row["collection"] == "media_job_outputs")
    _send(admin, f"/permissions/{row['id']}", {"permissions": {}}, "PATCH")
    steps = plan(admin)
    assert _texts(steps) == ["let the policy geniequeue creators read media_job_outputs as this version defines it"]
    apply(admin, steps)
    assert plan(admin) == []


def test_a_field_added_to_a_table_with_items_allows_that_they_have_none() -> None:
    required = Field("mood", "string", nullable=False)
    assert field_payload(required)["schema"]["is_nullable"] is False
    assert field_payload(required, later=True)["schema"]["is_nullable"] is True
