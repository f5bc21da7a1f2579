"""Row 46: who asks too often is told when to come back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import redis

from api.app import create_app
from api.services import build_services
from geniequeue.config import Settings, load_settings
from geniequeue.jobs import keys
from geniequeue.rate_limit import WINDOW_S
from tests.accounts import SECRET
from tests.api.conftest import Api, Server
from tests.api.test_service import api_rules
from tests.conftest import Person
from tests.redis_server import free_port

STATS = "/api/queue/stats"
INVALIDATE = "/api/queue/taxonomy/invalidate"
LIMIT = 4
PAUSE_S = WINDOW_S // LIMIT
NOT_COUNTED = {"/api/queue/operations"}
"""Answered from memory: counting would cost more than answering."""

MakeApi = Callable[..., Api]


@pytest.fixture
def limited(settings: Settings, redis_client: redis.Redis, creator: Person) -> MakeApi:
    """Make the application with limits of its own, on an empty Redis."""
    del redis_client

    def make(**changes: Any) -> Api:
        chosen = replace(settings, **{"writes_per_minute": LIMIT, "reads_per_minute": LIMIT, **changes})
        return Api(create_app(build_services(chosen)).test_client(), creator)

    return make


def statuses(api: Api, method: str, path: str, times: int, person: Person | None = None) -> list[int]:
    return [api.request(method, path, person=person).status_code for _ in range(times)]


def pass_time(redis_client: redis.Redis, api: Api, kind: str, seconds: float) -> None:
    """Have a user's requests of a kind be that much older."""
    redis_client.decrby(keys.rate(api.person.user.id, kind), int(seconds * 1_000_000))


def test_over_the_limit_the_answer_says_when_to_come_back(limited: MakeApi) -> None:
    api = limited()
    assert statuses(api, "GET", STATS, LIMIT) == [200] * LIMIT
    answer = api.get(STATS)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] in (str(PAUSE_S), str(PAUSE_S - 1))
    assert set(answer.json) == {"ok", "error", "message", "request_id"}
    assert (answer.json["ok"], answer.json["error"]) == (False, "rate_limited")
    assert f"at most {LIMIT} " in answer.json["message"]


def test_after_the_wait_one_more_gets_in_and_after_a_minute_as_many_as_before(
    limited: MakeApi, redis_client: redis.Redis
) -> None:
    api = limited()
    statuses(api, "GET", STATS, LIMIT)
    pass_time(redis_client, api, "read", PAUSE_S)
    assert statuses(api, "GET", STATS, 2) == [200, 429]
    pass_time(redis_client, api, "read", WINDOW_S)
    assert statuses(api, "GET", STATS, LIMIT + 1) == [200] * LIMIT + [429]


def test_a_request_that_was_refused_uses_nothing_up(limited: MakeApi, redis_client: redis.Redis) -> None:
    api = limited()
    assert statuses(api, "GET", STATS, LIMIT + 20)[LIMIT:] == [429] * 20
    pass_time(redis_client, api, "read", PAUSE_S)
    assert api.get(STATS).status_code == 200


def test_each_user_and_each_kind_of_request_has_a_limit_of_its_own(limited: MakeApi, other_creator: Person) -> None:
    api = limited(writes_per_minute=1)
    assert statuses(api, "POST", INVALIDATE, 2) == [200, 429]
    assert statuses(api, "POST", INVALIDATE, 2, other_creator) == [200, 429]
    assert statuses(api, "GET", STATS, LIMIT) == [200] * LIMIT


def test_every_resource_is_counted_whatever_it_would_have_answered(limited: MakeApi, redis_client: redis.Redis) -> None:
    api = limited(writes_per_minute=1, reads_per_minute=1)
    for method, path in api_rules(api.client.application):
        redis_client.flushdb()
        first, second = statuses(api, method, path, 2)
        assert first != 429
        assert (second == 429) is (path not in NOT_COUNTED), path


def test_every_resource_that_is_counted_documents_it(limited: MakeApi) -> None:
    document = limited().client.get("/api/docs/openapi.json").json
    for path, item in document["paths"].items():
        for method in {"get", "post"} & set(item):
            assert ("429" in item[method]["responses"]) is (path not in NOT_COUNTED), (method, path)


def test_of_many_requests_at_once_exactly_the_limit_gets_in(limited: MakeApi) -> None:
    api = limited(writes_per_minute=10)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: api.post(INVALIDATE).status_code, range(50)))
    assert sorted(answers) == [200] * 10 + [429] * 40


def test_redis_is_asked_once_for_a_hundredth_of_the_limit(limited: MakeApi, redis_client: redis.Redis) -> None:
    api = limited(writes_per_minute=600)
    redis_client.config_resetstat()
    assert statuses(api, "POST", INVALIDATE, 60) == [200] * 60
    assert redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] == 10


def test_several_processes_keep_one_limit_between_them(limited: MakeApi) -> None:
    limit, ahead = 200, 2
    processes = [limited(writes_per_minute=limit) for _ in range(3)]
    began_s = time.monotonic()
    accepted = sum(statuses(api, "POST", INVALIDATE, 1) == [200] for _ in range(limit) for api in processes)
    refilled = (time.monotonic() - began_s) * limit / WINDOW_S
    assert limit - ahead * len(processes) <= accepted <= limit + refilled + 1


def test_a_limit_of_0_is_none_and_costs_nothing(limited: MakeApi, redis_client: redis.Redis) -> None:
    api = limited(writes_per_minute=0, reads_per_minute=0)
    assert statuses(api, "GET", STATS, 20) == [200] * 20
    assert redis_client.keys("gq:rate:*") == []


def test_the_count_is_forgotten_when_it_is_used_up(limited: MakeApi, redis_client: redis.Redis) -> None:
    api = limited()
    api.get(STATS)
    assert 0 < redis_client.pttl(keys.rate(api.person.user.id, "read")) <= PAUSE_S * 1000


def test_a_clock_that_was_set_back_locks_nobody_out(limited: MakeApi, redis_client: redis.Redis) -> None:
    api = limited()
    redis_client.set(keys.rate(api.person.user.id, "read"), int((time.time() + 3600) * 1_000_000))
    assert api.get(STATS).status_code == 200


def test_who_is_nobody_is_not_counted(limited: MakeApi, redis_client: redis.Redis) -> None:
    client = limited().client
    assert {client.get(STATS).status_code for _ in range(LIMIT + 1)} == {401}
    assert redis_client.keys("gq:rate:*") == []


def test_without_redis_the_answer_stays_503(limited: MakeApi) -> None:
    api = limited(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    for method, path in (("GET", STATS), ("POST", INVALIDATE)):
        answer = api.request(method, path)
        assert (answer.status_code, answer.json["error"]) == (503, "ledger_unavailable")
        assert int(answer.headers["Retry-After"]) > 0


@pytest.fixture
def full_redis(redis_client: redis.Redis) -> Iterator[None]:
    """A Redis that answers and takes no writes."""
    redis_client.config_set("maxmemory", "1")
    yield
    redis_client.config_set("maxmemory", "0")


@pytest.mark.usefixtures("full_redis")
def test_a_redis_that_takes_no_writes_keeps_nobody_from_reading(limited: MakeApi) -> None:
    api = limited()
    assert statuses(api, "GET", STATS, LIMIT + 1) == [200] * (LIMIT + 1)
    answer = api.post(INVALIDATE)
    assert (answer.status_code, answer.json["error"]) == (503, "ledger_unavailable")


def test_the_limits_are_settings(settings: Settings) -> None:
    assert (settings.writes_per_minute, settings.reads_per_minute) == (600, 6000)
    given = {"WRITES_PER_MINUTE": "7", "READS_PER_MINUTE": "0"}
    chosen = load_settings({"REDIS_URL": settings.redis_url, "DIRECTUS_SECRET": SECRET, **given})
    assert (chosen.writes_per_minute, chosen.reads_per_minute) == (7, 0)


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    return {"READS_PER_MINUTE": "1"}


def test_the_production_server_answers_so_too(server: Server) -> None:
    answers = [server.exchange(server.head("GET", STATS) + b"\r\n") for _ in range(2)]
    assert [status for status, _, _ in answers] == [200, 429]
    _, headers, body = answers[1]
    assert json.loads(body)["error"] == "rate_limited"
    assert 0 < int(headers["retry-after"]) <= WINDOW_S
