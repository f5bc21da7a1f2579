"""What is generated once per `VAR_DIR`, and the one instance that may use it."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from geniequeue.cli.embedded import prepare_redis, prepare_values, redis_server
from geniequeue.cli.lock import lock_instance
from geniequeue.cli.up import child_environ, stop_wait_s
from geniequeue.config import embedded_values, load_settings
from geniequeue.errors import SettingsError


@pytest.fixture
def var_dir(tmp_path: Path) -> Path:
    return tmp_path / 'a "quoted" folder\\with # everything; 100%' / "var"


@pytest.fixture
def occupied() -> Iterator[int]:
    """A port on which somebody listens who is no Redis of ours."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_long_private_and_made_once(var_dir: Path) -> None:
    values = prepare_values(var_dir, {})
    assert mode(var_dir / "embedded.env") == 0o600
    assert set(values) == {"REDIS_URL", "DIRECTUS_SECRET", "FLOWER_PASSWORD"}
    secrets = {values["DIRECTUS_SECRET"], values["FLOWER_PASSWORD"], urlsplit(values["REDIS_URL"]).password}
    assert len(secrets) == 3
    assert all(secret and len(secret) >= 32 for secret in secrets)
    assert prepare_values(var_dir, {}) == values == embedded_values(var_dir)


def test_the_settings_read_what_was_generated(var_dir: Path) -> None:
    values = prepare_values(var_dir, {})
    settings = load_settings({"VAR_DIR": str(var_dir)})
    assert settings.redis_url == values["REDIS_URL"]
    assert settings.directus_secret == values["DIRECTUS_SECRET"]


def test_what_the_environment_gives_is_not_generated(var_dir: Path) -> None:
    given = {"REDIS_URL": "redis://127.0.0.1/0", "DIRECTUS_SECRET": "s" * 32, "FLOWER_PASSWORD": "given"}
    assert prepare_values(var_dir, given) == {}


def test_the_secret_of_directus_is_never_generated(var_dir: Path) -> None:
    assert "DIRECTUS_SECRET" not in prepare_values(var_dir, {"DIRECTUS_URL": "http://directus"})


def test_a_port_that_somebody_else_took_is_chosen_anew_with_the_same_password(var_dir: Path, occupied: int) -> None:
    var_dir.mkdir(parents=True)
    (var_dir / "embedded.env").write_text(f"REDIS_URL=redis://:{'p' * 40}@127.0.0.1:{occupied}/0\n")
    url = urlsplit(prepare_values(var_dir, {})["REDIS_URL"])
    assert url.port != occupied
    assert url.password == "p" * 40


def test_a_redis_of_this_folder_that_still_runs_is_not_started_twice(var_dir: Path, redis_url: str) -> None:
    var_dir.mkdir(parents=True)
    (var_dir / "embedded.env").write_text(f"REDIS_URL={redis_url}\n")
    with pytest.raises(SettingsError, match="runs already"):
        prepare_values(var_dir, {})


def test_the_configuration_of_redis_is_private_and_keeps_what_it_is_told(var_dir: Path) -> None:
    values = prepare_values(var_dir, {})
    conf = prepare_redis(var_dir, values["REDIS_URL"])
    text = conf.read_text()
    assert mode(conf) == 0o600
    for line in ("bind 127.0.0.1", "appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"):
        assert line in text.splitlines()
    assert str(urlsplit(values["REDIS_URL"]).password) in text


def test_no_generated_secret_is_in_the_environment_of_the_processes(var_dir: Path) -> None:
    values = prepare_values(var_dir, {})
    environ = {"VAR_DIR": str(var_dir), "PATH": "/usr/bin"}
    children = child_environ(environ, load_settings(environ), terminal=False)
    assert not set(values.values()) & set(children.values())
    assert (children["PORT"], children["FLOWER_PORT"], children["VAR_DIR"]) == ("3001", "5555", str(var_dir))


@pytest.mark.parametrize(("given", "within", "wait_s"), [({}, "5", 20), ({"STOP_WITHIN_S": "60"}, "60", 75)])
def test_workers_end_soon_after_ctrl_c_unless_told_otherwise_and_are_not_killed_before(
    var_dir: Path, given: dict[str, str], within: str, wait_s: int
) -> None:
    prepare_values(var_dir, {})
    environ = {"VAR_DIR": str(var_dir), **given}
    children = child_environ(environ, load_settings(environ), terminal=False)
    assert (children["STOP_WITHIN_S"], stop_wait_s(children)) == (within, wait_s)


@pytest.mark.parametrize(("terminal", "given", "expected"), [
    (True, {}, "console"), (False, {}, "json"), (True, {"LOG_FORMAT": "json"}, "json"),
])  # fmt: skip
def test_logs_are_for_reading_on_a_terminal_only(
    var_dir: Path, terminal: bool, given: dict[str, str], expected: str
) -> None:
    prepare_values(var_dir, {})
    environ = {"VAR_DIR": str(var_dir), **given}
    assert child_environ(environ, load_settings(environ), terminal=terminal)["LOG_FORMAT"] == expected


def test_a_redis_server_is_found_without_starting_anything() -> None:
    assert redis_server().name == "redis-server"


def test_a_second_instance_of_one_folder_is_refused(var_dir: Path) -> None:
    lock_instance(var_dir)
    with pytest.raises(SettingsError, match="an instance runs already"):
        lock_instance(var_dir)
