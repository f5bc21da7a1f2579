"""Exit codes and sentences of the command line, without a running service."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path

import click
import jwt
import pytest
from click.testing import CliRunner

from geniequeue.cli.commands import Commands
from geniequeue.cli.embedded import prepare_values
from geniequeue.cli.ports import free_port
from geniequeue.config import load_settings
from geniequeue.records.embedded import EmbeddedStore
from tests.service import BIN, REPOSITORY, clean_environ

JOB = str(uuid.uuid4())


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A folder where a service was prepared, but none runs."""
    prepare_values(tmp_path / "var", {})
    return clean_environ(VAR_DIR=str(tmp_path / "var"), PORT=str(free_port()), FLOWER_PORT=str(free_port()))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"not looked at")
    return path


def run(environ: dict[str, str], *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "geniequeue"), *arguments],
        env=environ,
        cwd=folder or Path(environ["VAR_DIR"]).parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["status", JOB], ["jobs"], ["stats"], ["retry", JOB], ["cancel", JOB]])
def test_a_service_that_does_not_run_is_3(environ: dict[str, str], arguments: list[str]) -> None:
    done = run(environ, *arguments)
    assert done.returncode == 3, done.stderr
    assert "geniequeue up" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_submit_to_a_service_that_does_not_run_is_3(environ: dict[str, str], picture: Path) -> None:
    assert run(environ, "submit", "resize_image", str(picture), "--param", "width=1").returncode == 3


def test_a_folder_where_nothing_was_ever_started_is_3(tmp_path: Path) -> None:
    done = run(clean_environ(VAR_DIR=str(tmp_path / "none")), "stats")
    assert done.returncode == 3
    assert "no service was ever started" in done.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit"],
        ["submit", "resize_image"],
        ["submit", "resize_image", "no-such-file.jpg"],
        ["submit", "no_such_operation", "picture.jpg"],
        ["submit", "resize_image", "picture.jpg", "--param", "width"],
        ["submit", "resize_image", "picture.jpg", "--params", "[]"],
        ["submit", "resize_image", "picture.jpg", "--priority", "-1"],
        ["submit", "resize_image", "picture.jpg", "--item-only", "--wait"],
        ["submit", "apply_watermark", "picture.jpg", "--param", "watermark_file_id=@no-such-file.png"],
        ["status", "no-uuid"],
        ["jobs", "--state", "done"],
        ["token", "--ttl", "0"],
        ["no-such-command"],
    ],
)
def test_wrong_usage_is_2(environ: dict[str, str], picture: Path, arguments: list[str]) -> None:
    done = run(environ, *arguments, folder=picture.parent)
    assert done.returncode == 2, done.stderr
    assert done.stderr
    assert "Traceback" not in done.stderr


def interrupted(environ: dict[str, str], folder: Path, module: str) -> subprocess.CompletedProcess[str]:
    """Ask for help of the command line, which gets a SIGINT when it begins to load a module."""
    (folder / f"{module}.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n", encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "geniequeue", "--help"],
        env={**environ, "PYTHONPATH": f"{folder}:{REPOSITORY}"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("module", ["click", "requests", "marshmallow", "dotenv"])
def test_ctrl_c_while_the_commands_are_loaded_is_130_without_a_word(
    environ: dict[str, str], tmp_path: Path, module: str
) -> None:
    done = interrupted(environ, tmp_path, module)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_in_a_command_is_130_without_a_word() -> None:
    @click.command()
    def waiting() -> None:
        raise KeyboardInterrupt

    done = CliRunner().invoke(Commands(commands=[waiting]), ["waiting"])
    assert (done.exit_code, done.output) == (130, "")


def test_settings_that_are_wrong_are_all_named_and_2(environ: dict[str, str]) -> None:
    done = run({**environ, "PORT": "none", "MAX_FRAMES": "-1"}, "stats")
    assert done.returncode == 2
    assert "PORT" in done.stderr
    assert "MAX_FRAMES" in done.stderr


def test_item_only_stores_file_and_item_and_prints_the_id_alone(environ: dict[str, str], picture: Path) -> None:
    done = run(environ, "submit", "resize_image", str(picture), "--param", "width=10", "--priority", "7", "--item-only")
    assert done.returncode == 0, done.stderr
    settings = load_settings(environ)
    records = EmbeddedStore(settings.var_dir / "records", settings.directus_secret).as_service()
    item = records.get_item("media_jobs", done.stdout.strip())
    assert (item["status"], item["bull_job_id"], item["priority"]) == ("queued", None, 7)
    assert item["params"] == {"width": 10}
    assert records.get_file(item["input_file_id"]).uploaded_by == item["user_created"]


def test_item_only_of_several_files_prints_a_json_object_for_each(environ: dict[str, str], picture: Path) -> None:
    arguments = ["resize_image", str(picture), str(picture), "--param", "width=10", "--item-only", "--json"]
    done = run(environ, "submit", *arguments)
    jobs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({job["jobId"] for job in jobs}) == 2
    assert {job["state"] for job in jobs} == {"created"}


def test_token_prints_a_jwt_alone(environ: dict[str, str]) -> None:
    done = run(environ, "token", "--user", "mia", "--tier", "pro", "--admin", "--ttl", "60")
    claims = jwt.decode(
        done.stdout.strip(), load_settings(environ).directus_secret, algorithms=["HS256"], issuer="directus"
    )
    assert claims["admin_access"] is True
    assert claims["exp"] - claims["iat"] == 60


def test_token_says_that_directus_has_its_own(environ: dict[str, str]) -> None:
    directus = {"DIRECTUS_URL": "http://127.0.0.1:1", "DIRECTUS_TOKEN": "t", "DIRECTUS_SECRET": "s" * 32}
    done = run({**environ, **directus}, "token")
    assert done.returncode == 2
    assert "DIRECTUS_URL" in done.stderr


def test_doctor_names_what_does_not_run_and_prints_no_secret(environ: dict[str, str]) -> None:
    done = run(environ, "doctor")
    assert done.returncode == 1
    for name in ("Redis", "worker media-jobs", "API", "Flower"):
        assert name in done.stdout
    settings = load_settings(environ)
    for secret in (settings.directus_secret, settings.flower_password, settings.redis_url):
        assert secret not in done.stdout + done.stderr


def test_variables_of_the_env_file_count_but_do_not_override(environ: dict[str, str], tmp_path: Path) -> None:
    del environ["ENV_FILE"]
    (tmp_path / ".env").write_text("PORT=none\n")
    assert run(environ, "stats").returncode == 3
    environ["API_URL"] = f"http://127.0.0.1:{environ.pop('PORT')}"
    assert "PORT" in run(environ, "stats").stderr
    assert run({**environ, "ENV_FILE": ""}, "stats").returncode == 3
    (tmp_path / "other").write_text("MAX_FRAMES=none\n")
    assert "MAX_FRAMES" in run({**environ, "ENV_FILE": "other"}, "stats").stderr
    assert run({**environ, "ENV_FILE": "missing"}, "stats").returncode == 2
