"""The stores that the contract is held against. To add one, write its place and name it in PLACES."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from geniequeue.records.embedded import EmbeddedStore
from geniequeue.records.protocol import Records, RecordStore
from tests.accounts import SECRET, Account
from tests.directus_fixture import DirectusPlace


@dataclass
class EmbeddedPlace:
    """The embedded store in a folder of its own.

    Attributes:
        checks_accounts: whether each call looks the account up, so that a token ends with it.
        checks_claims: whether a token signed with the right key is still refused for what it says.
    """

    root: Path
    checks_accounts = True
    checks_claims = True
    store: EmbeddedStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = self.open_again()

    @property
    def open_again(self) -> Callable[[], EmbeddedStore]:
        """Return what opens the same store in another process."""
        return partial(EmbeddedStore, self.root, SECRET)

    def account(self, name: str, *, admin: bool = False) -> Account:
        user = self.store.ensure_user(name, tier="creator", admin=admin)
        token = self.store.mint_token(user, 600)
        return Account(user.id, token, self.store.as_user(token))

    def expired_token(self, account: Account) -> str:
        return self.store.mint_token(self.store.as_service().get_user(account.id), -60)

    def suspend(self, account: Account) -> None:
        self.store.set_user_status(account.id, "suspended")

    def folder(self) -> str:
        """Return a folder to put files into."""
        return new_id()

    def age(self, file_id: str) -> None:
        """Make a file a day older."""

    def replace_content(self, file_id: str, content: bytes) -> None:
        """Damage a content behind the store's back."""
        (self.root / "files" / file_id).write_bytes(content)


Place = EmbeddedPlace | DirectusPlace


@pytest.fixture
def embedded_place(tmp_path: Path) -> EmbeddedPlace:
    return EmbeddedPlace(tmp_path / "store")


@pytest.fixture(params=["embedded", "directus"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    place: Place = request.getfixturevalue(f"{request.param}_place")
    yield place
    place.store.close()


@pytest.fixture
def store(place: EmbeddedPlace) -> RecordStore:
    return place.store


@pytest.fixture
def service(store: RecordStore) -> Records:
    return store.as_service()


@pytest.fixture
def alice(place: EmbeddedPlace) -> Account:
    return place.account("alice")


@pytest.fixture
def bob(place: EmbeddedPlace) -> Account:
    return place.account("bob")


@pytest.fixture
def admin(place: EmbeddedPlace) -> Account:
    return place.account("root", admin=True)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8 picture " * 50_000)
    return path


def new_id() -> str:
    return str(uuid.uuid4())


def store_file(records: Records, source: Path, **given: Any) -> str:
    """Upload under a new id and return it."""
    details = {"file_id": new_id(), "filename": source.name, "mime": "image/jpeg", **given}
    return records.upload(source, **details).id


def run_of(job_id: str, **given: Any) -> dict[str, Any]:
    """Return a whole media_job_runs item."""
    return {
        "id": new_id(),
        "job_id": job_id,
        "round": 1,
        "user_id": new_id(),
        "operation": "resize_image",
        "spec": {"params": {"width": 10}},
        "priority": 10,
        "bull_job_id": "bull:media-jobs:1",
        **given,
    }
