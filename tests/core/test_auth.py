"""Tokens: which are accepted, what the caller may then do, and how soon a change of the account counts."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from geniequeue.auth import ACCOUNT_TTL_S, SKEW_S, Authenticator
from geniequeue.errors import RecordsUnavailable, RequestRefused
from geniequeue.records.embedded import EmbeddedStore
from tests.accounts import SECRET
from tests.conftest import Person

Claims = dict[str, Any]


class Clock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = time.time()

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authenticator(store: EmbeddedStore, clock: Clock) -> Authenticator:
    return Authenticator(SECRET, store, clock)


@pytest.fixture
def claims(creator: Person, clock: Clock) -> Claims:
    now = int(clock.now_s)
    return {
        "id": creator.user.id,
        "role": None,
        "app_access": True,
        "admin_access": False,
        "iat": now,
        "exp": now + 900,
        "iss": "directus",
    }


def sign(claims: Claims, *, key: str = SECRET, algorithm: str = "HS256", headers: Claims | None = None) -> str:
    return "Bearer " + jwt.encode(claims, key, algorithm, headers=headers)


def refusal(authenticator: Authenticator, header: str | None) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        authenticator.principal(header)
    assert caught.value.status == 401
    return caught.value


def test_an_access_token_of_directus_is_accepted(authenticator: Authenticator, claims: Claims, creator: Person) -> None:
    principal = authenticator.principal(sign(claims))
    assert (principal.user_id, principal.admin, principal.tier) == (creator.user.id, False, "pro")


def test_the_tokens_of_the_embedded_store_are_accepted(authenticator: Authenticator, creator: Person) -> None:
    assert authenticator.principal(f"bearer {creator.token}").token == creator.token


def test_who_is_an_administrator_is_read_from_the_account_and_never_from_the_token(
    authenticator: Authenticator, claims: Claims, admin: Person
) -> None:
    assert not authenticator.principal(sign(claims | {"admin_access": True})).admin
    assert authenticator.principal(sign(claims | {"id": admin.user.id, "admin_access": False})).admin


@pytest.mark.parametrize("header", [None, "", " ", "Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "Bearer    ", "bearer"])
def test_row_01_and_02_without_a_bearer_token_nobody_comes_in(authenticator: Authenticator, header: str | None) -> None:
    assert refusal(authenticator, header).code == "missing_token"


def test_row_02_two_tokens_in_one_header_are_refused(authenticator: Authenticator, creator: Person) -> None:
    both = f"Bearer {creator.token}, Bearer {creator.token}"
    assert refusal(authenticator, both).code == "invalid_token"
    assert refusal(authenticator, f"Bearer {creator.token},{creator.token}").code == "invalid_token"


def unsigned(claims: Claims, header: Claims) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return f"Bearer {parts[0]}.{parts[1]}."


def test_row_03_every_wrong_signature_gets_the_same_answer(authenticator: Authenticator, claims: Claims) -> None:
    headers = [
        unsigned(claims, {"alg": "none", "typ": "JWT"}),
        unsigned(claims, {"alg": "RS256", "typ": "JWT"}) + "AAAA",
        sign(claims, key="another secret, also long enough for it"),
        sign(claims, algorithm="HS512"),
        sign(claims)[:-4] + "AAAA",
        "Bearer a.b.c",
        "Bearer ...",
        sign(claims | {"iss": "somebody"}),
    ]
    answers = {(r.code, r.message, r.reason) for r in (refusal(authenticator, header) for header in headers)}
    assert len(answers) == 1


def test_row_04_a_token_counts_from_its_first_to_its_last_second(
    authenticator: Authenticator, claims: Claims, clock: Clock
) -> None:
    now = clock.now_s
    assert refusal(authenticator, sign(claims | {"exp": int(now) - 1})).code == "token_expired"
    for name in ("iat", "nbf"):
        assert refusal(authenticator, sign(claims | {name: now + 60})).code == "invalid_token"
        assert authenticator.principal(sign(claims | {name: now + SKEW_S - 1}))


def test_row_04_a_token_that_was_accepted_before_ends_all_the_same(
    authenticator: Authenticator, claims: Claims, clock: Clock
) -> None:
    header = sign(claims)
    authenticator.principal(header)
    clock.now_s = claims["exp"]
    assert refusal(authenticator, header).code == "token_expired"


@pytest.mark.parametrize("name", ["exp", "iss", "id", "role", "app_access"])
def test_row_05_a_token_without_a_claim_of_an_access_token_is_refused(
    authenticator: Authenticator, claims: Claims, name: str
) -> None:
    del claims[name]
    assert refusal(authenticator, sign(claims)).code == "invalid_token"


@pytest.mark.parametrize(
    "claim",
    [
        {"share": str(uuid.uuid4())},
        {"scope": "password-reset"},
        {"iss": "other"},
        {"id": "1"},
        {"id": 1},
        {"id": None},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"exp": True},
        {"exp": 10**400},
        {"nbf": "now"},
        {"iat": [1]},
        {"app_access": None},
    ],
)
def test_row_05_a_token_for_something_else_is_refused(
    authenticator: Authenticator, claims: Claims, claim: Claims
) -> None:
    assert refusal(authenticator, sign(claims | claim)).code == "invalid_token"


@pytest.mark.parametrize(
    "make",
    [
        lambda _: "Bearer " + "a" * 65_536,
        lambda _: "Bearer " + "a." * 32_768,
        lambda _: "Bearer tökén",
        lambda _: "Bearer a\x00b",
        lambda _: "Bearer " + base64.urlsafe_b64encode(b"[" * 6000).decode().rstrip("=") + ".e30.AAAA",
        lambda claims: sign(claims, headers={"kid": "../../etc/passwd"}),
        lambda claims: sign(claims, headers={"jku": "http://127.0.0.1/"}),
        lambda claims: sign(claims, headers={"kid": "../../../dev/null"}, key="another secret, long enough for it"),
    ],
)
def test_row_06_a_monstrous_token_is_refused_at_once(
    authenticator: Authenticator, claims: Claims, make: Callable[[Claims], str]
) -> None:
    assert refusal(authenticator, make(claims)).code == "invalid_token"


def test_row_07_a_suspended_account_is_out_within_the_cache_time(
    authenticator: Authenticator, claims: Claims, creator: Person, store: EmbeddedStore, clock: Clock
) -> None:
    header = sign(claims)
    assert authenticator.principal(header)
    store.set_user_status(creator.user.id, "suspended")
    clock.now_s += ACCOUNT_TTL_S
    assert refusal(authenticator, header).code == "invalid_token"


def test_a_token_of_an_account_that_does_not_exist_is_refused(authenticator: Authenticator, claims: Claims) -> None:
    assert refusal(authenticator, sign(claims | {"id": str(uuid.uuid4())})).code == "invalid_token"


def test_the_account_id_counts_in_any_case(authenticator: Authenticator, claims: Claims, creator: Person) -> None:
    assert authenticator.principal(sign(claims | {"id": creator.user.id.upper()})).user_id == creator.user.id


def test_a_session_token_and_a_static_token_are_left_to_the_store(authenticator: Authenticator, claims: Claims) -> None:
    assert refusal(authenticator, sign(claims | {"session": "unknown to this store"})).code == "invalid_token"
    assert refusal(authenticator, "Bearer an-opaque-static-token").code == "invalid_token"


def test_an_account_that_cannot_be_read_is_no_reason_to_say_unauthorized(
    authenticator: Authenticator, claims: Claims, store: EmbeddedStore, settings: Any
) -> None:
    store.close()
    (settings.var_dir / "records").rename(settings.var_dir / "gone")
    with pytest.raises(RecordsUnavailable):
        authenticator.principal(sign(claims))
