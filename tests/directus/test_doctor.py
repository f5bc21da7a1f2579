"""`geniequeue doctor` on a real Directus: what it says where all is well, and what it foretells where it is not."""

from __future__ import annotations

import email.utils
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from geniequeue.cli.checks_directus import clock_finding, directus_findings
from geniequeue.cli.finding import Finding
from geniequeue.cli.probes import probe_id
from geniequeue.cli.rights import NEEDED
from geniequeue.config import Settings, load_settings
from geniequeue.records.directus import DirectusStore
from geniequeue.records.directus_state import CREATOR_POLICY, SERVICE_ACCOUNT, SERVICE_POLICY, SERVICE_ROLE
from geniequeue.records.installer import apply, plan
from geniequeue.records.schema import COLLECTIONS
from tests.directus.conftest import DirectusService
from tests.directus.store.conftest import refusing
from tests.directus_fixture import SERVICE_TOKEN, DirectusPlace
from tests.fault_proxy import Fault, FaultProxy, fault_proxy, http_answer
from tests.service import free_port

Doctor = Callable[..., list[Finding]]
PROBED = [right for right in NEEDED if right[0] in (*COLLECTIONS, "directus_files")]


@pytest.fixture
def proxy(directus_place: DirectusPlace) -> Iterator[FaultProxy]:
    with fault_proxy(directus_place.server.url) as proxy:
        yield proxy


@pytest.fixture
def doctor(directus_place: DirectusPlace, proxy: FaultProxy) -> Doctor:
    """Return what runs the checks of Directus, with other settings where given."""

    def run(**values: str) -> list[Finding]:
        settings = settings_of(directus_place, proxy.url, **values)
        return list(directus_findings(settings, settings.directus_url or ""))

    return run


def settings_of(place: DirectusPlace, url: str, **values: str) -> Settings:
    given = {"DIRECTUS_URL": url, "DIRECTUS_TOKEN": SERVICE_TOKEN, "DIRECTUS_SECRET": place.server.secret}
    return load_settings({"REDIS_URL": "redis://127.0.0.1/0", **given, **values})


def problems(found: list[Finding]) -> list[str]:
    return [each.found for each in found if each.verdict == "problem"]


def warnings(found: list[Finding]) -> list[str]:
    return [each.found for each in found if each.verdict == "warning"]


def left_behind(place: DirectusPlace) -> dict[str, int]:
    """Return how many rows each collection has, and how many contents are stored."""
    rows = {name: int(place.server.sql(f'SELECT count(*) FROM "{name}"')) for name in (*COLLECTIONS, "directus_files")}  # noqa: S608
    return {**rows, "contents": len(list(place.server.uploads.iterdir()))}


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(directus_place: DirectusPlace) -> Iterator[None]:
    """Whatever a test does to the server: the probes are gone, and the definition is whole again."""
    yield
    assert not any(left_behind(directus_place).values())
    admin = DirectusStore(directus_place.server.url, directus_place.server.admin_token)
    apply(admin, plan(admin, creator_role=directus_place.roles[False]))


def test_all_is_well_on_the_running_service(service: DirectusService) -> None:
    done = service.cli("doctor")
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("all is well\n")
    for name in ("Redis clock", "Directus clock", "secret", "fields", "rights", "account", "creators"):
        assert re.search(rf"{name} +ok ", done.stdout), name
    for secret in (SERVICE_TOKEN, service.place.server.secret):
        assert secret not in done.stdout + done.stderr


def test_every_right_is_tried_and_no_row_is_left(doctor: Doctor, proxy: FaultProxy) -> None:
    found = doctor()
    assert {each.verdict for each in found} == {"ok"}, found
    methods = {"create": "POST", "read": "GET", "update": "PATCH", "delete": "DELETE"}
    for collection, action in PROBED:
        path = "/files" if collection == "directus_files" else f"/items/{collection}"
        assert proxy.seen(f"{methods[action]} {path}"), (collection, action)
    for collection, action in set(NEEDED) - set(PROBED):
        assert action == "read" and proxy.seen(f"GET /{collection.removeprefix('directus_')}?"), collection


@contextmanager
def without(place: DirectusPlace, collection: str, action: str, **instead: Any) -> Iterator[None]:
    """Take a right away from the service's policy, or narrow it."""
    query = {
        "_and": [{"policy": {"_eq": SERVICE_POLICY}}, {"collection": {"_eq": collection}}, {"action": {"_eq": action}}]
    }
    (row,) = place.request("GET", f"/permissions?filter={json.dumps(query)}".replace(" ", ""))
    path = f"/permissions/{row['id']}"
    place.request("PATCH", path, instead) if instead else place.request("DELETE", path)
    yield


@pytest.mark.parametrize(("collection", "action"), [
    *PROBED[:4], ("directus_files", "delete"), ("creator_profiles", "read"), ("media_job_results", "create"),
    ("directus_users", "read"),
])  # fmt: skip
def test_a_right_that_is_missing_is_foretold_by_collection_and_action(
    doctor: Doctor, directus_place: DirectusPlace, collection: str, action: str
) -> None:
    with without(directus_place, collection, action):
        assert problems(doctor()) == [f"the service's account may not {action} {collection}"]


@pytest.mark.parametrize("instead", [{"permissions": {"status": {"_eq": "queued"}}}, {"fields": ["id", "status"]}])
def test_a_right_that_was_narrowed_is_foretold(
    doctor: Doctor, directus_place: DirectusPlace, instead: dict[str, Any]
) -> None:
    with without(directus_place, "media_jobs", "update", **instead):
        assert problems(doctor()) == ["the service's account may update media_jobs in part only"]


@pytest.mark.parametrize(("request_line", "right"), [
    ("POST /items/media_jobs", "create media_jobs"),
    ("PATCH /items/creator_profiles", "update creator_profiles"),
    ("POST /files", "create directus_files"),
    ("GET /assets/", "read directus_files"),
])  # fmt: skip
def test_a_right_that_is_granted_but_refused_is_foretold(
    doctor: Doctor, proxy: FaultProxy, request_line: str, right: str
) -> None:
    proxy.lasting.append(refusing(403, "FORBIDDEN", on=request_line))
    (found,) = problems(doctor())
    assert found.startswith(f"may {right}, but cannot: ")


def test_a_probe_that_could_not_be_deleted_is_named_and_gone_after_the_next_run(
    doctor: Doctor, directus_place: DirectusPlace, proxy: FaultProxy
) -> None:
    proxy.lasting.append(refusing(403, "FORBIDDEN", on="DELETE /items/user_usage_counts"))
    proxy.lasting.append(refusing(403, "FORBIDDEN", on="DELETE /files"))
    assert [found.partition(",")[0] for found in problems(doctor())] == [
        "may delete user_usage_counts", "may delete directus_files",
    ]  # fmt: skip
    assert left_behind(directus_place)["user_usage_counts"] == 1
    proxy.behave()
    assert problems(doctor()) == []


def test_a_probe_run_is_not_open_for_a_worker_to_take(doctor: Doctor, directus_place: DirectusPlace) -> None:
    refused = refusing(403, "FORBIDDEN", on="DELETE /items/media_job_runs")
    with fault_proxy(directus_place.server.url) as proxy:
        proxy.lasting.append(refused)
        list(directus_findings(settings_of(directus_place, proxy.url), proxy.url))
    run = directus_place.store.as_service().get_item("media_job_runs", probe_id("media_job_runs"))
    assert run["open"] is False
    assert problems(doctor()) == []


def test_fields_that_are_missing_or_of_another_type_are_named(doctor: Doctor, directus_place: DirectusPlace) -> None:
    directus_place.request("DELETE", "/fields/media_jobs/started_at")
    directus_place.request("DELETE", "/fields/media_jobs/quota")
    directus_place.request(
        "POST", "/fields/media_jobs", {"field": "quota", "type": "integer", "meta": {}, "schema": {}}
    )
    found = problems(doctor())
    directus_place.request("DELETE", "/fields/media_jobs/quota")
    assert found == ["media_jobs.quota: expected the type string, got integer", "media_jobs.started_at: not there"]


def test_another_secret_than_that_of_directus_is_found_out(doctor: Doctor) -> None:
    found = doctor(DIRECTUS_SECRET="s" * 40)
    assert problems(found) == ["Directus does not sign with DIRECTUS_SECRET"]


def test_an_administrators_token_is_warned_of(doctor: Doctor, directus_place: DirectusPlace) -> None:
    found = doctor(DIRECTUS_TOKEN=directus_place.server.admin_token)
    assert (problems(found), warnings(found)) == ([], ["DIRECTUS_TOKEN is an administrator's"])


def test_a_right_that_is_not_needed_is_warned_of(doctor: Doctor, directus_place: DirectusPlace) -> None:
    policy = directus_place.request("POST", "/policies", {"name": "more"})["id"]
    right = {"policy": policy, "collection": "directus_flows", "action": "update", "fields": ["*"], "permissions": {}}
    directus_place.request("POST", "/permissions", right)
    directus_place.request("POST", "/access", {"role": SERVICE_ROLE, "policy": policy})
    found = doctor()
    directus_place.request("DELETE", f"/policies/{policy}")
    assert (problems(found), warnings(found)) == ([], ["may also update directus_flows"])


def test_creators_without_a_role_are_missed(doctor: Doctor, directus_place: DirectusPlace) -> None:
    query = json.dumps({"policy": {"_eq": CREATOR_POLICY}}).replace(" ", "")
    (link,) = directus_place.request("GET", f"/access?filter={query}")
    directus_place.request("DELETE", f"/access/{link['id']}")
    assert problems(doctor()) == ["no role holds the policy geniequeue creators"]


def test_the_public_as_creators_is_a_problem(doctor: Doctor, directus_place: DirectusPlace) -> None:
    link = directus_place.request("POST", "/access", {"policy": CREATOR_POLICY})["id"]
    found = problems(doctor())
    directus_place.request("DELETE", f"/access/{link}")
    assert found == ["whoever has not signed in is one"]


def test_a_refused_token_ends_the_checks(doctor: Doctor) -> None:
    for token in (uuid.uuid4().hex, "with a line\nbreak"):
        (found,) = doctor(DIRECTUS_TOKEN=token)
        assert (found.verdict, found.found) == ("problem", "it refuses the token of the service's account")


def test_nobody_at_the_address_ends_the_checks(directus_place: DirectusPlace) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    (found,) = directus_findings(settings_of(directus_place, url), url)
    assert found.verdict == "problem" and "nothing listens there" in found.found


def test_a_server_that_goes_away_in_between_is_a_problem_not_a_crash(doctor: Doctor, proxy: FaultProxy) -> None:
    proxy.lasting.append(Fault("GET /permissions/me", answer=http_answer(502, b"<html>", "Content-Type: text/html")))
    found = doctor()
    assert found[-1].verdict == "problem" and "status 502" in found[-1].found


def test_an_hour_between_the_clocks_is_named_and_does_not_hide_the_secret(doctor: Doctor, proxy: FaultProxy) -> None:
    info = json.dumps({"data": {"project": {}, "version": "11.17.4"}}).encode()
    date = f"Date: {email.utils.formatdate(time.time() + 3600, usegmt=True)}"
    proxy.arm(Fault("GET /server/info", answer=http_answer(200, info, date)))
    (found,) = problems(doctor())
    assert found.endswith(", ahead") and 3599 < float(found.split()[2]) < 3602


def test_a_version_that_was_not_tested_is_warned_of(doctor: Doctor, proxy: FaultProxy) -> None:
    info = json.dumps({"data": {"project": {}, "version": "12.0.0"}}).encode()
    proxy.arm(Fault("GET /server/info", answer=http_answer(200, info)))
    assert warnings(doctor()) == [f"12.0.0 at {proxy.url}", "it tells no time"]


@pytest.mark.parametrize(("least_s", "most_s", "verdict"), [
    (-0.5, 0.6, "ok"), (4.5, 5.6, "ok"), (5.1, 6.2, "problem"), (-7.0, -5.9, "problem"), (-30.0, 31.0, "ok"),
])  # fmt: skip
def test_a_clock_is_wrong_only_where_that_is_certain(least_s: float, most_s: float, verdict: str) -> None:
    found = clock_finding("Redis", least_s, most_s)
    assert found.verdict == verdict
    assert f"at most {max(abs(least_s), abs(most_s)):.1f} s" in found.found


def test_the_account_is_the_one_that_the_setup_made(directus_place: DirectusPlace) -> None:
    assert directus_place.store.as_service().me().id == SERVICE_ACCOUNT
