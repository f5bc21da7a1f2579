"""A private PostgreSQL from Debian's package, on a Unix socket alone, under an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

DATABASE_USER = "postgres"
START_WITHIN_S = 60.0
STOP_WITHIN_S = 20.0


def postgresql_folder() -> Path:
    """Return the folder of the newest installed PostgreSQL's programs."""
    return max(postgresql_folders(), key=lambda folder: int(folder.parent.name))


def postgresql_folders() -> list[Path]:
    """Return the folders of the programs of every installed PostgreSQL."""
    return [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]


@contextmanager
def running_postgresql(cluster: Path) -> Iterator[Path]:
    """Run a database server; yield the folder of its socket."""
    socket_folder = Path(tempfile.mkdtemp(prefix="geniequeue-pg-"))  # a socket's path must be short
    if os.geteuid() == 0:
        shutil.chown(socket_folder, DATABASE_USER, DATABASE_USER)
    speed = ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
    place = ["-D", str(cluster), "-k", str(socket_folder), "-c", "listen_addresses="]
    server = subprocess.Popen(
        [*as_database_user(), str(postgresql_folder() / "postgres"), *place, *speed],
        cwd="/",
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ready = [str(postgresql_folder() / "pg_isready"), "-q", "-h", str(socket_folder)]
        await_ready("PostgreSQL", server, lambda: subprocess.run(ready, check=False).returncode == 0)
        yield socket_folder
    finally:
        stop(server, signal.SIGINT)  # fast shutdown
        shutil.rmtree(socket_folder, ignore_errors=True)


def await_ready(name: str, server: subprocess.Popen[bytes], is_ready: Callable[[], bool]) -> None:
    """Wait until a server that was started answers."""
    deadline = time.monotonic() + START_WITHIN_S
    while not is_ready():
        assert server.poll() is None and time.monotonic() < deadline, f"{name} did not start"
        time.sleep(0.05)


def stop(server: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """End a server that was started here."""
    if server.poll() is None:
        server.send_signal(how)
    try:
        server.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def as_database_user() -> list[str]:
    """Return what makes a command run as an unprivileged user; PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return []
    account = pwd.getpwnam(DATABASE_USER)
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--"]
