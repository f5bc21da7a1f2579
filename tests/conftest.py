"""What every kind of test needs: a real Redis, the embedded store, and people with tokens."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from geniequeue.config import Settings, load_settings
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.records.embedded import EmbeddedStore
from geniequeue.records.protocol import User
from tests.accounts import SECRET
from tests.directus_fixture import directus_installed, directus_place, directus_server, mailbox  # noqa: F401 - fixtures
from tests.redis_server import running_redis


@dataclass(frozen=True)
class Person:
    """Somebody with an account.

    Attributes:
        token: valid for an hour.
        scratch: folder for what is about to be uploaded.
    """

    user: User
    token: str = field(repr=False)
    store: EmbeddedStore = field(repr=False)
    scratch: Path = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Request headers that say who asks."""
        return {"Authorization": f"Bearer {self.token}"}

    def upload(self, content: bytes = b"content", name: str = "picture.jpg") -> str:
        """Store a file; return its id."""
        file_id = str(uuid.uuid4())
        source = self.scratch / file_id
        source.write_bytes(content)
        self.store.as_user(self.token).upload(source, file_id=file_id, filename=name, mime="image/jpeg")
        source.unlink()
        return file_id

    def create_job(self, operation: str = "resize_image", **fields: Any) -> str:
        """Create a `media_jobs` item as the web app does, with a file of its own; return its id."""
        file_id = fields.pop("input_file_id", None) or self.upload()
        item = {"operation": operation, "params": {"width": 100}, "input_file_id": file_id, **fields}
        return str(self.store.as_user(self.token).create_item("media_jobs", item)["id"])


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Redis that belongs to this test run alone."""
    with running_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A connection to an empty database."""
    client = connect(redis_url)
    client.flushdb()
    yield client
    client.close()


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    """Settings of a service in a folder of its own."""
    values = {"VAR_DIR": str(tmp_path / "var"), "REDIS_URL": redis_url, "DIRECTUS_SECRET": SECRET}
    return load_settings(values)


@pytest.fixture
def store(settings: Settings) -> Iterator[EmbeddedStore]:
    """An empty record store."""
    opened = EmbeddedStore(settings.var_dir / "records", settings.directus_secret)
    yield opened
    opened.close()


@pytest.fixture
def ledger(redis_client: redis.Redis) -> Ledger:
    """An empty ledger."""
    return Ledger(redis_client, "bull")


@pytest.fixture
def person(store: EmbeddedStore, tmp_path: Path) -> Callable[..., Person]:
    """Make somebody with an account and a token."""

    def make(name: str, *, admin: bool = False, ttl_s: float = 3600) -> Person:
        user = store.ensure_user(name, "pro", admin)
        return Person(user, store.mint_token(user, ttl_s), store, tmp_path)

    return make


@pytest.fixture
def creator(person: Callable[..., Person]) -> Person:
    """A creator."""
    return person("creator")


@pytest.fixture
def other_creator(person: Callable[..., Person]) -> Person:
    """Another creator, who has nothing to do with the first."""
    return person("other creator")


@pytest.fixture
def admin(person: Callable[..., Person]) -> Person:
    """An administrator."""
    return person("admin", admin=True)
