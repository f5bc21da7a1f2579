"""The application, in this process (`client`) and behind the production server (`server`)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from api.services import Services, build_services
from geniequeue.config import Settings
from geniequeue.jobs.ledger import Ledger
from geniequeue.records.embedded import EmbeddedStore
from tests.accounts import SECRET
from tests.conftest import Person
from tests.redis_server import free_port

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def services(settings: Settings, ledger: Ledger) -> Services:
    """Services on an empty Redis and an empty store; nothing runs in the background."""
    return build_services(settings)


@pytest.fixture
def app(services: Services) -> Flask:
    """The application."""
    return create_app(services)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client that is nobody."""
    return app.test_client()


@dataclass
class Api:
    """A client with a creator's token."""

    client: FlaskClient
    person: Person

    def request(self, method: str, path: str, body: Any = None, person: Person | None = None, **kwargs: Any) -> Any:
        """Send a request as the creator, or as `person`."""
        headers = {**(person or self.person).headers, **kwargs.pop("headers", {})}
        sent = {"json": body} if body is not None else {}
        return self.client.open(path, method=method, headers=headers, **sent, **kwargs)

    def get(self, path: str, **kwargs: Any) -> Any:
        """Send a GET."""
        return self.request("GET", path, **kwargs)

    def post(self, path: str, body: Any = None, **kwargs: Any) -> Any:
        """Send a POST."""
        return self.request("POST", path, body, **kwargs)

    def enqueue(
        self, job_id: Any, operation: Any = "resize_image", person: Person | None = None, **members: Any
    ) -> Any:
        """POST a job."""
        return self.post("/api/queue/media", {"jobId": job_id, "operation": operation, **members}, person=person)


@pytest.fixture
def api(client: FlaskClient, creator: Person) -> Api:
    """A client with a creator's token."""
    return Api(client, creator)


@dataclass
class Server:
    """The application behind the production server of the Procfile."""

    port: int
    person: Person

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def exchange(self, raw: bytes, *, within_s: float = 10) -> tuple[int, dict[str, str], bytes]:
        """Send bytes as they are; return status, headers (lower case) and body."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=within_s) as connection:
            connection.sendall(raw)
            return read_answer(connection)

    def head(self, method: str, path: str, *lines: str) -> bytes:
        """Return the head of a request by the creator, without the empty line that ends it."""
        first = (f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self.person.token}")
        return "".join(f"{line}\r\n" for line in (*first, *lines)).encode("latin-1")


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one HTTP answer."""
    stream = connection.makefile("rb")
    status = int(stream.readline().split()[1])
    headers = {}
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return status, headers, stream.read(int(headers.get("content-length", "0")))


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    """Settings of the server that a module wants otherwise than they are by default."""
    return {}


@pytest.fixture(scope="module")
def server(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory, server_settings: dict[str, str]
) -> Iterator[Server]:
    """The web process as the Procfile starts it, two processes of 32 threads."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PORT": str(port),
        "VAR_DIR": str(folder / "var"),
        "REDIS_URL": redis_url,
        "DIRECTUS_SECRET": SECRET,
        **server_settings,
    }
    store = EmbeddedStore(folder / "var" / "records", SECRET)
    user = store.ensure_user("creator", "pro", False)
    person = Person(user, store.mint_token(user, 3600), store, folder)
    with (folder / "web.log").open("wb") as log:
        command = ["sh", "-c", "exec " + _shell_line()]
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environ, stdout=log, stderr=log)
    try:
        _await_health(port, process, folder / "web.log")
        yield Server(port, person)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)
        store.close()
    written = (folder / "web.log").read_text()
    assert "Traceback" not in written, written[-4000:]
    assert person.token not in written


def _shell_line() -> str:
    lines = (REPOSITORY / "Procfile").read_text().splitlines()
    return next(line for line in lines if line.startswith("web:")).partition(":")[2].strip()


def _await_health(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-4000:]
        try:
            if requests.get(f"http://127.0.0.1:{port}/healthz", timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.05)


def body_of(raw: bytes) -> Any:
    """Parse a JSON answer."""
    return json.loads(raw)
