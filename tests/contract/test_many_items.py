"""Many items created at once: all of them or none."""

from __future__ import annotations

from typing import Any

import pytest

from geniequeue.errors import RecordForbidden, RecordInvalid, RecordNotUnique
from geniequeue.records.protocol import Records
from tests.accounts import Account
from tests.contract.conftest import new_id

USAGE = "user_usage_counts"


def unit(**given: Any) -> dict[str, Any]:
    start = "2026-02-01T00:00:00.000Z"
    return {"id": new_id(), "user_id": new_id(), "feature": "f", "billing_cycle_start": start, "count": 1, **given}


def test_many_items_are_created_at_once(service: Records) -> None:
    rows = [unit(count=number) for number in range(200)]
    service.create_items(USAGE, rows)
    assert service.list_items(USAGE, sort=["count"], limit=-1) == rows
    service.create_items(USAGE, [])
    assert service.count_items(USAGE) == 200


def test_an_item_among_many_gets_id_and_defaults(service: Records) -> None:
    given = unit()
    del given["id"], given["count"]
    service.create_items(USAGE, [given])
    [row] = service.list_items(USAGE)
    assert row["id"] and row["count"] == 1


def test_one_id_that_exists_keeps_all_of_them_out(service: Records) -> None:
    standing = unit()
    service.create_item(USAGE, standing)
    with pytest.raises(RecordNotUnique):
        service.create_items(USAGE, [unit(), unit(), {**standing, "count": 9}, unit()])
    assert service.list_items(USAGE) == [standing]


@pytest.mark.parametrize("wrong", [{"count": "1"}, {"evil": 1}, {"user_id": "somebody"}, {"feature": None}], ids=str)
def test_one_wrong_item_keeps_all_of_them_out(service: Records, wrong: dict[str, Any]) -> None:
    with pytest.raises(RecordInvalid):
        service.create_items(USAGE, [unit(), unit(**wrong)])
    assert service.count_items(USAGE) == 0


def test_a_collection_that_notes_who_created_an_item_takes_them_singly(service: Records) -> None:
    with pytest.raises(RecordInvalid, match="singly"):
        service.create_items("media_jobs", [{}, {}])


def test_a_creator_creates_no_usage(service: Records, alice: Account) -> None:
    with pytest.raises(RecordForbidden):
        alice.records.create_items(USAGE, [unit(user_id=alice.id)])
    assert service.count_items(USAGE) == 0
