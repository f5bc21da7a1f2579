"""The record store over the REST API of Directus 11, with PostgreSQL.

    directus.py           the store, accounts
    directus_items.py     items, for one caller
    directus_files.py     files, for one caller: read, download, delete
    directus_uploads.py   upload
    directus_caller.py    a caller's token, and what its refusal means
    service_token.py      the service's own, fixed or from a file
    directus_query.py     filters, orders and pages in Directus' words
    directus_shapes.py    answers read into the protocol's values
    directus_content.py   contents on their way
    directus_http.py      pool, deadlines, tries again, pause
    directus_errors.py    answers that refuse, as errors of the project

Rights are Directus' own: `as_user` sends the caller's token. Directus does not take a token back: the access token of
an account that was suspended or deleted reads items until it runs out, so whoever lets people in asks `me` or
`get_user`, which look the account up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from geniequeue.errors import RecordForbidden, TokenRefused
from geniequeue.records.directus_errors import forbidden
from geniequeue.records.directus_http import DEADLINE_S, Call, DirectusHttp, path_of
from geniequeue.records.directus_items import ItemAccess
from geniequeue.records.directus_shapes import ACCOUNT_FIELDS, USERS, id_of, user_of
from geniequeue.records.directus_uploads import UploadAccess
from geniequeue.records.protocol import Records, RecordStore, User
from geniequeue.records.service_token import FixedToken, TokenSource
from geniequeue.records.values import normal_uuid


class DirectusRecords(ItemAccess, UploadAccess):
    """The store as one caller sees it."""

    def get_user(self, user_id: str) -> User:
        """Return an account; whether the caller may see it is asked with his token, what it says with the service's."""
        key = normal_uuid(user_id)
        if key is None:
            raise forbidden(USERS, "read")
        if not self._service:
            self._json(Call("GET", path_of("users", key, fields="id"), USERS, "read"))
        return self._account(key)

    def me(self) -> User:
        """Return the caller's own account; it must be active, for Directus answers for the others too."""
        user_id = id_of(self._json(Call("GET", path_of("users", "me", fields="id"), USERS, "read")), USERS, "read")
        try:
            user = self._account(user_id)
        except TokenRefused:
            raise
        except RecordForbidden:
            user = None
        if user is None or user.status != "active":
            raise TokenRefused(
                "expected the valid access token of an active account, got another; sign in again",
                collection=USERS,
                action="authenticate",
            )
        return user

    def _account(self, user_id: str) -> User:
        path = path_of("users", user_id, fields=",".join(ACCOUNT_FIELDS))
        return user_of(self._steward._json(Call("GET", path, USERS, "read")))


class DirectusStore(RecordStore):
    """Records and files in a Directus.

    Args:
        url: its address.
        token: static token of the service account, or where it comes from.
        deadline_s: how long one call may take in all; transfers of contents have their own time.
        sleep: waits some seconds before a further try.
    """

    def __init__(
        self,
        url: str,
        token: str | TokenSource,
        *,
        deadline_s: float = DEADLINE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.http = DirectusHttp(url, deadline_s=deadline_s, sleep=sleep)
        source = FixedToken(token) if isinstance(token, str) else token
        self._service = DirectusRecords(self.http, source, service=True)

    def as_service(self) -> Records:
        """Return the store with the rights of the service account."""
        return self._service

    def as_user(self, token: str) -> Records:
        """Return the store with the rights of whoever holds `token`."""
        return DirectusRecords(self.http, FixedToken(token), service=False, steward=self._service)

    def request(self, call: Call) -> Any:
        """Send a request of the caller's own with the service's token; return its data."""
        return self._service._json(call)

    def ping(self) -> None:
        """Raise `RecordsUnavailable` unless Directus answers and accepts the service's token."""
        self._service.me()

    def close(self) -> None:
        """Close the connections that nobody uses; the next call opens new ones."""
        self.http.close()
