"""The embedded record store: SQLite and a folder of files, shaped after Directus, for one host.

It serves a newcomer, the tests and a single server: the web processes, the workers and the command line open the same
folder at once. `Accounts` and the management functions here exist in this store alone; with Directus, Directus does it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from geniequeue.records.embedded_access import SERVICE, Caller, forbidden
from geniequeue.records.embedded_accounts import SERVICE_ACCOUNT, USERS, Accounts
from geniequeue.records.embedded_content import ContentFolder
from geniequeue.records.embedded_database import Database, answering
from geniequeue.records.embedded_files import FileAccess
from geniequeue.records.embedded_items import ItemAccess
from geniequeue.records.embedded_sql import select
from geniequeue.records.embedded_tables import create_missing
from geniequeue.records.protocol import Records, RecordStore, User

DATABASE_NAME = "records.sqlite3"
BUSY_TIMEOUT_S = 10.0


class EmbeddedRecords(ItemAccess, FileAccess):
    """The store as one caller sees it."""

    def __init__(
        self, database: Database, content: ContentFolder, accounts: Accounts, identify: Callable[[], Caller]
    ) -> None:
        super().__init__(database, content, identify)
        self._accounts = accounts

    def get_user(self, user_id: str) -> User:
        """Return an account; the service, an administrator and the account itself may."""
        caller = self._identify()
        user = self._accounts.find(user_id)
        if not caller.unrestricted and caller.user_id != user.id:
            raise forbidden(USERS, "read")
        return user

    def me(self) -> User:
        """Return the caller's own account; the service's is no row of the table."""
        caller = self._identify()
        return SERVICE_ACCOUNT if caller.user_id is None else self._accounts.find(caller.user_id)


class EmbeddedStore(RecordStore):
    """Records and files in one folder.

    Args:
        root: folder; created where missing, readable by its owner alone.
        secret: key that signs and checks access tokens.
        busy_timeout_s: how long a call waits for another process that writes.

    Raises:
        RecordsUnavailable: the folder cannot be used.
    """

    def __init__(self, root: Path, secret: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        with answering("records", "open"):
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._content = ContentFolder(root / "files")
        self._database = Database(root / DATABASE_NAME, busy_timeout_s=busy_timeout_s)
        with self._database.writing("records", "open") as connection:
            create_missing(connection)
        self._accounts = Accounts(self._database, secret)

    def as_service(self) -> Records:
        """Return the store with the service's rights."""
        return self._seen_by(lambda: SERVICE)

    def as_user(self, token: str) -> Records:
        """Return the store with the rights of whoever holds `token`, checked anew for each call."""
        return self._seen_by(lambda: self._accounts.caller(token))

    def ping(self) -> None:
        """Raise `RecordsUnavailable` unless the database and the folder answer."""
        with self._database.reading(USERS) as connection:
            select(USERS, ("id",)).then(" LIMIT 1").run(connection).fetchall()
        with answering("directus_files", "read"):
            self._content.check()

    def ensure_user(self, name: str, tier: str | None = None, admin: bool | None = None) -> User:
        """Return the account called `name`, created where missing, with this tier (None keeps it) and role."""
        return self._accounts.ensure(name, tier, admin)

    def set_user_status(self, user_id: str, status: str) -> None:
        """Change the status of an account; only an `active` one may come in."""
        self._accounts.set_status(user_id, status)

    def mint_token(self, user: User, ttl_s: float) -> str:
        """Sign an access token for `user` that ends in `ttl_s` seconds."""
        return self._accounts.mint(user, ttl_s)

    def close(self) -> None:
        """Close the connections that nobody uses; the next call opens new ones."""
        self._database.close()

    def _seen_by(self, identify: Callable[[], Caller]) -> EmbeddedRecords:
        return EmbeddedRecords(self._database, self._content, self._accounts, identify)
