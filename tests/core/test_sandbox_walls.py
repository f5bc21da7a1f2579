"""What a job can see and reach from inside the sandbox: nothing but its files."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from geniequeue.sandbox import jail
from geniequeue.sandbox.client import Sandbox
from geniequeue.sandbox.inside import Limits

_REASON = jail.available()
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))
_INSIDE = Path(__file__).parent / "inside"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("walls")
    secret = folder / "secret"
    secret.write_text("token")
    os.environ["SERVICE_TOKEN"] = "secret"
    left_open = os.open(secret, os.O_RDONLY)
    os.set_inheritable(left_open, True)
    root = folder / "root"
    (root / "out").mkdir(parents=True)
    try:
        with Sandbox(root, extra_modules=_INSIDE) as sandbox:
            sandbox.run(
                "misbehaving:look_around",
                inputs={},
                out_dir=root / "out",
                params={"outside": str(secret)},
                limits=Limits(),
                timeout_s=20,
                should_stop=lambda: False,
                on_progress=lambda _share: None,
            )
    finally:
        os.close(left_open)
        del os.environ["SERVICE_TOKEN"]
    yield ast.literal_eval((root / "out" / "output.txt").read_text())


def test_no_variable_of_the_worker_is_visible(seen: dict[str, Any]) -> None:
    allowed = {*jail.environment(Path("/x")), "MAGICK_TMPDIR", "PWD", "LC_CTYPE"}
    assert set(seen["env"]) <= allowed


def test_no_descriptor_of_the_worker_or_the_zygote_is_open(seen: dict[str, Any]) -> None:
    kinds = sorted(entry.split(":", 1)[1].split(":")[0].strip("[]0123456789") for entry in seen["fds"])
    assert len(seen["fds"]) == 4, seen["fds"]
    assert kinds == ["/dev/null", "/dev/null", "pipe", "pipe"]


def test_there_is_no_network(seen: dict[str, Any]) -> None:
    assert seen["connect"] != "done" and seen["resolve"] != "done"
    assert seen["interfaces"] == ["lo"]


def test_nothing_but_the_job_folders_is_writable(seen: dict[str, Any]) -> None:
    assert {seen[name] for name in ("write_root", "write_tmp", "write_shm", "write_code")} <= {
        "OSError",
        "PermissionError",
        "FileNotFoundError",
    }


def test_files_beside_the_private_folder_do_not_exist_inside(seen: dict[str, Any]) -> None:
    assert seen["outside"] == "FileNotFoundError"
    assert set(seen["etc"]) <= {"alternatives", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d"}
    assert not {"home", "boot", "srv", "sys", "run", "mnt", "media"} & set(seen["root"])


def test_the_zygote_is_out_of_reach_and_no_privilege_is_left(seen: dict[str, Any]) -> None:
    assert seen["zygote_memory"] == "PermissionError" and seen["zygote_files"] == "PermissionError"
    assert seen["capabilities"] == ["CapEff:\t0000000000000000"]
    assert seen["no_new_privileges"]


def test_no_setting_of_the_kernel_can_be_written_not_even_where_the_worker_is_root(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with Sandbox(tmp_path, extra_modules=_INSIDE) as sandbox:
        sandbox.run(
            "misbehaving:write_kernel_settings",
            inputs={},
            out_dir=tmp_path / "out",
            params={},
            limits=Limits(),
            timeout_s=20,
            should_stop=lambda: False,
            on_progress=lambda _share: None,
        )
    tried = ast.literal_eval((tmp_path / "out" / "output.txt").read_text())
    assert len(tried) == 4
    assert set(tried.values()) <= {"OSError", "PermissionError"}


def test_the_reason_is_one_sentence_when_bwrap_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert "not installed" in str(jail.available())


_OWNER = """
import sys, time
from pathlib import Path
from geniequeue.sandbox.client import Sandbox
from geniequeue.sandbox.inside import Limits
root = Path(sys.argv[1])
sandbox = Sandbox(root, enabled=sys.argv[2] == "True", extra_modules=Path(sys.argv[3]))
sandbox.run(sys.argv[4], inputs={}, out_dir=root, params={}, limits=Limits(), timeout_s=60,
            should_stop=lambda: False, on_progress=lambda _s: None)
"""


@pytest.mark.parametrize("enabled", [True, False])
def test_the_whole_sandbox_dies_with_the_worker(tmp_path: Path, enabled: bool) -> None:
    # Without walls a program that the job started lives on, unless it asks for the same itself.
    job = "misbehaving:sleep_with_family" if enabled else "misbehaving:sleep"
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(tmp_path), str(enabled), str(_INSIDE), job], cwd=Path(__file__).parents[2]
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (tmp_path / "started").exists()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    while time.monotonic() < deadline and _mentioning(str(tmp_path)):
        time.sleep(0.02)
    assert _mentioning(str(tmp_path)) == []


def _mentioning(text: str) -> list[bytes]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                command = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if text.encode() in command:
                found.append(command[:100])
    return found


def others_can_read(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o5 == 0o5 for folder in (path, *path.parents))


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None or not Path("/usr/bin/python3").exists(),
    reason="needs root, setpriv and the system's Python",
)
@pytest.mark.skipif(not others_can_read(_INSIDE), reason="the checkout lies where no other user can read it")
def test_the_sandbox_works_for_an_unprivileged_user(monkeypatch: pytest.MonkeyPatch) -> None:
    # The environment of the tests may lie where nobody else can read, so the system's Python stands in.
    for name in ("prefix", "base_prefix"):
        monkeypatch.setattr(sys, name, "/usr")
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chown(folder, 65534, 65534)
        request = {
            "function": "misbehaving:behave",
            "extra_modules": str(_INSIDE),
            "inputs": {},
            "out_dir": folder,
            "params": {},
            "limits": {},
            "memory_bytes": 1 << 30,
            "file_bytes": 1 << 20,
            "cpu_s": 5,
        }
        walls = jail.walls(Path(folder), extra_modules=_INSIDE)
        done = subprocess.run(
            [
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--",
                *walls,
                *jail.python_command(_INSIDE),
            ],
            input=json.dumps(request).encode() + b"\n",
            capture_output=True,
            check=False,
            cwd="/",
        )
        assert b'"exit_code": 0' in done.stdout, done
        assert (Path(folder) / "output.txt").read_text() == "done"
