"""Accounts of the embedded store, and the access tokens it signs as Directus does."""

from __future__ import annotations

import time
import uuid
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import jwt

from geniequeue.errors import RecordForbidden
from geniequeue.records.embedded_access import Caller, forbidden
from geniequeue.records.embedded_database import Database
from geniequeue.records.embedded_sql import has_id, insert, select, update
from geniequeue.records.embedded_tables import DIRECTUS_USERS, to_item
from geniequeue.records.protocol import User
from geniequeue.records.values import check_value, normal_timestamp, normal_uuid

USERS = DIRECTUS_USERS.name
ISSUER = "directus"
ALGORITHM = "HS256"
SERVICE_ACCOUNT = User(str(uuid.UUID(int=0)), "active", True, None, None, None)

_COLUMNS = tuple(field.name for field in fields(User))
_FIELDS = tuple(DIRECTUS_USERS.by_name[name] for name in _COLUMNS)
_NAMES = uuid.uuid5(uuid.NAMESPACE_DNS, "accounts.geniequeue")
_SPECIAL_CLAIMS = frozenset({"scope", "share", "session"})


class Accounts:
    """Accounts and their tokens.

    Args:
        secret: key of the signatures.
    """

    def __init__(self, database: Database, secret: str) -> None:
        self._database = database
        self._secret = secret

    def find(self, user_id: str) -> User:
        """Return an account.

        Raises:
            RecordForbidden: there is none.
        """
        with self._database.reading(USERS) as connection:
            row = select(USERS, _COLUMNS, has_id(normal_uuid(user_id))).run(connection).fetchone()
        if row is None:
            raise forbidden(USERS, "read")
        return User(**to_item(_FIELDS, row))

    def ensure(self, name: str, tier: str | None, admin: bool | None) -> User:
        """Return the account called `name`, created where missing, with this tier and role (None keeps them).

        Raises:
            RecordInvalid: the name or the tier is too long.
        """
        first_name = check_value(DIRECTUS_USERS, "first_name", name, "update")
        user_id = str(uuid.uuid5(_NAMES, first_name))
        given: dict[str, Any] = {} if admin is None else {"admin": int(admin)}
        if tier is not None:
            given["subscription_tier"] = check_value(DIRECTUS_USERS, "subscription_tier", tier, "update")
        with self._database.writing(USERS, "update") as connection:
            if update(USERS, given, has_id(user_id)).run(connection).rowcount == 0:
                now = normal_timestamp(datetime.now(UTC))
                new = {"id": user_id, "first_name": first_name, "subscription_start": now}
                insert(USERS, {**new, "subscription_period": "monthly", "admin": 0, **given}).run(connection)
        return self.find(user_id)

    def set_status(self, user_id: str, status: str) -> None:
        """Change the status of an account.

        Raises:
            RecordForbidden: there is none.
        """
        wanted = check_value(DIRECTUS_USERS, "status", status, "update")
        with self._database.writing(USERS, "update") as connection:
            if update(USERS, {"status": wanted}, has_id(normal_uuid(user_id))).run(connection).rowcount == 0:
                raise forbidden(USERS, "update")

    def mint(self, user: User, ttl_s: float) -> str:
        """Sign an access token with the claims that Directus gives it."""
        now = int(time.time())
        claims = {
            "id": user.id,
            "role": None,
            "app_access": True,
            "admin_access": user.admin,
            "iat": now,
            "exp": now + int(ttl_s),
            "iss": ISSUER,
        }
        return jwt.encode(claims, self._secret, ALGORITHM)

    def holder(self, token: str) -> User:
        """Return the active account that holds `token`.

        Raises:
            RecordForbidden: the token is not accepted, or its account is not active.
        """
        user_id = normal_uuid(self._claims(token).get("id"))
        try:
            user = self.find(user_id or "")
        except RecordForbidden:
            raise _not_accepted() from None
        if user.status != "active":
            raise _not_accepted()
        return user

    def caller(self, token: str) -> Caller:
        """Return who asks with `token`; the role counts as it stands in the account, not in the token."""
        user = self.holder(token)
        return Caller(user.id, unrestricted=user.admin)

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            claims = jwt.decode(
                token, self._secret, [ALGORITHM], issuer=ISSUER, options={"require": ["exp", "iss", "id"]}
            )
        except (jwt.InvalidTokenError, ValueError, TypeError):
            raise _not_accepted() from None
        if not _SPECIAL_CLAIMS.isdisjoint(claims):
            raise _not_accepted()
        return claims


def _not_accepted() -> RecordForbidden:
    return RecordForbidden(
        "expected the valid access token of an active account, got another; sign in again",
        collection=USERS,
        action="authenticate",
    )
