"""Items: what `create`, `get`, `list`, `count`, `update` and `delete` do on every store."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from geniequeue.errors import RecordForbidden, RecordInvalid, RecordNotUnique
from geniequeue.records.protocol import Records
from tests.accounts import Account
from tests.contract.conftest import new_id, run_of

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_a_new_item_comes_back_with_id_defaults_and_time(service: Records) -> None:
    item = service.create_item("media_jobs", {"operation": "resize_image"})
    assert item == service.get_item("media_jobs", item["id"])
    assert (item["status"], item["priority"], item["progress"], item["retry_count"]) == ("queued", 10, 0, 0)
    assert TIME.fullmatch(item["created_at"])
    assert item["result"] is None


def test_an_item_keeps_the_id_its_creator_chose(service: Records) -> None:
    chosen = new_id()
    assert service.create_item("media_jobs", {"id": chosen.upper()})["id"] == chosen
    assert service.get_item("media_jobs", chosen.upper())["id"] == chosen


def test_a_second_item_with_the_same_id_is_refused_and_changes_nothing(service: Records) -> None:
    first = service.create_item("media_jobs", {"operation": "resize_image"})
    with pytest.raises(RecordNotUnique) as refusal:
        service.create_item("media_jobs", {"id": first["id"], "operation": "crop_image"})
    assert (refusal.value.collection, refusal.value.action) == ("media_jobs", "create")
    assert service.get_item("media_jobs", first["id"]) == first


def test_json_booleans_and_big_numbers_come_back_as_they_went_in(service: Records) -> None:
    spec = {"params": {"x": 1, "deep": [None, True, 0.5, {"ключ": "ценность 🐘"}]}, "huge": 2**53}
    run = service.create_item("media_job_runs", run_of(new_id(), spec=spec, open=False))
    assert run["spec"] == spec
    assert run["open"] is False
    job = service.create_item("media_jobs", {})["id"]
    output = service.create_item(
        "media_job_outputs",
        {"job_id": job, "attempt": 1, "file_id": new_id(), "size_bytes": 2**40, "duration_s": 3},
    )
    assert (output["size_bytes"], output["duration_s"], output["role"]) == (2**40, 3.0, "output")


def test_times_are_kept_in_utc_with_milliseconds(service: Records) -> None:
    job = service.create_item("media_jobs", {"started_at": "2026-11-23T12:33:26.5659+02:00"})
    assert job["started_at"] == "2026-11-23T10:33:26.565Z"


def test_only_the_named_fields_are_returned(service: Records) -> None:
    job = service.create_item("media_jobs", {"operation": "resize_image"})
    assert service.get_item("media_jobs", job["id"], ["status"]) == {"status": "queued"}
    assert service.list_items("media_jobs", fields=["operation"]) == [{"operation": "resize_image"}]


def test_an_update_changes_the_named_fields_and_returns_the_item(service: Records) -> None:
    job = service.create_item("media_jobs", {"operation": "resize_image", "progress": 5})
    changed = service.update_item("media_jobs", job["id"], {"status": "processing", "progress": 40})
    assert changed == {**job, "status": "processing", "progress": 40}
    assert service.get_item("media_jobs", job["id"]) == changed


def test_an_update_replaces_a_json_field_whole(service: Records) -> None:
    job = service.create_item("media_jobs", {"params": {"width": 1, "height": 2}})
    assert service.update_item("media_jobs", job["id"], {"params": {"width": 3}})["params"] == {"width": 3}
    assert service.update_item("media_jobs", job["id"], {"params": None})["params"] is None


def test_an_update_without_changes_returns_the_item(service: Records) -> None:
    job = service.create_item("media_jobs", {})
    assert service.update_item("media_jobs", job["id"], {}) == job


def test_an_update_cannot_change_the_id(service: Records) -> None:
    job = service.create_item("media_jobs", {})
    with pytest.raises(RecordInvalid):
        service.update_item("media_jobs", job["id"], {"id": new_id()})


def test_a_deleted_item_is_gone_and_cannot_be_deleted_again(service: Records) -> None:
    job = service.create_item("media_jobs", {})
    service.delete_item("media_jobs", job["id"])
    with pytest.raises(RecordForbidden):
        service.get_item("media_jobs", job["id"])
    with pytest.raises(RecordForbidden):
        service.delete_item("media_jobs", job["id"])


@pytest.mark.parametrize("item_id", ["", "x", "../../etc/passwd", "' OR 1=1 --", "a" * 5000, "\0", "\ud800"])
def test_a_malformed_id_looks_like_a_missing_item(service: Records, item_id: str) -> None:
    with pytest.raises(RecordForbidden) as missing:
        service.get_item("media_jobs", new_id())
    for attempt in (
        lambda: service.get_item("media_jobs", item_id),
        lambda: service.update_item("media_jobs", item_id, {"progress": 1}),
        lambda: service.delete_item("media_jobs", item_id),
    ):
        with pytest.raises(RecordForbidden) as malformed:
            attempt()
        assert str(malformed.value) == str(missing.value).replace("read", malformed.value.action)


def test_updating_a_missing_item_is_refused_even_for_the_service(service: Records, admin: Account) -> None:
    for records in (service, admin.records):
        with pytest.raises(RecordForbidden):
            records.update_item("media_jobs", new_id(), {"progress": 1})


@pytest.mark.parametrize("collection", ["no_such_collection", "directus_users", "sqlite_master", 'x" --'])
def test_a_collection_that_is_not_there_is_refused(service: Records, collection: str) -> None:
    with pytest.raises(RecordForbidden):
        service.list_items(collection)
    with pytest.raises(RecordForbidden):
        service.create_item(collection, {"id": new_id()})


WRONG: list[tuple[str, Any]] = [
    ("no_such_field", 1),
    ("progress", "5"),
    ("progress", 1.5),
    ("progress", True),
    ("progress", 2**31),
    ("progress", None),
    ("progress", 10**5000),
    ("operation", 7),
    ("operation", "x" * 256),
    ("operation", "a\0b"),
    ("operation", "\ud800"),
    ("input_file_id", "photo.jpg"),
    ("params", {"x": float("nan")}),
    ("params", {"x": object()}),
    ("started_at", "yesterday"),
    ("started_at", "2026-11-23T10:33:26"),
    ("started_at", 1_764_000_000),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{name}-{number}" for number, (name, _) in enumerate(WRONG)])
def test_unknown_fields_and_wrong_types_are_refused_by_name(service: Records, name: str, value: Any) -> None:
    job = service.create_item("media_jobs", {})
    attempts: list[Callable[[], object]] = [
        lambda: service.create_item("media_jobs", {name: value}),
        lambda: service.update_item("media_jobs", job["id"], {name: value}),
    ]
    for attempt in attempts:
        with pytest.raises(RecordInvalid, match=name) as refusal:
            attempt()
        assert refusal.value.collection == "media_jobs"
    assert service.count_items("media_jobs") == 1
    assert service.get_item("media_jobs", job["id"]) == job


def test_a_new_item_without_a_required_field_is_refused(service: Records) -> None:
    run = run_of(new_id())
    del run["spec"]
    with pytest.raises(RecordInvalid, match="spec"):
        service.create_item("media_job_runs", run)


def _numbered(service: Records, count: int) -> list[str]:
    return [
        service.create_item("media_jobs", {"operation": "o", "progress": n, "quota": None if n % 2 else "q"})["id"]
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (None, [0, 1, 2, 3, 4]),
        ({"progress": 3}, [3]),
        ({"progress": {"_in": [1, 4, 77]}}, [1, 4]),
        ({"progress": {"_in": []}}, []),
        ({"progress": {"_lt": 2}}, [0, 1]),
        ({"progress": {"_lte": 2}}, [0, 1, 2]),
        ({"progress": {"_gt": 3}}, [4]),
        ({"progress": {"_gte": 3}}, [3, 4]),
        ({"progress": {"_gt": 0, "_lt": 3}}, [1, 2]),
        ({"progress": {"_neq": 2}}, [0, 1, 3, 4]),
        ({"quota": {"_null": True}}, [1, 3]),
        ({"quota": {"_null": False}}, [0, 2, 4]),
        ({"quota": None}, [1, 3]),
        ({"quota": "q", "progress": {"_gte": 2}}, [2, 4]),
        ({"params": {"_null": True}}, [0, 1, 2, 3, 4]),
        ({"created_at": {"_lt": "1999-01-01T00:00:00Z"}}, []),
    ],
)
def test_a_filter_selects_what_it_says(service: Records, where: Any, expected: list[int]) -> None:
    _numbered(service, 5)
    found = service.list_items("media_jobs", where, sort=["progress"], fields=["progress"])
    assert [item["progress"] for item in found] == expected
    assert service.count_items("media_jobs", where) == len(expected)


def test_a_filter_on_booleans_and_ids_works(service: Records) -> None:
    job = new_id()
    service.create_item("media_job_runs", run_of(job))
    service.create_item("media_job_runs", run_of(job, round=2, open=False))
    assert [run["round"] for run in service.list_items("media_job_runs", {"open": True})] == [1]
    assert service.count_items("media_job_runs", {"job_id": {"_in": [job, new_id()]}, "open": {"_in": [False]}}) == 1


@pytest.mark.parametrize(
    "where",
    [
        {"nope": 1},
        {"progress": {"_like": 1}},
        {"progress": "many"},
        {"progress": {"_in": 3}},
        {"progress": {"_null": "yes"}},
        {"id": "x"},
        {"params": {"a": 1}},
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(service: Records, where: Any) -> None:
    with pytest.raises(RecordInvalid):
        service.list_items("media_jobs", where)
    with pytest.raises(RecordInvalid):
        service.count_items("media_jobs", where)


def test_a_list_is_sorted_and_cut_as_asked(service: Records) -> None:
    _numbered(service, 5)
    down = service.list_items("media_jobs", sort=["-progress"], limit=2, offset=1, fields=["progress"])
    assert [item["progress"] for item in down] == [3, 2]
    mixed = service.list_items("media_jobs", sort=["quota", "-progress"], fields=["progress"])
    assert [item["progress"] for item in mixed] == [4, 2, 0, 3, 1]


def test_a_list_holds_a_hundred_items_unless_told(service: Records) -> None:
    _numbered(service, 103)
    assert len(service.list_items("media_jobs")) == 100
    assert len(service.list_items("media_jobs", limit=-1)) == 103


@pytest.mark.parametrize(
    "asked",
    [{"sort": ["nope"]}, {"sort": ["params"]}, {"fields": ["nope"]}, {"limit": -2}, {"limit": 2**64}, {"offset": -1}],
)
def test_a_list_of_unknown_fields_or_senseless_limits_is_refused(service: Records, asked: Any) -> None:
    with pytest.raises(RecordInvalid):
        service.list_items("media_jobs", **asked)


def test_many_items_are_changed_alike_and_those_that_are_not_there_are_left_out(service: Records) -> None:
    runs = [service.create_item("media_job_runs", run_of(new_id()))["id"] for _ in range(120)]
    asked = [*runs[:110], new_id(), "no id"]
    assert sorted(service.update_items("media_job_runs", asked, {"open": False})) == sorted(runs[:110])
    assert service.count_items("media_job_runs", {"open": True}) == 10
    assert service.update_items("media_job_runs", [new_id()], {"open": False}) == []
    assert service.update_items("media_job_runs", [], {"open": False}) == []
    assert service.update_items("media_job_runs", runs[:1], {"open": False}) == runs[:1]


@pytest.mark.parametrize("data", [{"id": new_id()}, {"open": "yes"}, {"evil": 1}])
def test_many_items_are_checked_like_one(service: Records, data: dict[str, Any]) -> None:
    run = service.create_item("media_job_runs", run_of(new_id()))
    with pytest.raises(RecordInvalid):
        service.update_items("media_job_runs", [run["id"]], data)
    assert service.get_item("media_job_runs", run["id"]) == run


def test_of_many_items_a_creator_changes_his_own_alone(service: Records, alice: Account, bob: Account) -> None:
    mine, theirs = (each.records.create_item("media_jobs", {})["id"] for each in (alice, bob))
    assert alice.records.update_items("media_jobs", [mine, new_id()], {"priority": 3}) == [mine]
    with pytest.raises(RecordForbidden):
        alice.records.update_items("media_jobs", [mine, theirs], {"priority": 5})
    assert [service.get_item("media_jobs", each)["priority"] for each in (mine, theirs)] == [3, 10]
    with pytest.raises(RecordForbidden):
        alice.records.update_items("media_jobs", [mine], {"status": "completed"})
    with pytest.raises(RecordForbidden):
        alice.records.update_items("media_job_runs", [new_id()], {"open": False})
