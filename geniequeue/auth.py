"""From an Authorization header to a principal.

A Directus access token is checked here, without asking anyone: HS256 alone, issuer, expiry, claims. Whose account it
names, whether that is active and an administrator's, is looked up in `accounts`, because Directus itself revokes
nothing before a token ends. Session tokens and static tokens, which only the store can judge, are put to it.

What a token costs says nothing about whose it is: one that no key of ours has signed is refused without a call to the
records, and every other takes the same calls whether its account is active, suspended or not there.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from geniequeue.accounts import ACCOUNT_TTL_S, Accounts
from geniequeue.cache import ExpiringCache
from geniequeue.errors import RecordForbidden, RequestRefused
from geniequeue.principal import Principal
from geniequeue.records.protocol import RecordStore, User

ALGORITHM = "HS256"
ISSUER = "directus"
MAX_TOKEN_CHARS = 8192
CLAIMS_TTL_S = 300.0
SKEW_S = 5.0
MAX_CACHED = 4096

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_HEADER_MEMBERS = frozenset({"alg", "typ"})


@dataclass(frozen=True)
class Claims:
    """What a token says, its signature being right.

    Attributes:
        user_id: id of the account, lower case.
        expires_s: end, in seconds since 1970.
        begins_s: the later of `iat` and `nbf`.
        session: only the store knows whether it still stands.
    """

    user_id: str
    expires_s: float
    begins_s: float
    session: bool


class Authenticator:
    """Tells who sends a request.

    Args:
        secret: key of the access tokens.
        store: is asked about session tokens and static tokens.
        accounts: of everybody.
        clock: seconds since 1970.
        elapsed: seconds by which cached answers age; does not follow the clock when that is set.
    """

    def __init__(
        self,
        secret: str,
        store: RecordStore,
        accounts: Accounts,
        *,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secret = secret
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._claims: ExpiringCache[bytes, Claims] = ExpiringCache(MAX_CACHED, CLAIMS_TTL_S, elapsed)
        self._holders: ExpiringCache[bytes, User | None] = ExpiringCache(MAX_CACHED, ACCOUNT_TTL_S, elapsed)

    def principal(self, authorization_header: str | None) -> Principal:
        """Return who sends a request with this Authorization header.

        Raises:
            RequestRefused: 401 `missing_token`, `invalid_token` or `token_expired`.
            RecordsUnavailable: the account could not be read.
        """
        token = _bearer(authorization_header)
        digest = hashlib.sha256(token.encode()).digest()
        user = self._holder(token, digest)
        if user is None or user.status != "active":
            raise invalid_token()
        return Principal(user.id, admin=user.admin, token=token, tier=user.subscription_tier)

    def _holder(self, token: str, digest: bytes) -> User | None:
        if token.count(".") != 2:
            return self._holders.get(digest, lambda: self._ask_store(token))
        claims = self._claims.get(digest, lambda: _read_claims(token, self._secret))
        self._check_times(claims)
        if claims.session:
            return self._holders.get(digest, lambda: self._ask_store(token))
        return self._accounts.get(claims.user_id)

    def _check_times(self, claims: Claims) -> None:
        now_s = self._clock()
        if claims.expires_s <= now_s:
            raise RequestRefused(401, "token_expired", "The access token has expired; sign in again.")
        if claims.begins_s > now_s + SKEW_S:
            raise invalid_token()

    def _ask_store(self, token: str) -> User | None:
        try:
            user = self._store.as_user(token).me()
        except RecordForbidden:
            return None
        self._accounts.remember(user)
        return user


def _bearer(header: str | None) -> str:
    """Return the token of a header; whatever no token can look like is refused before it costs anything."""
    scheme, _, token = (header or "")[: MAX_TOKEN_CHARS + 64].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise RequestRefused(401, "missing_token", "Expected the header Authorization: Bearer <access token>.")
    token = token.strip(" ")
    if len(token) > MAX_TOKEN_CHARS or not _TOKEN.match(token):
        raise invalid_token()
    return token


def invalid_token() -> RequestRefused:
    """Return the one answer for every token that is not accepted: why is nobody's business."""
    return RequestRefused(401, "invalid_token", "The access token is not accepted; sign in again.")


def _read_claims(token: str, secret: str) -> Claims:
    try:
        if not set(jwt.get_unverified_header(token)) <= _HEADER_MEMBERS:
            raise invalid_token()
        # times are checked by `_check_times`, again for each request
        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
        return _claims_of(jwt.decode(token, secret, algorithms=[ALGORITHM], issuer=ISSUER, options=options))
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise invalid_token() from None


def _claims_of(payload: Mapping[str, Any]) -> Claims:
    """Read the claims of an access token; tokens for a share, an invitation or a new password are none."""
    if "share" in payload or "scope" in payload or payload["iss"] != ISSUER:
        raise invalid_token()
    if "role" not in payload or not isinstance(payload["app_access"], bool | int):
        raise invalid_token()
    if not _UUID.match(payload["id"]):
        raise invalid_token()
    begins_s = max(_seconds(payload.get(name, 0)) for name in ("iat", "nbf"))
    return Claims(payload["id"].lower(), _seconds(payload["exp"]), begins_s, session="session" in payload)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise invalid_token()
    return float(value)
