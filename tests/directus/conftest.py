"""A whole running instance whose records and files are in a real Directus."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from geniequeue.config import Settings, load_settings
from geniequeue.jobs.job import Entry
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.records.protocol import RecordStore
from tests.accounts import Account
from tests.directus.in_process import DirectusApi, make_directus_api
from tests.directus_fixture import SERVICE_TOKEN, DirectusPlace
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.service import FINAL, REPOSITORY, Service, await_true, clean_environ, free_port

PHOTO = REPOSITORY / "samples" / "otter.jpg"


@dataclass
class DirectusService(Service):
    """An instance that reaches Directus through a proxy, which does wrong when told to.

    Attributes:
        place: the Directus, reached without the proxy.
        proxy: between the instance and Directus.
    """

    place: DirectusPlace = field(kw_only=True)
    proxy: FaultProxy = field(kw_only=True)

    @property
    def store(self) -> RecordStore:  # type: ignore[override]
        """The records, without the proxy."""
        return self.place.store

    def token(self, user: str = "creator", *, admin: bool = False, ttl_s: float = 3600) -> str:
        """Return the token of somebody who has signed in; it lives as long as Directus wants."""
        del ttl_s
        return self.account(user, admin=admin).token

    def account(self, user: str = "creator", *, admin: bool = False) -> Account:
        """Return somebody who has signed in."""
        return self.place.account(user, admin=admin)


def make_directus_service(folder: Path, place: DirectusPlace, proxy: FaultProxy, **settings: str) -> DirectusService:
    """Return an instance on this Directus that is not started yet; it has the token unless `settings` say where."""
    ports = {"PORT": str(free_port()), "FLOWER_PORT": str(free_port())}
    directus = {"DIRECTUS_URL": proxy.url, "DIRECTUS_SECRET": place.server.secret}
    if "DIRECTUS_TOKEN_FILE" not in settings:
        directus["DIRECTUS_TOKEN"] = SERVICE_TOKEN
    environ = clean_environ(VAR_DIR=str(folder), **ports, **directus, **settings)
    return DirectusService(folder, environ, place=place, proxy=proxy)


@pytest.fixture(scope="session")
def directus_service(
    directus_installed: DirectusPlace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DirectusService]:
    """Start every process of the Procfile, with the records in Directus."""
    with fault_proxy(directus_installed.server.url) as proxy:
        running = make_directus_service(tmp_path_factory.mktemp("directus-service") / "var", directus_installed, proxy)
        running.start()
        yield running
        running.stop()


@pytest.fixture(scope="session")
def watched_service(
    directus_installed: DirectusPlace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DirectusService]:
    """An instance whose every call to Directus is the test's doing: one web process, so one cache of accounts.

    Its token is in a file, and no call takes longer than some seconds.
    """
    folder = tmp_path_factory.mktemp("watched-service")
    token_file = folder / "token"
    token_file.write_text(SERVICE_TOKEN)
    settings = {"DIRECTUS_TOKEN_FILE": str(token_file), "DIRECTUS_TIMEOUT_S": "3", "WEB_WORKERS": "1"}
    with fault_proxy(directus_installed.server.url) as proxy:
        running = make_directus_service(folder / "var", directus_installed, proxy, **settings)
        running.start()
        yield running
        running.stop()


@pytest.fixture
def watched(watched_service: DirectusService) -> Iterator[DirectusService]:
    """That instance; after the test its proxy does no wrong and no temporary file is left."""
    watched_service.proxy.behave()
    yield watched_service
    watched_service.proxy.behave()
    folder = watched_service.folder / "media-tmp"
    await_true(lambda: not any(folder.iterdir()), 60, lambda: f"left behind: {list(folder.iterdir())}")


@pytest.fixture
def service(directus_service: DirectusService) -> Iterator[DirectusService]:
    """The running instance; after the test its proxy does no wrong and no temporary file is left."""
    directus_service.proxy.faults.clear()
    directus_service.proxy.requests.clear()
    yield directus_service
    directus_service.proxy.faults.clear()
    folder = directus_service.folder / "media-tmp"
    await_true(lambda: not any(folder.iterdir()), 30, lambda: f"left behind: {list(folder.iterdir())}")


@pytest.fixture
def directus_api(
    directus_installed: DirectusPlace, settings: Settings, redis_client: redis.Redis
) -> Iterator[DirectusApi]:
    """The application in this process, on an empty Redis and the real Directus, behind a proxy of its own."""
    with fault_proxy(directus_installed.server.url) as proxy:
        yield make_directus_api(settings, directus_installed, proxy)


@pytest.fixture
def photo() -> Path:
    """A photograph with camera EXIF and GPS."""
    return PHOTO


def new_user_name(prefix: str = "creator") -> str:
    """Return a name that no test has used."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def outputs_of(job: Mapping[str, Any]) -> list[str]:
    """Return the ids of the files that a job made."""
    return [str(output["file_id"]) for output in job["outputs"]]


def await_end(service: DirectusService, job_id: str, within_s: float = 60) -> dict[str, Any]:
    """Wait until a job has ended in item and ledger, without a call through the proxy; return the item."""
    records, item = service.store.as_service(), dict[str, Any]()

    def ended() -> bool:
        item.update(records.get_item("media_jobs", job_id))
        return item["status"] not in ("queued", "processing") and entry_of(service, item).state in FINAL

    await_true(ended, within_s, lambda: f"job {job_id} stays {item}:\n{service.log()[-3000:]}")
    return item


def entry_of(service: DirectusService, item: Mapping[str, Any]) -> Entry:
    """Return the ledger's entry of an item."""
    prefix, queue, number = item["bull_job_id"].split(":")
    entry = Ledger(redis_of(service), prefix).entry(queue, number)
    assert entry is not None
    return entry


def redis_of(service: DirectusService) -> redis.Redis:
    """Open a connection to the instance's Redis."""
    return connect(load_settings(service.environ).redis_url)
