"""Tokens: which are accepted, what the caller may then do, and how soon a change of the account counts."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable
from typing import Any, cast

import jwt
import pytest

from geniequeue.accounts import ACCOUNT_TTL_S, Accounts
from geniequeue.auth import SKEW_S, Authenticator
from geniequeue.errors import RecordsUnavailable, RequestRefused
from geniequeue.records.embedded import EmbeddedStore
from geniequeue.records.protocol import RecordStore
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


class CountedStore:
    """A store that notes for whom it was asked."""

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store
        self.asked: list[str] = []

    def as_service(self) -> Any:
        return CountedRecords(self._store.as_service(), "service", self.asked)

    def as_user(self, token: str) -> Any:
        return CountedRecords(self._store.as_user(token), "user", self.asked)


class CountedRecords:
    """Records of one caller that note each call."""

    def __init__(self, records: Any, caller: str, asked: list[str]) -> None:
        self._records, self._caller, self._asked = records, caller, asked

    def __getattr__(self, name: str) -> Any:
        self._asked.append(f"{self._caller}.{name}")
        return getattr(self._records, name)


@pytest.fixture
def counted(store: EmbeddedStore) -> CountedStore:
    return CountedStore(store)


@pytest.fixture
def authenticator(counted: CountedStore, clock: Clock) -> Authenticator:
    counting = cast("RecordStore", counted)
    return Authenticator(SECRET, counting, Accounts(counting.as_service(), clock), clock=clock, elapsed=clock)


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
        lambda claims: sign(claims | {"note": "x" * 65_536}),
        lambda _: "Bearer tökén",
        lambda claims: sign(claims) + "ü",
        lambda _: "Bearer a\x00b",
        lambda _: "Bearer " + base64.urlsafe_b64encode(b"[" * 6000).decode().rstrip("=") + ".e30.AAAA",
        lambda claims: sign(claims, headers={"kid": "../../etc/passwd"}),
        lambda claims: sign(claims, headers={"jku": "http://127.0.0.1/"}),
        lambda claims: sign(claims, headers={"kid": "../../../dev/null"}, key="another secret, long enough for it"),
    ],
)
def test_row_06_a_monstrous_token_is_refused_before_it_costs_anything(
    authenticator: Authenticator,
    counted: CountedStore,
    claims: Claims,
    make: Callable[[Claims], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    header = make(claims)
    monkeypatch.setattr(jwt, "decode", pytest.fail)
    assert refusal(authenticator, header).code == "invalid_token"
    assert counted.asked == []


def test_row_07_a_suspended_account_is_out_within_the_cache_time(
    authenticator: Authenticator, claims: Claims, creator: Person, store: EmbeddedStore, clock: Clock
) -> None:
    header = sign(claims)
    assert authenticator.principal(header)
    store.set_user_status(creator.user.id, "suspended")
    clock.now_s += ACCOUNT_TTL_S
    assert refusal(authenticator, header).code == "invalid_token"


@pytest.mark.parametrize("who", ["active", "suspended", "draft", "invited", "archived", "unknown"])
def test_what_a_token_costs_does_not_tell_an_account_from_none(
    authenticator: Authenticator, counted: CountedStore, claims: Claims, creator: Person, store: EmbeddedStore, who: str
) -> None:
    if who == "unknown":
        claims["id"] = str(uuid.uuid4())
    else:
        store.set_user_status(creator.user.id, who)
    header = sign(claims)
    for _ in range(2):
        if who == "active":
            assert authenticator.principal(header)
        else:
            assert refusal(authenticator, header).code == "invalid_token"
        assert counted.asked == ["service.get_user"]


def test_a_user_is_looked_up_once_in_the_cache_time_whatever_token_he_sends(
    authenticator: Authenticator, counted: CountedStore, claims: Claims, creator: Person, clock: Clock
) -> None:
    for header in (sign(claims), sign(claims | {"iat": 1}), f"Bearer {creator.token}"):
        assert authenticator.principal(header)
    clock.now_s += ACCOUNT_TTL_S - 0.1
    authenticator.principal(sign(claims))
    assert counted.asked == ["service.get_user"]
    clock.now_s += 0.1
    authenticator.principal(sign(claims))
    assert counted.asked == ["service.get_user"] * 2


def test_the_cached_account_ages_by_elapsed_time_and_not_by_the_clock(
    counted: CountedStore, claims: Claims, clock: Clock
) -> None:
    elapsed = Clock()
    counting = cast("RecordStore", counted)
    accounts = Accounts(counting.as_service(), elapsed)
    authenticator = Authenticator(SECRET, counting, accounts, clock=clock, elapsed=elapsed)
    authenticator.principal(sign(claims))
    clock.now_s -= 3600
    elapsed.now_s += ACCOUNT_TTL_S
    authenticator.principal(sign(claims | {"iat": 1}))
    assert len(counted.asked) == 2


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
