"""Who may do what: the service, a creator, somebody else, an administrator, and whoever holds no good token."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jwt
import pytest

from geniequeue.errors import RecordForbidden, RecordInvalid
from geniequeue.records.protocol import Records, RecordStore
from tests.accounts import SECRET, Account
from tests.contract.conftest import Place, new_id, run_of


def _refusal(attempt: Callable[[], object]) -> RecordForbidden:
    with pytest.raises(RecordForbidden) as caught:
        attempt()
    return caught.value


def test_a_missing_item_and_a_foreign_item_look_the_same(alice: Account, bob: Account) -> None:
    foreign = alice.records.create_item("media_jobs", {"operation": "resize_image"})["id"]
    attempts: list[Callable[[str], object]] = [
        lambda job: bob.records.get_item("media_jobs", job),
        lambda job: bob.records.update_item("media_jobs", job, {"params": {}}),
        lambda job: bob.records.delete_item("media_jobs", job),
        bob.records.get_file,
        lambda job: bob.records.get_item("media_job_runs", job),
    ]
    for attempt in attempts:
        seen, missing = _refusal(partial(attempt, foreign)), _refusal(partial(attempt, new_id()))
        assert (str(seen), seen.collection, seen.action) == (str(missing), missing.collection, missing.action)


def test_a_creator_creates_reads_lists_and_changes_his_own_jobs(alice: Account, bob: Account) -> None:
    job = alice.records.create_item("media_jobs", {"id": new_id(), "operation": "resize_image", "status": "queued"})
    assert job["user_created"] == alice.id
    assert alice.records.update_item("media_jobs", job["id"], {"params": {"width": 5}})["params"] == {"width": 5}
    assert alice.records.get_item("media_jobs", job["id"])["operation"] == "resize_image"
    assert [item["id"] for item in alice.records.list_items("media_jobs")] == [job["id"]]
    assert (alice.records.count_items("media_jobs"), bob.records.count_items("media_jobs")) == (1, 0)
    assert bob.records.list_items("media_jobs", {"id": job["id"]}) == []


@pytest.mark.parametrize(
    "data",
    [
        {"user_created": new_id()},
        {"progress": 100},
        {"bull_job_id": "bull:media-jobs:1"},
        {"result": {}},
        {"created_at": "2000-01-01T00:00:00Z"},
        {"quota": "x"},
    ],
    ids=lambda data: next(iter(data)),
)
def test_a_creator_cannot_write_what_the_system_writes(alice: Account, data: dict[str, Any]) -> None:
    job = alice.records.create_item("media_jobs", {})
    assert next(iter(data)) in str(_refusal(lambda: alice.records.create_item("media_jobs", data)))
    _refusal(lambda: alice.records.update_item("media_jobs", job["id"], data))
    assert alice.records.list_items("media_jobs") == [job]


def test_a_creator_cannot_decide_the_status(alice: Account) -> None:
    _refusal(lambda: alice.records.create_item("media_jobs", {"status": "completed"}))
    assert alice.records.count_items("media_jobs") == 0
    job = alice.records.create_item("media_jobs", {})
    _refusal(lambda: alice.records.update_item("media_jobs", job["id"], {"status": "queued"}))


def test_a_creator_who_names_an_unknown_field_is_told_so(alice: Account) -> None:
    with pytest.raises(RecordInvalid, match="no_such"):
        alice.records.create_item("media_jobs", {"no_such": 1})


def test_nobody_but_the_service_and_admins_deletes_jobs(service: Records, alice: Account, admin: Account) -> None:
    jobs = [alice.records.create_item("media_jobs", {})["id"] for _ in range(2)]
    _refusal(lambda: alice.records.delete_item("media_jobs", jobs[0]))
    service.delete_item("media_jobs", jobs[0])
    admin.records.delete_item("media_jobs", jobs[1])


def test_the_owner_of_a_profile_sees_the_jobs_made_for_it(service: Records, alice: Account, bob: Account) -> None:
    profile = service.create_item("creator_profiles", {"user_id": alice.id})["id"]
    job = service.create_item("media_jobs", {"creator_profile_id": profile})["id"]
    output = service.create_item("media_job_outputs", {"job_id": job, "attempt": 1, "file_id": new_id()})["id"]
    assert alice.records.get_item("media_jobs", job)["creator_profile_id"] == profile
    assert alice.records.get_item("media_job_outputs", output)["job_id"] == job
    _refusal(lambda: alice.records.update_item("media_jobs", job, {"params": {}}))
    _refusal(lambda: bob.records.get_item("media_jobs", job))


def test_nobody_sends_a_job_into_anothers_profile(service: Records, alice: Account, bob: Account) -> None:
    own, foreign = (service.create_item("creator_profiles", {"user_id": user.id})["id"] for user in (alice, bob))
    refusals = [
        _refusal(lambda profile=profile: alice.records.create_item("media_jobs", {"creator_profile_id": profile}))
        for profile in (foreign, new_id())
    ]
    assert str(refusals[0]) == str(refusals[1])
    job = alice.records.create_item("media_jobs", {"creator_profile_id": own})["id"]
    assert alice.records.get_item("media_jobs", job)["creator_profile_id"] == own
    for profile in (foreign, new_id(), None):
        _refusal(lambda profile=profile: alice.records.update_item("media_jobs", job, {"creator_profile_id": profile}))


def test_outputs_are_read_by_the_owner_of_the_job_and_written_by_nobody_else_than_the_service(
    service: Records, alice: Account, bob: Account
) -> None:
    job = alice.records.create_item("media_jobs", {})["id"]
    data = {"job_id": job, "attempt": 1, "file_id": new_id()}
    output = service.create_item("media_job_outputs", data)
    assert alice.records.get_item("media_job_outputs", output["id"]) == output
    assert alice.records.list_items("media_job_outputs", {"job_id": job}) == [output]
    assert bob.records.list_items("media_job_outputs", {"job_id": job}) == []
    _refusal(lambda: bob.records.get_item("media_job_outputs", output["id"]))
    for attempt in (
        lambda: alice.records.create_item("media_job_outputs", data),
        lambda: alice.records.update_item("media_job_outputs", output["id"], {"sha256": "x"}),
        lambda: alice.records.delete_item("media_job_outputs", output["id"]),
    ):
        _refusal(attempt)


@pytest.mark.parametrize("collection", ["media_job_runs", "media_job_results"])
def test_runs_and_results_are_invisible_to_creators(service: Records, alice: Account, collection: str) -> None:
    job = alice.records.create_item("media_jobs", {})["id"]
    run = service.create_item("media_job_runs", run_of(job, user_id=alice.id))["id"]
    service.create_item("media_job_results", {"id": run, "attempt": 1, "outcome": "completed"})
    for attempt in (
        lambda: alice.records.get_item(collection, run),
        lambda: alice.records.list_items(collection),
        lambda: alice.records.count_items(collection),
        lambda: alice.records.create_item(collection, {"id": new_id()}),
        lambda: alice.records.update_item(collection, run, {}),
    ):
        _refusal(attempt)
    assert service.get_item(collection, run)["id"] == run


def test_a_creator_keeps_his_own_profiles_but_never_names_their_folder(alice: Account, bob: Account) -> None:
    data = {"user_id": alice.id, "platform": "instagram", "username": "alice"}
    profile = alice.records.create_item("creator_profiles", data)
    assert (profile["media_folder_id"], profile["scrape_status"]) == (None, "idle")
    assert alice.records.update_item("creator_profiles", profile["id"], {"username": "al"})["username"] == "al"
    for attempt in (
        lambda: alice.records.update_item("creator_profiles", profile["id"], {"media_folder_id": new_id()}),
        lambda: alice.records.update_item("creator_profiles", profile["id"], {"user_id": bob.id}),
        lambda: alice.records.create_item("creator_profiles", {**data, "media_folder_id": new_id()}),
        lambda: alice.records.create_item("creator_profiles", {**data, "user_id": bob.id}),
        lambda: alice.records.create_item("creator_profiles", {"platform": "x"}),
        lambda: bob.records.get_item("creator_profiles", profile["id"]),
        lambda: bob.records.update_item("creator_profiles", profile["id"], {"username": "b"}),
    ):
        _refusal(attempt)


def test_an_administrator_sees_and_changes_all(service: Records, alice: Account, admin: Account) -> None:
    job = alice.records.create_item("media_jobs", {})["id"]
    run = service.create_item("media_job_runs", run_of(job))["id"]
    assert admin.records.get_item("media_jobs", job)["user_created"] == alice.id
    assert admin.records.get_item("media_job_runs", run)["job_id"] == job
    assert admin.records.update_item("media_jobs", job, {"status": "cancelled"})["status"] == "cancelled"
    assert admin.records.create_item("media_jobs", {})["user_created"] == admin.id


def test_an_account_reads_itself_and_nobody_else(
    service: Records, alice: Account, bob: Account, admin: Account
) -> None:
    mine = alice.records.me()
    assert (mine.id, mine.status, mine.admin, mine.subscription_tier) == (alice.id, "active", False, "creator")
    assert alice.records.get_user(alice.id) == mine == service.get_user(alice.id) == admin.records.get_user(alice.id)
    assert admin.records.me().admin is True
    foreign, missing = (_refusal(partial(alice.records.get_user, who)) for who in (bob.id, new_id()))
    assert str(foreign) == str(missing)
    _refusal(lambda: service.get_user(new_id()))


def test_the_service_knows_itself(service: Records) -> None:
    assert service.me().status == "active"


def test_a_suspended_account_is_out_at_once(place: Place, service: Records, alice: Account) -> None:
    job = alice.records.create_item("media_jobs", {})["id"]
    place.suspend(alice)
    _refusal(alice.records.me)
    if place.checks_accounts:
        _refusal(lambda: alice.records.get_item("media_jobs", job))
    assert service.get_user(alice.id).status == "suspended"


def test_an_expired_token_is_refused(place: Place, store: RecordStore, alice: Account) -> None:
    _refusal(store.as_user(place.expired_token(alice)).me)


def _signed(claims: dict[str, Any], key: str = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key, algorithm)


def test_a_token_that_is_not_wholly_right_is_refused(place: Place, store: RecordStore, alice: Account) -> None:
    good = jwt.decode(alice.token, options={"verify_signature": False})
    without = [{name: value for name, value in good.items() if name != left_out} for left_out in ("id", "exp", "iss")]
    tokens = [
        "",
        "garbage",
        "a.b.c",
        "\ud800",
        "x" * 70_000,
        alice.token + "x",
        _signed(good, key="another-secret-another-secret-another"),
        jwt.encode(good, "", "none"),
    ]
    wrongly_claimed = [
        _signed(good, algorithm="HS512"),
        *(_signed(claims) for claims in without),
        *(_signed({**good, "id": wrong}) for wrong in (None, 7, "x", new_id())),
        _signed({**good, "iss": "somebody"}),
        *(_signed({**good, special: "x"}) for special in ("scope", "share", "session")),
    ]
    store.as_user(_signed(good)).me()
    for token in tokens + (wrongly_claimed if place.checks_claims else []):
        _refusal(store.as_user(token).me)
        _refusal(partial(store.as_user(token).list_items, "media_jobs"))


def test_the_role_counts_as_it_stands_in_the_account_not_in_the_token(store: RecordStore, alice: Account) -> None:
    forged = _signed({**jwt.decode(alice.token, options={"verify_signature": False}), "admin_access": True})
    assert store.as_user(forged).me().admin is False
    _refusal(lambda: store.as_user(forged).list_items("media_job_runs"))


def test_a_tokens_claims_are_shaped_as_directus_has_them(alice: Account) -> None:
    claims = jwt.decode(alice.token, SECRET, ["HS256"], issuer="directus")
    assert set(claims) == {"id", "role", "app_access", "admin_access", "iat", "exp", "iss"}
