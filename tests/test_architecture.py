"""What may import what, checked by tools and in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
WORKERS_LIBRARIES = {
    *("wand", "pyvips", "moviepy", "numpy", "scipy", "cv2", "PIL", "imageio"),
    *("playwright", "duckdb", "tornado", "flower"),
    *("tasks", "geniequeue.media", "geniequeue.watermark", "geniequeue.sandbox", "geniequeue.cli"),
}


def run(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=REPOSITORY, env={"PATH": path, **environ}, capture_output=True, text=True, timeout=120, check=False
    )


def test_imports_point_in_one_direction() -> None:
    result = run("lint-imports", "--no-cache")
    assert result.returncode == 0, result.stdout[-4000:]


def test_the_web_process_loads_none_of_the_workers_libraries(redis_url: str, tmp_path: Path) -> None:
    script = "import api.wsgi, json, sys; print(json.dumps(sorted(sys.modules)))"
    environ = {"VAR_DIR": str(tmp_path), "REDIS_URL": redis_url, "DIRECTUS_SECRET": "x" * 64}
    result = run(sys.executable, "-c", script, **environ)
    assert result.returncode == 0, result.stderr[-4000:]
    loaded = set(json.loads(result.stdout.strip().splitlines()[-1]))
    assert "api.app" in loaded
    assert loaded & WORKERS_LIBRARIES == set()


@pytest.mark.parametrize("module", ["api.wsgi", "tasks.celery_app"])
def test_a_process_without_settings_says_what_is_missing_and_ends(module: str, tmp_path: Path) -> None:
    result = run(sys.executable, "-c", f"import {module}", VAR_DIR=str(tmp_path))
    assert result.returncode == 1
    assert "REDIS_URL" in result.stderr
    assert "Traceback" not in result.stderr


def test_no_module_is_longer_than_300_lines() -> None:
    modules = [path for folder in ("api", "geniequeue", "tasks") for path in (REPOSITORY / folder).rglob("*.py")]
    too_long = {
        str(path.relative_to(REPOSITORY)): n for path in modules if (n := len(path.read_text().splitlines())) > 300
    }
    assert too_long == {}
