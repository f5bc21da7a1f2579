"""The accounts of the people who send requests, read with the service's rights and remembered for a short while."""

from __future__ import annotations

import time
from collections.abc import Callable

from geniequeue.cache import ExpiringCache
from geniequeue.errors import RecordForbidden
from geniequeue.records.protocol import Records, User

ACCOUNT_TTL_S = 30.0
MAX_CACHED = 4096


class Accounts:
    """Accounts by id, each at most `ACCOUNT_TTL_S` old; one call to the records however many ask at once.

    Args:
        records: with the service's rights.
        clock: time in seconds.
    """

    def __init__(self, records: Records, clock: Callable[[], float] = time.monotonic) -> None:
        self._records = records
        self._users: ExpiringCache[str, User | None] = ExpiringCache(MAX_CACHED, ACCOUNT_TTL_S, clock)

    def get(self, user_id: str) -> User | None:
        """Return an account in whatever state it is, None where there is none.

        Args:
            user_id: lower-case UUID.

        Raises:
            ServiceTokenRefused: the store does not accept the service's own token.
            RecordsUnavailable: the store does not answer. Neither is remembered.
        """
        return self._users.get(user_id, lambda: self._read(user_id))

    def known(self, user_id: str) -> User | None:
        """Return an account that was read lately, None for one that has to be read; asks nobody."""
        return self._users.known(user_id)

    def remember(self, user: User) -> None:
        """Keep an account that was read just now for another reason."""
        self._users.put(user.id, user)

    def _read(self, user_id: str) -> User | None:
        try:
            return self._records.get_user(user_id)
        except RecordForbidden:
            return None
