"""One running instance for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service import REPOSITORY, Service, await_true, make_service

PHOTO = REPOSITORY / "samples" / "otter.jpg"


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start every process of the Procfile with the embedded defaults."""
    running = make_service(tmp_path_factory.mktemp("service") / "var")
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def token(service: Service) -> str:
    """A creator's token."""
    return service.token("creator")


@pytest.fixture
def photo() -> Path:
    """A photograph with camera EXIF and GPS."""
    return PHOTO


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(service: Service) -> Iterator[None]:
    """After any test, whatever it sent, no temporary file of a finished job is left."""
    yield
    folder = service.folder / "media-tmp"
    await_true(lambda: not any(folder.iterdir()), 30, lambda: f"left behind: {list(folder.iterdir())}")
