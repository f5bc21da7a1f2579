"""When a worker may start, tried with real worker processes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.service import BIN, REPOSITORY, clean_environ

SECRET = "s" * 40


def start_media_worker(redis_url: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    values = {"VAR_DIR": str(folder / "var"), "REDIS_URL": redis_url, "DIRECTUS_SECRET": SECRET, **environ}
    return subprocess.run(
        [str(BIN / "celery"), "-A", "tasks", "worker", "-Q", "media-jobs", "-c", "1"],
        cwd=REPOSITORY,
        env=clean_environ() | values,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_media_worker_refuses_to_start_without_its_sandbox(redis_url: str, tmp_path: Path) -> None:
    only_python = tmp_path / "bin"
    only_python.mkdir()
    (only_python / "python3").symlink_to(BIN / "python3")
    done = start_media_worker(redis_url, tmp_path, PATH=str(only_python))
    assert done.returncode != 0
    assert "does not start without its sandbox" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_without_a_redis_address_says_so_in_one_sentence(tmp_path: Path) -> None:
    done = start_media_worker("", tmp_path)
    assert done.returncode != 0
    assert "REDIS_URL: not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_killed_worker_left_is_removed_before_the_first_job(redis_url: str, tmp_path: Path) -> None:
    left = tmp_path / "var" / "media-tmp" / "job-dead-1" / "in"
    left.mkdir(parents=True)
    values = {"VAR_DIR": str(tmp_path / "var"), "REDIS_URL": redis_url, "DIRECTUS_SECRET": SECRET}
    worker = subprocess.Popen(
        [str(BIN / "celery"), "-A", "tasks", "worker", "-Q", "media-jobs", "-c", "1"],
        cwd=REPOSITORY,
        env=clean_environ() | values,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert worker.stdout is not None
        assert any("ready." in line for line in worker.stdout)
        assert list((tmp_path / "var" / "media-tmp").iterdir()) == []
    finally:
        worker.terminate()
        worker.communicate(timeout=30)
