"""Rows 1 to 6 with tokens that a real Directus issued: which let their holder in, and as whom."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.accounts import SECRET, Account
from tests.directus.conftest import DirectusService, new_user_name
from tests.directus.in_process import DirectusApi
from tests.directus.sign_in import invite_token, log_in, log_out, reset_token, share_token, static_token
from tests.directus_fixture import DirectusPlace

STATS = "/api/queue/stats"
OTHER_KEY = "another secret, as long as the longest signature wants it to be, too"

Claims = dict[str, Any]


def user_token(place: DirectusPlace, name: str, kind: str) -> str:
    """Return the token of somebody who has signed up: `json`, `cookie`, `session` or `static`."""
    account = place.account(name)
    return static_token(place, account) if kind == "static" else log_in(place, name, kind)


def other_token(place: DirectusPlace, name: str, kind: str, mailbox: Path) -> str:
    """Return a token of Directus that is good for something else."""
    match kind:
        case "password-reset":
            return reset_token(place, name, mailbox)
        case "invite":
            return invite_token(place, new_user_name("invited"), mailbox)
    return share_token(place, place.account(name), kind.removeprefix("share-"))


def claims_of(token: str) -> Claims:
    """Return what a token says."""
    claims: Claims = jwt.decode(token, options={"verify_signature": False})
    return claims


def sign(claims: Claims, *, key: str = SECRET, headers: Claims | None = None) -> str:
    """Return a token as Directus would sign it."""
    return jwt.encode(claims, key, "HS256", headers=headers)


def raw(header: Claims, claims: Claims, signature: str = "") -> str:
    """Return a token with a header of one's own."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return f"{parts[0]}.{parts[1]}.{signature}"


def refusal_of(answer: Any) -> tuple[int, str, Claims]:
    """Return what can be told from a refusal, but for the id of the request."""
    return answer.status_code, answer.headers["WWW-Authenticate"], {**answer.json, "request_id": ""}


REFUSED = (
    401,
    'Bearer realm="geniequeue"',
    {
        "ok": False,
        "error": "invalid_token",
        "message": "The access token is not accepted; sign in again.",
        "request_id": "",
    },
)


@pytest.mark.parametrize("kind", ["json", "cookie", "session", "static"])
def test_every_token_that_directus_gives_a_user_is_his_for_a_whole_job(
    service: DirectusService, photo: Path, kind: str
) -> None:
    name = new_user_name()
    creator, token = service.account(name), user_token(service.place, name, kind)
    file_id = str(uuid.uuid4())
    service.store.as_user(token).upload(photo, file_id=file_id, filename="a.jpg", mime="image/jpeg")
    item = {"operation": "resize_image", "input_file_id": file_id, "params": {"width": 64}}
    job_id = str(creator.records.create_item("media_jobs", item)["id"])

    assert service.enqueue(token, job_id, "resize_image").status == 200
    assert service.await_final(token, job_id)["state"] == "completed"
    listed = service.request("GET", "/api/queue/jobs", token).body
    assert [job["jobId"] for job in listed["jobs"]] == [job_id]


@pytest.mark.parametrize("kind", ["share-json", "share-session", "password-reset", "invite"])
def test_row_05_a_token_that_directus_gives_for_something_else_is_refused_unasked(
    directus_api: DirectusApi, mailbox: Path, kind: str
) -> None:
    name = new_user_name()
    directus_api.place.account(name)
    token = other_token(directus_api.place, name, kind, mailbox)
    assert {"share", "scope"} & set(claims_of(token))
    assert refusal_of(directus_api.get(STATS, token)) == REFUSED
    assert directus_api.proxy.requests == []


@pytest.fixture
def creator(directus_api: DirectusApi) -> Account:
    """Somebody who has signed in, and whom this process has not seen yet."""
    return directus_api.place.account(new_user_name())


@pytest.fixture
def claims(creator: Account) -> Claims:
    """What the creator's token says."""
    return claims_of(creator.token)


@pytest.mark.parametrize("header", [None, "", "Basic dXNlcjpwYXNz", "Bearer", "Bearer  "])
def test_row_01_and_02_without_a_token_nobody_comes_in(directus_api: DirectusApi, header: str | None) -> None:
    answer = directus_api.client.get(STATS, headers={"Authorization": header} if header is not None else {})
    assert (answer.status_code, answer.json["ok"], answer.json["error"]) == (401, False, "missing_token")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert directus_api.proxy.requests == []


def _without(claims: Claims, *names: str) -> Claims:
    return {name: value for name, value in claims.items() if name not in names}


BAD_TOKENS: Mapping[str, Callable[[Claims], str]] = {
    "row 2, two in one": lambda claims: f"{sign(claims)}, Bearer {sign(claims)}",
    "row 3, alg none": lambda claims: raw({"alg": "none", "typ": "JWT"}, claims),
    "row 3, RS256 over our key": lambda claims: raw({"alg": "RS256", "typ": "JWT"}, claims, sign(claims).split(".")[2]),
    "row 3, another key": lambda claims: sign(claims, key=OTHER_KEY),
    "row 3, claims changed": lambda claims: raw({"alg": "HS256"}, claims | {"role": None}, sign(claims).split(".")[2]),
    "row 4, begins later": lambda claims: sign(claims | {"nbf": int(time.time()) + 600}),
    "row 4, issued later": lambda claims: sign(claims | {"iat": int(time.time()) + 600}),
    "row 5, no end": lambda claims: sign(_without(claims, "exp")),
    "row 5, no role": lambda claims: sign(_without(claims, "role")),
    "row 5, no app_access": lambda claims: sign(_without(claims, "app_access")),
    "row 5, of nobody": lambda claims: sign(_without(claims, "id")),
    "row 5, other issuer": lambda claims: sign(claims | {"iss": "somebody"}),
    "row 5, no issuer": lambda claims: sign(_without(claims, "iss")),
    "row 6, 64 kB": lambda claims: sign(claims | {"note": "x" * 65_536}),
    "row 6, 64 kB without a dot": lambda _: "a" * 65_536,
    "row 6, not ASCII": lambda claims: sign(claims) + "ü",
    "row 6, kid": lambda claims: sign(claims, headers={"kid": "../../../dev/null"}),
}


@pytest.mark.parametrize("make", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_row_02_to_06_every_bad_token_gets_one_answer_and_directus_is_not_asked(
    directus_api: DirectusApi, claims: Claims, make: Callable[[Claims], str]
) -> None:
    assert refusal_of(directus_api.get(STATS, make(claims))) == REFUSED
    assert directus_api.proxy.requests == []


def test_row_04_a_token_that_has_run_out_is_told_so(directus_api: DirectusApi, creator: Account) -> None:
    answer = directus_api.get(STATS, directus_api.place.expired_token(creator))
    assert (answer.status_code, answer.json["error"]) == (401, "token_expired")
    assert directus_api.proxy.requests == []


def test_a_token_that_directus_alone_can_judge_is_refused_with_the_same_answer(
    directus_api: DirectusApi, creator: Account, claims: Claims
) -> None:
    name = new_user_name()
    directus_api.place.account(name)
    session = log_in(directus_api.place, name, "session")
    log_out(directus_api.place, session)
    for token in (session, sign(claims | {"session": "nobody's"}), uuid.uuid4().hex, creator.token[:-1] + "."):
        assert refusal_of(directus_api.get(STATS, token)) == REFUSED


def test_a_session_belongs_to_the_user_it_was_given_to(
    directus_api: DirectusApi, creator: Account, claims: Claims
) -> None:
    name = new_user_name()
    directus_api.place.account(name)
    theirs = claims_of(log_in(directus_api.place, name, "session"))
    assert directus_api.get(STATS, sign(theirs)).status_code == 200
    assert refusal_of(directus_api.get(STATS, sign(claims | {"session": theirs["session"]}))) == REFUSED


def test_who_is_an_administrator_is_read_from_the_account_and_never_from_the_token(directus_api: DirectusApi) -> None:
    place = directus_api.place
    owner, creator = place.account(new_user_name()), place.account(new_user_name())
    admin = place.account(new_user_name("admin"), admin=True)
    item = owner.records.create_item("media_jobs", {"operation": "resize_image", "params": {}})
    address = f"/api/queue/jobs/{item['id']}"

    forged = claims_of(creator.token) | {"admin_access": True, "role": place.roles[True]}
    humble = claims_of(admin.token) | {"admin_access": False, "role": place.roles[False]}

    assert directus_api.get(address, sign(forged)).status_code == 404
    assert directus_api.get(address, sign(humble)).status_code == 200
    assert claims_of(admin.token)["admin_access"] is True


def test_no_token_is_written_to_a_log(service: DirectusService, mailbox: Path) -> None:
    name = new_user_name()
    service.account(name)
    accepted = [user_token(service.place, name, kind) for kind in ("json", "session", "static")]
    refused = [reset_token(service.place, name, mailbox), uuid.uuid4().hex]
    assert [service.request("GET", STATS, token).status for token in (*accepted, *refused)] == [200] * 3 + [401] * 2
    written = service.log()
    assert not [token for token in (*accepted, *refused) if token in written or token.split(".")[-1] in written]
