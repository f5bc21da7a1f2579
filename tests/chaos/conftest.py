"""A running instance whose processes are killed, stopped and robbed of Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.trouble import Trouble, running_trouble
from tests.service import REPOSITORY, Service, make_service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start every process of the Procfile; the supervisor starts again what was killed."""
    running = make_service(tmp_path_factory.mktemp("chaos") / "var", STOP_WITHIN_S="2")
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def token(service: Service) -> str:
    """A creator's token."""
    return service.token("creator")


@pytest.fixture
def photo() -> Path:
    """A photograph."""
    return REPOSITORY / "samples" / "otter.jpg"


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trouble]:
    """Start a service, its Redis and a proxy between them."""
    with running_trouble(tmp_path_factory.mktemp("trouble")) as trouble:
        yield trouble


@pytest.fixture
def trouble(running: Trouble) -> Iterator[Trouble]:
    """The service in good order, before and after."""
    running.service.wait_ready()
    yield running
    running.proxy.delay_s = 0.0
    running.proxy.loses = lambda _: ""
    running.proxy.passing.set()
