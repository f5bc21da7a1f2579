"""What letting somebody in asks of a real Directus, and what it answers while Directus does not."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import redis

from geniequeue.config import Settings
from geniequeue.jobs.workers import Workers
from geniequeue.operations import QUEUES
from geniequeue.readiness import RECORDS_AWAY, TOKEN_REFUSED
from tests.accounts import Account
from tests.directus.conftest import new_user_name
from tests.directus.in_process import DirectusApi, make_directus_api
from tests.directus.sign_in import log_in, static_token
from tests.directus.test_tokens import REFUSED, claims_of, refusal_of, sign
from tests.directus_fixture import DirectusPlace
from tests.fault_proxy import Fault, fault_proxy, http_answer

STATS = "/api/queue/stats"
ANSWER_WITHIN_S = 5.0


@pytest.fixture
def creator(directus_api: DirectusApi) -> Account:
    """Somebody who has signed in, and whom this process has not seen yet."""
    return directus_api.place.account(new_user_name())


def calls(api: DirectusApi, token: str) -> list[str]:
    """Send a request; return the calls to Directus that it took, without the ids in them."""
    api.proxy.requests.clear()
    api.get(STATS, token)
    return [request.partition("?")[0].rpartition("/")[0] for request in api.proxy.requests]


def test_a_user_who_was_here_lately_costs_no_call(directus_api: DirectusApi, creator: Account) -> None:
    assert [calls(directus_api, creator.token) for _ in range(3)] == [["GET /users"], [], []]
    assert calls(directus_api, sign(claims_of(creator.token) | {"iat": 1})) == []


@pytest.mark.parametrize("kind", ["session", "static"])
def test_a_token_that_directus_must_judge_costs_two_calls_and_then_none(directus_api: DirectusApi, kind: str) -> None:
    name = new_user_name()
    account = directus_api.place.account(name)
    token = (
        log_in(directus_api.place, name, "session") if kind == "session" else static_token(directus_api.place, account)
    )
    assert [calls(directus_api, token) for _ in range(2)] == [["GET /users", "GET /users"], []]
    assert calls(directus_api, account.token) == []


def test_many_requests_of_one_user_at_once_cost_one_call(directus_api: DirectusApi, creator: Account) -> None:
    directus_api.proxy.arm(Fault(delay_s=0.5))
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: directus_api.get(STATS, creator.token).status_code, range(20)))
    assert answers == [200] * 20
    assert len(directus_api.proxy.requests) == 1


@pytest.mark.parametrize("who", ["unknown", "deleted", "suspended", "draft", "invited", "archived"])
def test_what_a_refusal_costs_does_not_tell_an_account_from_none(
    directus_api: DirectusApi, creator: Account, who: str
) -> None:
    token = creator.token
    if who == "unknown":
        token = sign(claims_of(token) | {"id": str(uuid.uuid4())})
    elif who == "deleted":
        directus_api.place.request("DELETE", f"/users/{creator.id}")
    else:
        directus_api.place.request("PATCH", f"/users/{creator.id}", {"status": who})
    assert [calls(directus_api, token) for _ in range(2)] == [["GET /users"], []]
    assert refusal_of(directus_api.get(STATS, token)) == REFUSED


def assert_come_back_later(api: DirectusApi, token: str) -> None:
    began = time.monotonic()
    answer = api.get(STATS, token)
    assert time.monotonic() - began < ANSWER_WITHIN_S
    assert (answer.status_code, answer.json["error"]) == (503, "records_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "WWW-Authenticate" not in answer.headers


def test_while_directus_is_away_who_was_here_lately_is_served_and_others_shall_come_back(
    directus_api: DirectusApi, creator: Account
) -> None:
    name = new_user_name()
    other = directus_api.place.account(name)
    session = log_in(directus_api.place, name, "session")
    assert directus_api.get(STATS, creator.token).status_code == 200
    directus_api.proxy.go_away()
    assert directus_api.get(STATS, creator.token).status_code == 200
    for token in (other.token, session, uuid.uuid4().hex):
        assert_come_back_later(directus_api, token)
    directus_api.proxy.come_back()
    assert directus_api.get(STATS, other.token).status_code == 200


@pytest.mark.parametrize(
    "fault",
    [
        Fault(delay_s=20),
        Fault(cut_answer_after=40),
        Fault(
            answer=http_answer(500, b'{"errors": [{"message": "x", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]}')
        ),
        Fault(answer=http_answer(503, b"<html>", "Retry-After: 7")),
        Fault(answer=http_answer(200, b"<html>it works</html>")),
        Fault(answer=http_answer(200, b'{"data": {"id": 1}}')),
        Fault(answer=http_answer(200, b'{"data": []}')),
        Fault(answer=http_answer(401, b"<html>sign in</html>")),
        Fault(answer=http_answer(429, b"", "Retry-After: 30")),
    ],
    ids=["hangs", "cut off", "500", "503", "HTML", "wrong id", "wrong shape", "401 of a proxy before it", "429"],
)
def test_an_answer_that_is_none_is_no_reason_to_say_unauthorized(
    directus_api: DirectusApi, creator: Account, fault: Fault
) -> None:
    directus_api.proxy.lasting.append(fault)
    assert_come_back_later(directus_api, creator.token)


@pytest.fixture
def token_refused(
    directus_installed: DirectusPlace, settings: Settings, redis_client: redis.Redis
) -> Iterator[DirectusApi]:
    """The application with a service token that Directus does not know."""
    with fault_proxy(directus_installed.server.url) as proxy:
        yield make_directus_api(settings, directus_installed, proxy, token=uuid.uuid4().hex)


def records_check(api: DirectusApi) -> dict[str, object]:
    """Return what `/readyz` says of the records, and check that it says it in time."""
    began = time.monotonic()
    answer = api.client.get("/readyz")
    assert time.monotonic() - began < ANSWER_WITHIN_S
    assert (answer.status_code == 200) is all(check["ok"] for check in answer.json["checks"].values())
    check: dict[str, object] = answer.json["checks"]["records"]
    return check


def test_a_service_token_that_is_refused_is_not_the_users_fault(token_refused: DirectusApi) -> None:
    name = new_user_name()
    account = token_refused.place.account(name)
    session = log_in(token_refused.place, name, "session")
    for token in (account.token, session, static_token(token_refused.place, account)):
        assert_come_back_later(token_refused, token)
    assert refusal_of(token_refused.get(STATS, uuid.uuid4().hex)) == REFUSED


def test_readyz_tells_a_refused_service_token_from_a_directus_that_is_away(
    token_refused: DirectusApi, directus_api: DirectusApi, redis_client: redis.Redis
) -> None:
    Workers(redis_client).beat("all@here", QUEUES)
    assert records_check(directus_api) == {"ok": True}
    assert records_check(token_refused) == {"ok": False, "message": TOKEN_REFUSED}
    assert "DIRECTUS_TOKEN" in TOKEN_REFUSED and "DIRECTUS_TOKEN" not in RECORDS_AWAY
    directus_api.proxy.go_away()
    assert records_check(directus_api) == {"ok": False, "message": RECORDS_AWAY}


def test_readyz_answers_in_time_while_redis_and_directus_hang(
    directus_installed: DirectusPlace, settings: Settings
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, fault_proxy(directus_installed.server.url) as proxy:
        nowhere = replace(settings, redis_url=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        api = make_directus_api(nowhere, directus_installed, proxy)
        # the first call comes through late, the second not at all
        proxy.arm(Fault(delay_s=3))
        proxy.lasting.append(Fault(delay_s=20))
        assert records_check(api) == {"ok": False, "message": RECORDS_AWAY}
        assert api.client.get("/healthz").status_code == 200
