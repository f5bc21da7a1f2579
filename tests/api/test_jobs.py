"""Looking at jobs, retrying and cancelling them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from geniequeue.jobs.finish import finish
from geniequeue.jobs.outcome import Cancelled, Completed, Failed
from tests.api.conftest import Api
from tests.api.test_enqueue import end
from tests.conftest import Person

MEMBERS = {
    *("ok", "jobId", "bullJobId", "operation", "input_file_id", "priority", "state", "progress", "attempts"),
    *("retry_count", "outputs", "input", "trace", "error", "reason", "message", "peak_memory_bytes", "quota"),
    *("timings", "speed", "left_s"),
}
BAD_IDS = ["x", "..%2Fx", "x" * 10_000, "%00", "'%20OR%201=1", "%ff", "1", "e4b0f1c23d456789abcdef0123456789"]


@pytest.fixture
def job_id(api: Api) -> str:
    """A job that waits on its queue."""
    created = api.person.create_job()
    assert api.enqueue(created).status_code == 200
    return created


def show(api: Api, job_id: str, person: Person | None = None) -> Any:
    return api.get(f"/api/queue/jobs/{job_id}", person=person)


def test_a_waiting_job_is_shown_with_every_member(api: Api, job_id: str) -> None:
    shown = show(api, job_id).json
    assert set(shown) == MEMBERS
    assert (shown["ok"], shown["jobId"], shown["state"], shown["progress"]) == (True, job_id, "waiting", 0)
    assert set(shown["timings"]) == {"accepted_at", "started_at", "finished_at", "waited_s", "ran_s"}


def test_outputs_and_failures_are_shown(api: Api, services: Any, store: Any, job_id: str) -> None:
    output = {"file_id": str(uuid.uuid4()), "role": "output", "mime": "image/webp", "width_px": 1, "height_px": 2}
    end(services, store, job_id, Completed({"outputs": [output], "peak_memory_bytes": 5}))
    shown = show(api, job_id).json
    assert (shown["state"], shown["progress"], shown["outputs"]) == ("completed", 100, [output])
    failed = api.person.create_job()
    api.enqueue(failed)
    end(services, store, failed, Failed("input", "The file is empty.", "empty_file"))
    shown = show(api, failed).json
    assert (shown["state"], shown["error"], shown["reason"]) == ("failed", "input", "empty_file")
    assert shown["message"] == "The file is empty."


def test_another_persons_job_is_shown_to_an_administrator_only(
    api: Api, job_id: str, other_creator: Person, admin: Person
) -> None:
    assert show(api, job_id, other_creator).status_code == 404
    assert show(api, job_id, admin).status_code == 200
    assert show(api, str(uuid.uuid4())).status_code == 404


def test_the_state_of_another_job_is_not_reached_by_naming_it_in_an_item(
    api: Api, job_id: str, store: Any, services: Any
) -> None:
    spy = api.person.create_job()
    bull = show(api, job_id).json["bullJobId"]
    end(services, store, job_id, Failed("input", "secret"))
    store.as_service().update_item("media_jobs", spy, {"bull_job_id": bull})
    assert show(api, spy).json["state"] == "waiting"
    for odd in ("x", "bull:media-jobs:", ":::", "bull:media-jobs:x y"):
        store.as_service().update_item("media_jobs", spy, {"bull_job_id": odd})
        assert show(api, spy).status_code == 200


def test_the_list_has_the_callers_jobs_newest_first(api: Api, other_creator: Person, admin: Person) -> None:
    mine = [api.person.create_job() for _ in range(3)]
    theirs = other_creator.create_job()
    for job_id in mine:
        api.enqueue(job_id)
    listed = api.get("/api/queue/jobs").json
    assert {job["jobId"] for job in listed["jobs"]} == set(mine)
    accepted = [job["timings"]["accepted_at"] for job in listed["jobs"]]
    assert accepted == sorted(accepted, reverse=True)
    assert (listed["ok"], listed["page"], listed["total"]) == (True, 1, 3)
    assert {job["jobId"] for job in api.get("/api/queue/jobs", person=admin).json["jobs"]} == {*mine, theirs}


def test_the_list_can_be_narrowed(api: Api, services: Any, store: Any, job_id: str) -> None:
    done = api.person.create_job("strip_metadata", params={})
    api.enqueue(done, "strip_metadata")
    end(services, store, done, Completed({}))

    def ids(query: str) -> list[str]:
        return [job["jobId"] for job in api.get(f"/api/queue/jobs?{query}").json["jobs"]]

    assert ids("state=waiting") == [job_id]
    assert ids("state=completed") == [done]
    assert ids("state=delayed") == ids("state=active") == ids("state=failed") == []
    assert ids("operation=strip_metadata") == [done]
    assert ids("page=2") == []


@pytest.mark.parametrize(
    "query", ["state=odd", "state=", "operation=odd", "page=0", "page=-1", "page=x", "page=1.5", "page=" + "9" * 5000]
)
def test_a_list_that_makes_no_sense_is_refused(api: Api, query: str) -> None:
    answer = api.get(f"/api/queue/jobs?{query}")
    assert (answer.status_code, list(answer.json["errors"])) == (422, [query.partition("=")[0]])


def test_row_09_the_retry_of_another_persons_job_is_not_found(
    api: Api, services: Any, store: Any, job_id: str, other_creator: Person
) -> None:
    end(services, store, job_id, Failed("input", "Broken."))
    assert api.post(f"/api/queue/retry/{job_id}", person=other_creator).status_code == 404
    assert api.post(f"/api/queue/retry/{uuid.uuid4()}").status_code == 404


@pytest.mark.parametrize(
    ("outcome", "status"), [(None, "queued"), (Completed({}), "completed"), (Cancelled(), "cancelled")]
)
def test_row_10_the_retry_of_a_job_that_has_not_failed_is_told_its_state(
    api: Api, services: Any, store: Any, job_id: str, outcome: Any, status: str
) -> None:
    if outcome:
        end(services, store, job_id, outcome)
    answer = api.post(f"/api/queue/retry/{job_id}")
    assert (answer.status_code, answer.json["error"], answer.json["reason"]) == (409, "not_failed", status)


@pytest.mark.parametrize("bad", BAD_IDS)
def test_row_11_a_path_that_names_no_job_is_not_found(api: Api, bad: str) -> None:
    answers = [
        api.post(f"/api/queue/retry/{bad}"),
        api.get(f"/api/queue/jobs/{bad}"),
        api.post(f"/api/queue/jobs/{bad}/cancel"),
    ]
    assert [(answer.status_code, answer.json["error"]) for answer in answers] == [(404, "not_found")] * 3


def test_an_id_that_is_no_uuid_is_told_what_was_expected(api: Api) -> None:
    paths = (("POST", "retry/x"), ("GET", "jobs/x"), ("POST", "jobs/x/cancel"))
    for method, path in paths:
        assert "UUID" in api.request(method, f"/api/queue/{path}").json["message"], path
    assert "UUID" not in api.get("/api/queue/nothing").json["message"]


def test_a_failed_job_is_retried_at_priority_5_under_a_new_number(
    api: Api, services: Any, store: Any, job_id: str
) -> None:
    end(services, store, job_id, Failed("input", "Broken."))
    answer = api.post(f"/api/queue/retry/{job_id}")
    assert answer.json == {"ok": True, "bullJobId": "bull:media-jobs:2", "jobId": job_id}
    shown = show(api, job_id).json
    assert (shown["state"], shown["priority"], shown["retry_count"], shown["error"]) == ("waiting", 5, 1, None)


def test_a_waiting_job_is_cancelled_once(api: Api, job_id: str) -> None:
    answer = api.post(f"/api/queue/jobs/{job_id}/cancel")
    assert answer.json == {"ok": True, "jobId": job_id, "state": "cancelled"}
    again = api.post(f"/api/queue/jobs/{job_id}/cancel")
    assert (again.status_code, again.json["error"]) == (409, "already_final")


def test_a_running_job_is_told_to_stop(api: Api, services: Any, job_id: str) -> None:
    services.ledger.lease(services.producer.runs.latest(job_id), worker="w", lease_s=30)
    assert show(api, job_id).json["state"] == "active"
    assert api.post(f"/api/queue/jobs/{job_id}/cancel").json["state"] == "cancelling"


def test_another_persons_job_cannot_be_cancelled(api: Api, job_id: str, other_creator: Person) -> None:
    assert api.post(f"/api/queue/jobs/{job_id}/cancel", person=other_creator).status_code == 404


def test_an_end_is_shown_only_together_with_its_result(api: Api, services: Any, job_id: str) -> None:
    run = services.producer.runs.latest(job_id)
    attempt = services.ledger.lease(run, worker="w", lease_s=30).attempt
    services.ledger.finish(run, attempt, Failed("input", "The file is empty.", "empty_file"))
    assert show(api, job_id).json["state"] == "waiting"
    finish(
        services.store.as_service(), services.ledger, run, attempt, Failed("input", "The file is empty.", "empty_file")
    )
    shown = show(api, job_id).json
    assert (shown["state"], shown["error"], shown["reason"]) == ("failed", "input", "empty_file")
    assert shown["message"] == "The file is empty."


def test_a_job_that_was_never_sent_is_not_cancelled_but_explained(api: Api, creator: Person) -> None:
    answer = api.post(f"/api/queue/jobs/{creator.create_job()}/cancel")
    assert (answer.status_code, answer.json["error"]) == (409, "not_accepted")
    assert "never sent" in answer.json["message"]


def test_a_job_that_was_never_sent_is_created_and_neither_waits_nor_was_accepted(
    api: Api, creator: Person, job_id: str
) -> None:
    unsent = creator.create_job()
    shown = show(api, unsent).json
    assert (shown["state"], shown["timings"]["accepted_at"], shown["timings"]["waited_s"]) == ("created", None, None)
    for state, expected in (("created", [unsent]), ("waiting", [job_id])):
        listed = api.get(f"/api/queue/jobs?state={state}").json
        assert ([job["jobId"] for job in listed["jobs"]], listed["total"]) == (expected, 1)


def test_the_retry_of_a_job_that_was_never_sent_says_so(api: Api, creator: Person) -> None:
    answer = api.post(f"/api/queue/retry/{creator.create_job()}")
    assert (answer.status_code, answer.json["error"], answer.json["reason"]) == (409, "not_failed", "queued")
    assert "never sent" in answer.json["message"]


def test_a_job_of_the_callers_profile_is_in_his_list(api: Api, services: Any, creator: Person) -> None:
    service = services.store.as_service()
    profile = service.create_item("creator_profiles", {"user_id": creator.user.id, "platform": "x"})
    item = service.create_item("media_jobs", {"operation": "resize_image", "creator_profile_id": profile["id"]})
    listed = [job["jobId"] for job in api.get("/api/queue/jobs").json["jobs"]]
    assert item["id"] in listed
