"""`geniequeue up`: every process of the Procfile in the foreground; `geniequeue redis`: the embedded Redis alone."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import click
import requests

import geniequeue
from geniequeue.cli.directus_setup import ADMIN_TOKEN
from geniequeue.cli.embedded import needs_redis, prepare_redis, prepare_values, redis_server
from geniequeue.cli.exits import WrongUsage, explained
from geniequeue.cli.lock import lock_instance
from geniequeue.cli.output import as_json, for_reading
from geniequeue.cli.ports import LOOPBACK, is_free
from geniequeue.cli.procfile import STOP_MARGIN_S, programs_of, read_procfile, supervisor_conf
from geniequeue.cli.session import USER_TOKEN
from geniequeue.cli.supervise import Supervisor
from geniequeue.config import EMBEDDED_FILE, Settings, load_settings
from geniequeue.errors import SettingsError

CHECKOUT = Path(geniequeue.__file__).resolve().parent.parent
STOP_WITHIN_S = 5
"""How long a job may go on after Ctrl-C, where `STOP_WITHIN_S` is not set: somebody waits at the terminal."""
READY_POLL_S = 0.3
HINT_AFTER_S = 60.0


@click.command()
def up() -> None:
    """Run every process in the foreground; Ctrl-C ends them."""
    with explained():
        lock, settings = _prepare(os.environ)
        _check_ports(settings)
        own_redis = needs_redis(os.environ)
        if own_redis:
            prepare_redis(settings.var_dir, settings.redis_url)
        programs = programs_of(read_procfile(CHECKOUT / "Procfile"), redis=own_redis)
        environ = child_environ(os.environ, settings, sys.stdout.isatty())
        wait_s = stop_wait_s(environ)
        supervisor = Supervisor(programs, lock, _printer(environ["LOG_FORMAT"], max(map(len, programs))), wait_s)
        conf = settings.var_dir / "supervisord.conf"
        told = supervisor_conf(programs, supervisor.outputs, stop_wait_s=wait_s, root=os.getuid() == 0)
        conf.write_text(told, encoding="utf-8")
    announcer = threading.Thread(target=_announce, args=(settings,), daemon=True)
    sys.exit(supervisor.run(conf, environ, CHECKOUT, when_started=announcer.start))


def _printer(log_format: str, width: int) -> Callable[[str, str], None]:
    """Return what prints the lines of the processes; it asks for the end where nobody reads any more."""

    def write(name: str, text: str) -> None:
        line = as_json(name, text) if log_format == "json" else for_reading(name, text, width)
        try:
            click.echo(line)
        except OSError:
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            os.kill(os.getpid(), signal.SIGTERM)

    return write


@click.command()
def redis() -> None:
    """Serve the embedded Redis alone, in the foreground; for `honcho start`."""
    with explained():
        if not needs_redis(os.environ):
            raise WrongUsage("expected REDIS_URL unset, got one: that Redis is used, and no embedded one is needed")
        lock, settings = _prepare(os.environ)
        conf = prepare_redis(settings.var_dir, settings.redis_url)
        server = str(redis_server())
    click.echo(f"Redis serves {settings.var_dir}; its address and password are in {settings.var_dir / EMBEDDED_FILE}")
    os.set_inheritable(lock, True)
    os.execv(server, [server, str(conf)])  # noqa: S606 - no shell, on purpose


def child_environ(environ: Mapping[str, str], settings: Settings, terminal: bool) -> dict[str, str]:
    """Return the environment of the processes: that of the caller with absolute paths, and no generated secret.

    Nor has it the tokens that are for the command line alone. Unless `STOP_WITHIN_S` is set, workers end soon.
    """
    children = {
        **{name: value for name, value in environ.items() if name not in (ADMIN_TOKEN, USER_TOKEN)},
        "VAR_DIR": str(settings.var_dir),
        "PORT": str(settings.port),
        "FLOWER_PORT": str(settings.flower_port),
        "MEDIA_TMP_DIR": str(settings.media_tmp_dir),
        "STOP_WITHIN_S": environ.get("STOP_WITHIN_S", "").strip() or str(STOP_WITHIN_S),
        "LOG_FORMAT": environ.get("LOG_FORMAT", "").strip() or ("console" if terminal else "json"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
    }
    if needs_redis(environ):
        children["REDIS_SERVER"] = str(redis_server())
    return children


def stop_wait_s(children: Mapping[str, str]) -> int:
    """Return how long a process with this environment may take to end, in s."""
    return int(children["STOP_WITHIN_S"]) + STOP_MARGIN_S


def _prepare(environ: Mapping[str, str]) -> tuple[int, Settings]:
    """Take the lock of the `VAR_DIR`, generate what is missing, and read the settings."""
    var_dir = Path(environ.get("VAR_DIR", "").strip() or "var").resolve()
    lock = lock_instance(var_dir)
    prepare_values(var_dir, environ)
    return lock, load_settings(environ)


def _check_ports(settings: Settings) -> None:
    ports = {"PORT": settings.port, "FLOWER_PORT": settings.flower_port}
    faults = [
        f"{name}: expected a free port, but something listens on {LOOPBACK}:{port}; stop it, or set another {name}"
        for name, port in ports.items()
        if not is_free(port)
    ]
    if settings.port == settings.flower_port:
        faults.append(f"FLOWER_PORT: expected another port than PORT, got {settings.port} for both")
    if faults:
        raise SettingsError(faults)


def _announce(settings: Settings) -> None:
    """Print one line when everything runs, and one hint where that takes long."""
    api = f"http://{LOOPBACK}:{settings.port}"
    waited_s = 0.0
    while True:
        time.sleep(READY_POLL_S)
        waited_s += READY_POLL_S
        if is_ready(api):
            click.echo(_urls(api, settings))
            return
        if waited_s >= HINT_AFTER_S:
            click.echo(f"not ready yet: see {api}/readyz, or run `geniequeue doctor`")
            waited_s = float("-inf")


def is_ready(api_url: str) -> bool:
    """Tell whether every process of a service runs."""
    try:
        return requests.get(f"{api_url}/readyz", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def _urls(api: str, settings: Settings) -> str:
    kept = "FLOWER_PASSWORD" if os.environ.get("FLOWER_PASSWORD") else f"in {settings.var_dir / EMBEDDED_FILE}"
    flower = f"http://{LOOPBACK}:{settings.flower_port} (user {settings.flower_user}, password {kept})"
    return f"ready: API {api} · docs {api}/api/docs · Flower {flower} · Ctrl-C ends all"
