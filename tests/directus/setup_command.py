"""`geniequeue directus-setup` in the hands of the tests: run as an operator runs it, on a server of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from geniequeue.records.directus import DirectusStore
from geniequeue.records.directus_http import Call
from tests.real_directus import RealDirectus, running_directus
from tests.service import BIN, clean_environ

ROLE = "Makers of pictures"
TOKEN = uuid.uuid4().hex
KINDS = ("collections", "fields", "relations", "roles", "policies", "permissions", "access", "users")

Run = subprocess.CompletedProcess[str]


@contextmanager
def new_directus() -> Iterator[RealDirectus]:
    """Run a Directus that knows nothing of geniequeue, with one role of the customer's."""
    with running_directus() as server:
        send(server, "POST", "/roles", {"name": ROLE})
        yield server


def send(server: RealDirectus, method: str, path: str, body: Any = None) -> Any:
    """Send a request as administrator."""
    return DirectusStore(server.url, server.admin_token).request(Call(method, path, path, method, body))


def environ_of(server: RealDirectus, **values: str) -> dict[str, str]:
    given = {"DIRECTUS_URL": server.url, "DIRECTUS_ADMIN_TOKEN": server.admin_token, **values}
    return clean_environ(**{name: value for name, value in given.items() if value})


def setup(environ: dict[str, str], *arguments: str) -> Run:
    command = [str(BIN / "geniequeue"), "directus-setup", *arguments]
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, text=True, capture_output=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def setup_on_terminal(environ: dict[str, str], *arguments: str, typed: str = "") -> tuple[int, str]:
    """Run it on a terminal; return the exit code and what the terminal showed."""
    ours, theirs = pty.openpty()
    command = [str(BIN / "geniequeue"), "directus-setup", *arguments]
    process = subprocess.Popen(command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
            if typed and b"(not shown)" in shown:
                os.write(ours, f"{typed}\n".encode())
                typed = ""
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
    return process.wait(60), shown.decode().replace("\r\n", "\n")


def everything(server: RealDirectus) -> dict[str, Any]:
    """Return what the command could change."""
    rows = {kind: send(server, "GET", f"/{kind}?limit=-1") for kind in KINDS}
    for user in rows["users"]:
        user.pop("last_access")
    return rows


def holder(server: RealDirectus, token: str) -> str:
    call = Call("GET", "/users/me?fields=id", "directus_users", "read")
    return str(DirectusStore(server.url, token).request(call)["id"])
