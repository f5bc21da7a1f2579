"""A whole running instance whose records and files are in a real Directus."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from geniequeue.records.protocol import RecordStore
from tests.accounts import Account
from tests.directus_fixture import SERVICE_TOKEN, DirectusPlace
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.service import REPOSITORY, Service, await_true, clean_environ, free_port

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
    """Return an instance on this Directus that is not started yet."""
    ports = {"PORT": str(free_port()), "FLOWER_PORT": str(free_port())}
    directus = {
        "DIRECTUS_URL": proxy.url,
        "DIRECTUS_TOKEN": SERVICE_TOKEN,
        "DIRECTUS_SECRET": place.server.secret,
    }
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
def photo() -> Path:
    """A photograph with camera EXIF and GPS."""
    return PHOTO


def new_user_name(prefix: str = "creator") -> str:
    """Return a name that no test has used."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def outputs_of(job: Mapping[str, Any]) -> list[str]:
    """Return the ids of the files that a job made."""
    return [str(output["file_id"]) for output in job["outputs"]]
