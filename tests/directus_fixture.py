"""The contract's place on a real Directus: one server for the whole run, emptied before each test."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import jwt
import pytest

from geniequeue.records.directus import DirectusStore
from geniequeue.records.directus_http import Call
from geniequeue.records.installer import apply, plan
from geniequeue.records.schema import COLLECTIONS
from tests.accounts import SECRET, Account
from tests.real_directus import RealDirectus, running_directus, what_is_missing

SERVICE_TOKEN = uuid.uuid4().hex
PASSWORD = uuid.uuid4().hex
RECORD_WITHIN_S = 20.0
ADMIN_ROLE_POLICY = {"name": "Administrators of the tests", "admin_access": True, "app_access": True}
_EMPTY = "".join(f'DELETE FROM "{name}";' for name in reversed(COLLECTIONS)) + (  # noqa: S608
    "DELETE FROM directus_files; DELETE FROM directus_folders; UPDATE directus_users SET status = 'active';"
)


@dataclass
class DirectusPlace:
    """A real Directus with the definition installed, and accounts that have signed in.

    Attributes:
        checks_accounts: False, for a token outlives its account's suspension, on items, until it expires.
        checks_claims: False, for it accepts tokens signed with its key that lack an end or name nobody.
    """

    checks_accounts: ClassVar[bool] = False
    checks_claims: ClassVar[bool] = False

    server: RealDirectus
    store: DirectusStore
    accounts: dict[str, Account]
    roles: dict[bool, str]

    @property
    def open_again(self) -> Callable[[], DirectusStore]:
        """Return what opens the same store in another process."""
        return partial(DirectusStore, self.server.url, SERVICE_TOKEN)

    def account(self, name: str, *, admin: bool = False) -> Account:
        """Return somebody who has signed in; the same account again for the same name."""
        if name not in self.accounts:
            self.accounts[name] = self._sign_up(name, admin)
        return self.accounts[name]

    def expired_token(self, account: Account) -> str:
        """Return a token that was good a minute ago."""
        claims = jwt.decode(account.token, options={"verify_signature": False})
        return jwt.encode({**claims, "exp": int(time.time()) - 60}, self.server.secret, "HS256")

    def suspend(self, account: Account) -> None:
        """Suspend an account, as an administrator does."""
        self.request("PATCH", f"/users/{account.id}", {"status": "suspended"})

    def folder(self) -> str:
        """Return a new folder: Directus takes a file only into one that exists."""
        return str(self.request("POST", "/folders", {"name": "media"})["id"])

    def replace_content(self, file_id: str, content: bytes) -> None:
        """Damage a content behind the store's back."""
        (path,) = self.server.uploads.glob(f"{file_id}*")
        path.write_bytes(content)

    def leave_half(self, file_id: str) -> None:
        """Begin an upload and vanish."""
        head = (
            f"POST /files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SERVICE_TOKEN}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n"
            f'--b\r\nContent-Disposition: form-data; name="id"\r\n\r\n{file_id}\r\n'
            '--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        )
        where = urlsplit(self.server.url)
        with socket.create_connection((str(where.hostname), where.port or 80)) as connection:
            connection.sendall(head.encode() + b"half")
            self.await_record(file_id)

    def await_record(self, file_id: str) -> None:
        """Wait until Directus has written the record of a file whose upload has begun."""
        query = f"SELECT count(*) FROM directus_files WHERE id = '{uuid.UUID(file_id)}'"  # noqa: S608
        deadline = time.monotonic() + RECORD_WITHIN_S
        while self.server.sql(query).strip() != "1":
            assert time.monotonic() < deadline, f"no record of {file_id}"
            time.sleep(0.02)

    def age(self, file_id: str) -> None:
        """Make a file a day older."""
        self.await_record(file_id)
        known = str(uuid.UUID(file_id))
        earlier = "created_on = created_on - interval '1 day'"
        self.server.sql(f"UPDATE directus_files SET {earlier} WHERE id = '{known}'")  # noqa: S608

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request as administrator."""
        admin = DirectusStore(self.server.url, self.server.admin_token)
        return admin.request(Call(method, path, path, method, body))

    def empty(self) -> None:
        """Remove every item and file."""
        self.server.sql(_EMPTY)
        for path in self.server.uploads.iterdir():
            path.unlink()

    def _sign_up(self, name: str, admin: bool) -> Account:
        email = f"{name}@example.com"
        tier = {"subscription_tier": "creator", "subscription_period": "monthly"}
        about = {"email": email, "password": PASSWORD, "role": self.roles[admin], "first_name": name, **tier}
        user = self.request("POST", "/users", about)
        signed_in = self.request("POST", "/auth/login", {"email": email, "password": PASSWORD})
        token = str(signed_in["access_token"])
        return Account(str(user["id"]), token, self.store.as_user(token))


def _open(server: RealDirectus) -> DirectusPlace:
    """Install the definition and two roles of a customer's."""
    place = DirectusPlace(server, DirectusStore(server.url, SERVICE_TOKEN), {}, {})
    creators = str(place.request("POST", "/roles", {"name": "Creators of the customer"})["id"])
    admins = str(place.request("POST", "/roles", {"name": "Administrators"})["id"])
    policy = place.request("POST", "/policies", ADMIN_ROLE_POLICY)["id"]
    place.request("POST", "/access", {"role": admins, "policy": policy})
    place.roles = {False: creators, True: admins}
    admin = DirectusStore(server.url, server.admin_token)
    assert apply(admin, plan(admin, creator_role=creators, service_token=SERVICE_TOKEN)) == []
    return place


@pytest.fixture(scope="session")
def mailbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder where each mail that Directus sends becomes a file."""
    folder = tmp_path_factory.mktemp("mail")
    (folder / "sent").mkdir()
    # a mail counts when it is there whole
    deliver = f'#!/bin/sh\nmail=$(mktemp {folder}/XXXXXX) && cat > "$mail" && mv "$mail" {folder}/sent/\n'
    (folder / "sendmail").write_text(deliver)
    (folder / "sendmail").chmod(0o755)
    return folder / "sent"


@pytest.fixture(scope="session")
def directus_server(mailbox: Path) -> Iterator[RealDirectus]:
    """A real Directus of this run alone; without one the tests are skipped, but never in CI."""
    if missing := what_is_missing():
        reason = f"NOT TESTED on a real Directus: {' and '.join(missing)} missing; run make setup-tests"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    mail = {"EMAIL_TRANSPORT": "sendmail", "EMAIL_SENDMAIL_PATH": str(mailbox.parent / "sendmail")}
    with running_directus(secret=SECRET, settings=mail) as server:
        yield server


@pytest.fixture(scope="session")
def directus_installed(directus_server: RealDirectus) -> DirectusPlace:
    """The definition installed in it, once."""
    return _open(directus_server)


@pytest.fixture
def directus_place(directus_installed: DirectusPlace) -> DirectusPlace:
    """An empty store in it."""
    directus_installed.empty()
    return directus_installed
