"""What DirectusStore makes of a Directus that is down, slow, wrong, or cut off in the middle."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from geniequeue.errors import RecordForbidden, RecordNotUnique, RecordsUnavailable, ServiceTokenRefused
from geniequeue.records.directus import DirectusStore
from geniequeue.records.protocol import Records
from tests.contract.conftest import new_id, run_of, store_file
from tests.directus.store.conftest import refusing
from tests.directus_fixture import SERVICE_TOKEN, DirectusPlace
from tests.fault_proxy import Fault, FaultProxy, http_answer
from tests.real_directus import free_port

JOB = {"operation": "resize_image"}


WRONG_ANSWERS = {
    "html": http_answer(200, b"<html>Welcome to nginx</html>"),
    "truncated": http_answer(200, b'{"data": {"id": "', "Content-Length: 900"),
    "half json": http_answer(200, b'{"data": {"id": "'),
    "a list": http_answer(200, b"[]"),
    "no data": http_answer(200, b"{}"),
    "data of another type": http_answer(200, b'{"data": 5}'),
    "an item without its fields": http_answer(200, b'{"data": {"id": "x"}}'),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "nothing": b"",
    "a redirect": http_answer(302, b"", "Location: /admin"),
    "502 by a proxy": http_answer(502, b"<html>Bad Gateway</html>"),
    "404 by another server": http_answer(404, b"not found"),
    "500": http_answer(500, b'{"errors": [{"extensions": {"code": "INTERNAL_SERVER_ERROR"}}]}'),
    "an error without reason": http_answer(400, b'{"errors": []}'),
    "a wrong reason": http_answer(400, b'{"errors": [{"extensions": []}]}'),
}

MISSHAPEN = {"data of another type", "an item without its fields"}
"""Well-formed answers; asking again would bring the same."""


@pytest.mark.parametrize("answer", WRONG_ANSWERS.values(), ids=WRONG_ANSWERS)
def test_an_answer_that_is_none_names_collection_and_action(service: Records, proxy: FaultProxy, answer: bytes) -> None:
    proxy.arm(*[Fault(answer=answer)] * 4)
    with pytest.raises(RecordsUnavailable) as caught:
        service.get_item("media_jobs", new_id())
    assert (caught.value.collection, caught.value.action) == ("media_jobs", "read")


@pytest.mark.parametrize("name", sorted(WRONG_ANSWERS.keys() - MISSHAPEN))
def test_one_wrong_answer_does_no_harm(service: Records, proxy: FaultProxy, name: str) -> None:
    job = service.create_item("media_jobs", JOB)
    proxy.arm(Fault(answer=WRONG_ANSWERS[name]))
    assert service.get_item("media_jobs", job["id"]) == job


def test_a_directus_that_is_down_is_told_at_once(pauses: list[float]) -> None:
    service = DirectusStore(f"http://127.0.0.1:{free_port()}", "t", sleep=pauses.append).as_service()
    started = time.monotonic()
    for attempt in (service.me, lambda: service.create_item("media_jobs", JOB)):
        with pytest.raises(RecordsUnavailable):
            attempt()
    assert time.monotonic() - started < 1
    assert len(pauses) == 6
    assert all(pause <= 2 for pause in pauses)


def test_a_body_that_drips_is_given_up_at_the_deadline(proxy: FaultProxy) -> None:
    service = DirectusStore(proxy.url, SERVICE_TOKEN, deadline_s=0.5).as_service()
    proxy.arm(Fault(answer=http_answer(200, b'{"data": ' + b" " * 10_000 + b"1}"), drip_s=0.002))
    started = time.monotonic()
    with pytest.raises(RecordsUnavailable):
        service.get_item("media_jobs", new_id())
    assert time.monotonic() - started < 3


def test_an_answer_that_comes_too_late_is_not_waited_for(proxy: FaultProxy) -> None:
    service = DirectusStore(proxy.url, SERVICE_TOKEN, deadline_s=0.4).as_service()
    proxy.arm(Fault(delay_s=5))
    started = time.monotonic()
    with pytest.raises(RecordsUnavailable):
        service.list_items("media_jobs")
    assert time.monotonic() - started < 2


def test_an_item_whose_creation_was_answered_into_the_void_is_created_once(
    service: Records, proxy: FaultProxy, directus_place: DirectusPlace
) -> None:
    proxy.arm(Fault(cut_answer_after=0))
    run = run_of(new_id())
    assert service.create_item("media_job_runs", run)["id"] == run["id"]
    proxy.arm(Fault(cut_answer_after=0))
    assert service.create_item("media_jobs", JOB)["user_created"] is None
    counts = [directus_place.store.as_service().count_items(name) for name in ("media_job_runs", "media_jobs")]
    assert counts == [1, 1]


def test_an_id_somebody_else_took_is_refused_even_after_a_lost_answer(service: Records, proxy: FaultProxy) -> None:
    run = service.create_item("media_job_runs", run_of(new_id()))
    proxy.arm(Fault(cut_answer_after=0))
    with pytest.raises(RecordNotUnique):
        service.create_item("media_job_runs", run_of(new_id(), id=run["id"], bull_job_id="bull:media-jobs:2"))
    assert service.get_item("media_job_runs", run["id"]) == run


def test_changing_and_deleting_survive_a_lost_answer(service: Records, proxy: FaultProxy) -> None:
    job = service.create_item("media_jobs", JOB)["id"]
    proxy.arm(Fault(cut_answer_after=10))
    assert service.update_item("media_jobs", job, {"progress": 40})["progress"] == 40
    proxy.arm(Fault("DELETE", cut_answer_after=0))
    service.delete_item("media_jobs", job)
    with pytest.raises(RecordForbidden):
        service.get_item("media_jobs", job)


def test_a_pause_that_directus_asks_for_holds_for_every_call(
    service: Records, proxy: FaultProxy, pauses: list[float]
) -> None:
    proxy.arm(refusing(429, "REQUESTS_EXCEEDED", "Retry-After: 2"))
    service.count_items("media_jobs")
    assert pauses[0] == pytest.approx(2, abs=0.2)
    service.count_items("media_jobs")
    assert pauses[1] > 1.5


def test_a_pause_longer_than_a_call_may_take_is_told_to_the_caller(
    store: DirectusStore, service: Records, proxy: FaultProxy, photo: Path, pauses: list[float]
) -> None:
    proxy.arm(refusing(429, "REQUESTS_EXCEEDED", "Retry-After: 60"))
    for attempt in (service.me, lambda: service.count_items("media_jobs"), lambda: store_file(service, photo)):
        with pytest.raises(RecordsUnavailable) as caught:
            attempt()
        assert caught.value.retry_after_s == pytest.approx(60, abs=1)
    assert pauses == []


@pytest.mark.parametrize("fault", [refusing(401, "INVALID_CREDENTIALS"), refusing(403, "INVALID_TOKEN")])
def test_a_refused_token_is_the_operators_matter_for_the_service_and_the_callers_otherwise(
    store: DirectusStore, service: Records, proxy: FaultProxy, fault: Fault
) -> None:
    proxy.arm(fault)
    with pytest.raises(ServiceTokenRefused, match="DIRECTUS_TOKEN"):
        service.get_item("media_jobs", new_id())
    proxy.arm(fault)
    with pytest.raises(RecordForbidden) as caught:
        store.as_user("token").get_item("media_jobs", new_id())
    assert caught.value.action == "authenticate"


def test_a_missing_right_of_the_service_names_collection_and_action(service: Records, proxy: FaultProxy) -> None:
    proxy.arm(refusing(403, "FORBIDDEN"))
    with pytest.raises(RecordForbidden, match="media_job_runs") as caught:
        service.create_item("media_job_runs", run_of(new_id()))
    assert (caught.value.collection, caught.value.action) == ("media_job_runs", "create")


def test_a_change_answered_with_nothing_found_nothing(service: Records, proxy: FaultProxy) -> None:
    proxy.arm(Fault(answer=http_answer(204, b"")))
    with pytest.raises(RecordForbidden):
        service.update_item("media_jobs", new_id(), {"progress": 1})


def test_many_threads_share_the_pool(service: Records, proxy: FaultProxy) -> None:
    start = threading.Barrier(16)

    def ask(_: int) -> int:
        start.wait()
        return service.count_items("media_jobs")

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(16))) == {0}


FORKING = """
import os, sys
from geniequeue.records.directus import DirectusStore
service = DirectusStore(*sys.argv[1:]).as_service()
service.count_items("media_jobs")
children = []
for _ in range(4):
    children.append(os.fork())
    if not children[-1]:
        os._exit(10 + service.count_items("media_jobs"))
assert service.count_items("media_jobs") == 0
assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [10] * 4
"""


def test_a_forked_process_opens_connections_of_its_own(directus_place: DirectusPlace) -> None:
    # a program of its own, for a process with threads, such as this one, must not be forked and go on
    command = [sys.executable, "-c", FORKING, directus_place.server.url, SERVICE_TOKEN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
