"""The quota on a real Directus: 50 at once, what gives a unit back, and F43: a source that fails open."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import structlog
from structlog.testing import capture_logs

from geniequeue.jobs.job import run_id_of
from geniequeue.records.directus_state import SERVICE_POLICY
from tests.accounts import Account
from tests.api.test_quota import LIMIT_REACHED
from tests.directus.conftest import DirectusService, await_end, new_user_name
from tests.directus.in_process import DirectusApi
from tests.directus_fixture import DirectusPlace
from tests.fault_proxy import Fault, http_answer
from tests.service import await_true

FEATURE = "media_modifications"
LIMIT = 5
USAGE = "user_usage_counts"
ASKED = f"GET /items/{USAGE}"
SENT = 50
SLOW_S = 10.0


def starter(place: DirectusPlace) -> Account:
    """Return somebody new on the smallest plan."""
    account = place.account(new_user_name())
    place.request("PATCH", f"/users/{account.id}", {"subscription_tier": "starter"})
    return account


def rows(place: DirectusPlace, account: Account) -> dict[str, int]:
    """Return the counts of somebody's usage in Directus, by id."""
    found = place.store.as_service().list_items(USAGE, {"user_id": account.id})
    return {row["id"]: row["count"] for row in found}


def used_before(place: DirectusPlace, account: Account, count: int) -> str:
    """Count something in this cycle, as an older system did; return the row's id."""
    month = datetime.now(UTC).strftime("%Y-%m-01T00:00:00.000Z")
    row = {"user_id": account.id, "feature": FEATURE, "billing_cycle_start": month, "count": count}
    return str(place.store.as_service().create_item(USAGE, row)["id"])


def items(account: Account, file_id: str, number: int = 1) -> list[str]:
    """Create jobs as the web app does; return their ids."""
    item = {"operation": "resize_image", "input_file_id": file_id, "params": {"width": 64}}
    return [str(account.records.create_item("media_jobs", item)["id"]) for _ in range(number)]


def left(service: DirectusService, account: Account) -> Any:
    """Return how many images somebody may still have changed."""
    answer = service.request("GET", "/api/queue/quota", account.token)
    assert answer.status == 200, answer.body
    [images] = [each for each in answer.body["features"] if each["feature"] == FEATURE]
    return images["remaining"]


def upload(account: Account, photo: Path) -> str:
    """Store a photograph; return its id."""
    file_id = str(uuid.uuid4())
    account.records.upload(photo, file_id=file_id, filename=photo.name, mime="image/jpeg")
    return file_id


def test_of_fifty_at_once_against_one_unit_that_is_left_exactly_one_comes_in(
    service: DirectusService, photo: Path
) -> None:
    creator = starter(service.place)
    before = used_before(service.place, creator, LIMIT - 1)
    jobs = items(creator, upload(creator, photo), SENT)

    def post(job_id: str) -> requests.Response:
        body = {"jobId": job_id, "operation": "resize_image"}
        headers = {"Authorization": f"Bearer {creator.token}"}
        return requests.post(f"{service.url}/api/queue/media", json=body, headers=headers, timeout=30)

    with ThreadPoolExecutor(SENT) as pool:
        answers = list(pool.map(post, jobs))

    assert sorted(answer.status_code for answer in answers) == [200] + [403] * (SENT - 1)
    assert [answer.json() for answer in answers if answer.status_code == 403] == [LIMIT_REACHED] * (SENT - 1)
    [accepted] = [answer.json()["jobId"] for answer in answers if answer.status_code == 200]
    assert await_end(service, accepted)["status"] == "completed"
    counted = {before: LIMIT - 1, run_id_of(accepted, 1): 1}
    await_true(lambda: rows(service.place, creator) == counted, 20, lambda: rows(service.place, creator))
    assert left(service, creator) == 0
    assert service.place.store.as_service().count_items("media_job_runs", {"job_id": {"_in": jobs}}) == 1


def test_a_job_that_fails_because_of_the_store_gives_its_unit_back_and_its_retry_takes_another(
    watched: DirectusService, photo: Path
) -> None:
    creator = starter(watched.place)
    [job_id] = items(creator, upload(creator, photo))
    watched.proxy.arm(Fault("POST /files", answer=http_answer(413, b"<html>too large</html>")))
    assert watched.enqueue(creator.token, job_id, "resize_image").status == 200
    item = await_end(watched, job_id)
    assert (item["status"], item["error_code"]) == ("failed", "upstream")
    assert left(watched, creator) == LIMIT

    assert watched.request("POST", f"/api/queue/retry/{job_id}", creator.token).status == 200
    assert left(watched, creator) == LIMIT - 1
    assert await_end(watched, job_id)["status"] == "completed"
    counted = {run_id_of(job_id, 2): 1}
    await_true(lambda: rows(watched.place, creator) == counted, 20, lambda: rows(watched.place, creator))


def test_a_job_that_fails_because_of_its_input_keeps_its_unit_and_its_retry_goes_on_with_it(
    watched: DirectusService, photo: Path, tmp_path: Path
) -> None:
    creator = starter(watched.place)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo.read_bytes()[:2000])
    [job_id] = items(creator, upload(creator, broken))
    assert watched.enqueue(creator.token, job_id, "resize_image").status == 200
    assert await_end(watched, job_id)["error_code"] == "input"
    assert left(watched, creator) == LIMIT - 1

    assert watched.request("POST", f"/api/queue/retry/{job_id}", creator.token).status == 200
    watched.await_final(creator.token, job_id)
    assert left(watched, creator) == LIMIT - 1
    counted = {run_id_of(job_id, 1): 1}
    await_true(lambda: rows(watched.place, creator) == counted, 20, lambda: rows(watched.place, creator))


def test_a_job_cancelled_before_it_ran_gives_its_unit_back(watched: DirectusService, photo: Path) -> None:
    creator = starter(watched.place)
    [job_id] = items(creator, upload(creator, photo))
    watched.hold_workers()
    try:
        assert watched.enqueue(creator.token, job_id, "resize_image").status == 200
        assert left(watched, creator) == LIMIT - 1
        cancelled = watched.request("POST", f"/api/queue/jobs/{job_id}/cancel", creator.token)
        assert cancelled.body["state"] == "cancelled"
        assert left(watched, creator) == LIMIT
    finally:
        watched.hold_workers(hold=False)
    assert rows(watched.place, creator) == {}


def refusal(status: int, code: str) -> bytes:
    """Return a refusal as Directus words it."""
    return http_answer(status, json.dumps({"errors": [{"message": "no", "extensions": {"code": code}}]}).encode())


def said(rows: Any) -> bytes:
    """Return an answer of Directus."""
    return http_answer(200, json.dumps({"data": rows}).encode())


BROKEN = {
    "down": Fault(ASKED, cut_request_after=1),
    "slow": Fault(ASKED, delay_s=SLOW_S),
    "500": Fault(ASKED, answer=http_answer(500, b"{}")),
    "html": Fault(ASKED, answer=http_answer(200, b"<html>Welcome to nginx</html>")),
    "truncated": Fault(ASKED, answer=http_answer(200, b'{"data": [{"id"', "Content-Length: 900")),
    "another shape": Fault(ASKED, answer=said({"id": 7})),
    "rows of another shape": Fault(ASKED, answer=said([{"id": 7, "count": "many"}])),
    "rows that make no sense": Fault(ASKED, answer=said([{"id": str(uuid.uuid4()), "count": 2_000_000_000}])),
    "token refused": Fault(ASKED, answer=refusal(401, "INVALID_CREDENTIALS")),
    "right missing": Fault(ASKED, answer=refusal(403, "FORBIDDEN")),
}
REFUSED = ("token refused", "right missing")


def unverified_jobs(api: DirectusApi) -> int:
    """Return how many jobs were let through unverified."""
    numbers = api.services.quota.numbers.read()
    return sum(int(number) for field, number in numbers.items() if field.startswith("quota_unverified|"))


def ready(api: DirectusApi) -> bool:
    """Tell whether the check of the quota is green."""
    return bool(api.client.get("/readyz").json["checks"]["quota"]["ok"])


@pytest.mark.parametrize("name", BROKEN)
def test_f43_a_broken_source_lets_the_job_through_and_says_so(
    directus_api: DirectusApi, photo: Path, name: str
) -> None:
    place, proxy = directus_api.place, directus_api.proxy
    creator = starter(place)
    [job_id] = items(creator, upload(creator, photo))
    proxy.lasting.append(BROKEN[name])
    before, began = unverified_jobs(directus_api), time.monotonic()
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        answer = directus_api.enqueue(creator, job_id)

    assert answer.status_code == 200, answer.json
    assert time.monotonic() - began < SLOW_S
    assert proxy.seen(ASKED)
    item = place.store.as_service().get_item("media_jobs", job_id)
    assert (item["status"], item["quota"]) == ("queued", "unverified")
    assert unverified_jobs(directus_api) == before + 1
    [warning] = [line for line in lines if line["event"].startswith("quota unverified")]
    assert (warning["log_level"], warning["job_id"]) == ("warning", job_id)
    assert ready(directus_api) is (name not in REFUSED)

    proxy.behave()
    directus_api.services.quota.settle()
    assert ready(directus_api)


def test_f43_an_unverified_job_is_counted_when_the_source_is_back(watched: DirectusService, photo: Path) -> None:
    creator = starter(watched.place)
    used_before(watched.place, creator, LIMIT)
    [job_id, refused] = items(creator, upload(creator, photo), 2)
    watched.proxy.lasting.append(BROKEN["500"])
    assert watched.enqueue(creator.token, job_id, "resize_image").status == 200
    watched.proxy.behave()
    assert await_end(watched, job_id)["quota"] == "unverified"
    run_id = run_id_of(job_id, 1)
    await_true(lambda: run_id in rows(watched.place, creator), 20, lambda: rows(watched.place, creator))
    assert watched.enqueue(creator.token, refused, "resize_image").status == 403
    warnings = [line for line in watched.log().splitlines() if "quota unverified" in line and job_id in line]
    assert len(warnings) == 1
    assert json.loads(warnings[0])["level"] == "warning"


@contextmanager
def without_right(place: DirectusPlace, action: str) -> Iterator[None]:
    """Take a right to the usage from the service's policy until the block ends, as an administrator would."""
    query = f"filter[policy][_eq]={SERVICE_POLICY}&filter[collection][_eq]={USAGE}&filter[action][_eq]={action}"
    [permission] = place.request("GET", f"/permissions?{query}")
    place.request("DELETE", f"/permissions/{permission['id']}")
    try:
        yield
    finally:
        place.request("POST", "/permissions", {name: permission[name] for name in permission if name != "id"})


@pytest.mark.parametrize("action", ["read", "create"])
def test_f43_a_service_without_the_right_goes_on_and_readyz_is_red_until_it_has_it(
    watched: DirectusService, photo: Path, action: str
) -> None:
    creator = starter(watched.place)
    [job_id] = items(creator, upload(creator, photo))

    def check() -> Any:
        return watched.request("GET", "/readyz").body["checks"]["quota"]

    assert check()["ok"]
    with without_right(watched.place, action):
        assert watched.enqueue(creator.token, job_id, "resize_image").status == 200
        item = await_end(watched, job_id)
        assert (item["status"], item["quota"]) == ("completed", "unverified" if action == "read" else None)
        await_true(lambda: not check()["ok"], 20, check)
        assert watched.request("GET", "/readyz").status == 503
    await_true(lambda: check()["ok"] and run_id_of(job_id, 1) in rows(watched.place, creator), 30, watched.log)


def test_what_is_left_is_503_while_directus_does_not_say(directus_api: DirectusApi) -> None:
    creator = starter(directus_api.place)
    answer = directus_api.get("/api/queue/quota", creator.token)
    assert (answer.status_code, answer.json["tier"]) == (200, "starter")
    other = starter(directus_api.place)
    for broken in ("500", "right missing", "rows that make no sense"):
        directus_api.proxy.lasting[:] = [BROKEN[broken]]
        answer = directus_api.get("/api/queue/quota", other.token)
        assert (answer.status_code, answer.json["error"]) == (503, "records_unavailable"), broken
        assert int(answer.headers["Retry-After"]) > 0


def test_accepting_a_job_of_somebody_known_costs_no_call_for_the_quota(directus_api: DirectusApi, photo: Path) -> None:
    creator = starter(directus_api.place)
    first, second = items(creator, upload(creator, photo), 2)
    assert directus_api.enqueue(creator, first).status_code == 200
    assert [line.partition("?")[0] for line in directus_api.proxy.requests].count(ASKED) == 1
    directus_api.proxy.requests.clear()
    assert directus_api.enqueue(creator, second).status_code == 200
    assert len(directus_api.proxy.requests) == 4
    assert not directus_api.proxy.seen(ASKED)
