"""A real Directus on a real PostgreSQL, for tests and for `make directus`; both are ended by process id.

PostgreSQL comes from Debian, Directus from `deploy/directus`, its Node from a wheel (`make setup-tests` installs them).
A new server takes about ten seconds to set itself up, so that is done once: a copy of the fresh database cluster stays
in `var/` and every later start copies it. The database listens on a Unix socket alone, in a folder of its own user.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import urllib3

from tests.node_program import node_program
from tests.real_postgresql import (
    DATABASE_USER,
    as_database_user,
    await_ready,
    postgresql_folder,
    postgresql_folders,
    running_postgresql,
    stop,
)

ROOT = Path(__file__).resolve().parents[1]
INSTALLATION = ROOT / "deploy" / "directus"
ENTRY = INSTALLATION / "node_modules" / "@directus" / "api" / "dist" / "cli" / "run.js"
DATABASE = "directus"
SECRET_CHARS = 32


class NotInstalled(Exception):
    """PostgreSQL, or Directus, is not installed."""


@dataclass(frozen=True)
class RealDirectus:
    """A running server.

    Attributes:
        url: on loopback.
        admin_token: static token of the administrator.
        secret: key of its access tokens.
        uploads: folder of the stored contents.
        socket_folder: where the database listens.
        pid: of the Directus process.
    """

    url: str
    admin_token: str = field(repr=False)
    secret: str = field(repr=False)
    uploads: Path
    socket_folder: Path
    pid: int

    def sql(self, statements: str) -> str:
        """Run SQL behind the server's back; return what it prints, without headers."""
        command = [str(postgresql_folder() / "psql"), "-h", str(self.socket_folder), "-U", DATABASE_USER]
        options = ["-v", "ON_ERROR_STOP=1", "-qAtX", "-d", DATABASE]
        done = subprocess.run([*command, *options], input=statements, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def what_is_missing() -> list[str]:
    """Return what is not installed, in words."""
    missing = [] if any(postgresql_folders()) else ["PostgreSQL (Debian package postgresql)"]
    if not (node_program() and ENTRY.exists()):
        missing.append("Directus (deploy/directus/node_modules)")
    return missing


@contextmanager
def running_directus(
    *,
    secret: str | None = None,
    keep: Path | None = None,
    port: int | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[RealDirectus]:
    """Run PostgreSQL and Directus until the block ends.

    Args:
        secret: key of the access tokens; a new one by default.
        keep: folder where database and files stay for the next time; by default nothing stays.
        port: where it listens; a free one by default.
        settings: further environment variables of Directus.

    Raises:
        NotInstalled: names what is missing.
    """
    if missing := what_is_missing():
        raise NotInstalled(f"expected {' and '.join(missing)}; run make setup-tests")
    folder = keep or Path(tempfile.mkdtemp(prefix="geniequeue-directus-"))
    try:
        template = _template()
        admin_token = (template / "admin-token").read_text()
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)  # the database's user goes through it
        if not (folder / "cluster").exists():
            _copy(template / "cluster", folder / "cluster")
        (folder / "uploads").mkdir(mode=0o700, exist_ok=True)
        chosen = secret or _kept_secret(folder / "secret")
        with running_postgresql(folder / "cluster") as socket_folder:
            environment = _environment(folder, socket_folder, port or free_port(), chosen) | dict(settings or {})
            with _directus(environment, folder / "directus.log") as pid:
                url = environment["PUBLIC_URL"]
                yield RealDirectus(url, admin_token, chosen, folder / "uploads", socket_folder, pid)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _kept_secret(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(SECRET_CHARS))
    return path.read_text()


def _template() -> Path:
    """Return a folder with a cluster that Directus has just set up, made where missing."""
    recipe = [(INSTALLATION / "package-lock.json").read_bytes(), str(postgresql_folder()).encode(), b"2"]
    name = hashlib.sha256(b"\0".join(recipe)).hexdigest()[:16]
    template = Path(os.environ.get("VAR_DIR", ROOT / "var")) / "directus-template" / name
    if not (template / "admin-token").exists():
        template.parent.mkdir(parents=True, exist_ok=True)
        made = _set_up_anew(Path(tempfile.mkdtemp(prefix="geniequeue-directus-")))
        partial = template.with_name(f"{name}.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        _copy(made, partial)
        shutil.rmtree(made)
        try:
            partial.rename(template)
        except OSError:  # somebody else was faster
            shutil.rmtree(partial)
    return template


def _set_up_anew(folder: Path) -> Path:
    """Make a cluster and let Directus set itself up in it."""
    cluster, token = folder / "cluster", secrets.token_hex(SECRET_CHARS)
    folder.chmod(0o711)  # the database's user goes through it
    cluster.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(cluster, DATABASE_USER, DATABASE_USER)
    options = ["--auth=trust", f"--username={DATABASE_USER}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    _run([*as_database_user(), str(postgresql_folder() / "initdb"), *options, str(cluster)])
    with running_postgresql(cluster) as socket_folder:
        psql = [str(postgresql_folder() / "psql"), "-h", str(socket_folder), "-U", DATABASE_USER, "-X"]
        _run([*psql, "-c", f"CREATE DATABASE {DATABASE}", "postgres"])
        admin = {"ADMIN_EMAIL": "admin@example.com", "ADMIN_PASSWORD": token, "ADMIN_TOKEN": token}
        environment = _environment(folder, socket_folder, free_port(), secrets.token_hex(SECRET_CHARS)) | admin
        _run(_node("bootstrap"), environment)
    (folder / "admin-token").touch(mode=0o600)
    (folder / "admin-token").write_text(token)
    return folder


def _environment(folder: Path, socket_folder: Path, port: int, secret: str) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(folder),
        "DB_CLIENT": "pg",
        "DB_HOST": str(socket_folder),
        "DB_PORT": "5432",
        "DB_DATABASE": DATABASE,
        "DB_USER": DATABASE_USER,
        "DB_PASSWORD": "",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "SECRET": secret,
        "TELEMETRY": "false",
        "LOG_STYLE": "raw",
        "LOG_LEVEL": "warn",
        "LOGIN_STALL_TIME": "0",
        "ACCESS_TOKEN_TTL": "1h",
        "STORAGE_LOCATIONS": "local",
        "STORAGE_LOCAL_ROOT": str(folder / "uploads"),
    }


def _node(command: str) -> list[str]:
    return [str(node_program()), "--no-node-snapshot", str(ENTRY), command]


@contextmanager
def _directus(environment: Mapping[str, str], log: Path) -> Iterator[int]:
    with log.open("ab") as output:
        server = subprocess.Popen(
            _node("start"),
            cwd=INSTALLATION,
            env=dict(environment),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        await_ready(f"Directus (see {log})", server, lambda: _answers(environment["PUBLIC_URL"]))
        yield server.pid
    finally:
        stop(server, signal.SIGTERM)


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/server/ping", timeout=2, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _copy(source: Path, target: Path) -> None:
    _run(["cp", "-a", "--reflink=auto", str(source), str(target)])


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> None:
    folder = INSTALLATION if environment else Path("/")
    env = dict(environment) if environment else None
    done = subprocess.run(command, cwd=folder, env=env, text=True, capture_output=True, check=False)
    assert done.returncode == 0, f"{command[0]} failed: {done.stdout}{done.stderr}"


def main() -> None:
    """Run a server in the foreground, with its data in `VAR_DIR/directus`, until Ctrl-C or SIGTERM."""
    keep = Path(os.environ.get("VAR_DIR", ROOT / "var")).resolve() / "directus"
    port = int(os.environ.get("DIRECTUS_PORT", "8055"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with running_directus(keep=keep, port=port) as server:
        path = keep / "directus.env"
        path.touch(mode=0o600)
        lines = {
            "DIRECTUS_URL": server.url,
            "DIRECTUS_ADMIN_TOKEN": server.admin_token,
            "DIRECTUS_SECRET": server.secret,
        }
        path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        sys.stdout.write(json.dumps({"DIRECTUS_URL": server.url, "environment": str(path)}, indent=1) + "\n")
        sys.stdout.flush()
        try:
            signal.pause()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
