"""Clocks jump, other versions and other programs use the same Redis, and folders vanish or fill up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import kombu
import pytest

from geniequeue.jobs.broker import celery_settings
from geniequeue.jobs.job import Spec
from geniequeue.jobs.leases import LEASE_S
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.jobs.runs import Runs
from geniequeue.operations import OPERATIONS
from tests.chaos.trouble import Trouble, always, running_trouble
from tests.service import await_true

HOUR_S = 3600


def test_f7_another_program_with_a_short_visibility_timeout_makes_no_job_run_twice(trouble: Trouble) -> None:
    with trouble.held_job() as job_id:
        options = celery_settings("")["broker_transport_options"] | {"visibility_timeout": 0.1}
        with kombu.Connection(trouble.server.url, transport_options=options) as other:
            channel = other.default_channel

            def restored() -> bool:
                channel.qos.restore_visible(interval=1)
                return any(trouble.direct.llen(name) for name in trouble.direct.scan_iter("media-jobs:*"))

            await_true(restored, 20, lambda: "the other program restores nothing, so this shows nothing")
        assert trouble.attempts(job_id) == 1
    trouble.ran_once(job_id)
    await_true(lambda: not list(trouble.direct.scan_iter("media-jobs:*")), 20, lambda: "the second message is left")
    trouble.ran_once(job_id)


@pytest.mark.parametrize("removed", ["of the job", "of all jobs"])
def test_f31_a_job_whose_folder_is_removed_under_it_is_tried_again_and_completes(
    trouble: Trouble, removed: str
) -> None:
    with trouble.held_job() as job_id:
        [folder] = trouble.tmp.iterdir()
        shutil.rmtree(folder if removed == "of the job" else trouble.tmp)
    job = trouble.await_completed(job_id)
    assert (job["attempts"], trouble.attempts(job_id)) == (2, 2)
    await_true(trouble.tmp_is_empty, 10, lambda: "temporary files are left")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system of a few megabytes."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"NO SMALL DISK: mounting one is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write until there is no space."""
    with pytest.raises(OSError, match="No space left"), path.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


@pytest.mark.long
def test_f30_a_disk_that_is_full_in_mid_job_fails_the_attempt_and_the_next_one_completes(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", "8m") as disk,
        running_trouble(tmp_path / "world", MEDIA_TMP_DIR=str(disk / "tmp"), MIN_FREE_MB="0") as trouble,
    ):
        filler = disk / "of somebody else"
        with trouble.held_job(format="png") as job_id:
            fill(filler)
        await_true(
            lambda: "attempt did not complete" in trouble.service.log(), 60, lambda: trouble.service.log()[-3000:]
        )
        filler.unlink(missing_ok=True)
        job = trouble.await_completed(job_id)
        assert job["attempts"] == 2
        await_true(trouble.tmp_is_empty, 10, lambda: "temporary files are left")


@pytest.mark.long
def test_f30_a_job_waits_for_space_without_using_a_try(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", "8m") as disk,
        running_trouble(tmp_path / "world", MEDIA_TMP_DIR=str(disk / "tmp"), MIN_FREE_MB="2") as trouble,
    ):
        fill(disk / "of somebody else")
        job_id = trouble.sent()
        job = trouble.service.await_state(trouble.token, job_id, frozenset({"delayed"}), 30)
        assert job["attempts"] == 0
        assert trouble.service.request("GET", "/readyz").status == 503
        (disk / "of somebody else").unlink()
        job = trouble.await_completed(job_id)
        assert (job["attempts"], trouble.attempts(job_id)) == (1, 2)


class Clock:
    """The time of day of the processes that were started with `environ`."""

    def __init__(self, folder: Path) -> None:
        self._file, library = folder / "ahead", folder / "clock.so"
        source = Path(__file__).with_name("clock.c")
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("NO CLOCK TO JUMP: expected a C compiler, cc, found none; install gcc")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
        self.set(0)
        self.environ = {"LD_PRELOAD": str(library), "CLOCK_AHEAD": str(self._file)}

    def set(self, ahead_s: int) -> None:
        """Let the clock be so many seconds ahead of the real one."""
        self._file.touch()
        with self._file.open("r+b") as file:
            file.write(struct.pack("l", ahead_s))


def jump(trouble: Trouble, clock: Clock, ahead_s: int) -> None:
    """Set the clock of Redis, and wait until Redis sees it."""
    clock.set(ahead_s)
    await_true(lambda: abs(trouble.direct.time()[0] - time.time() - ahead_s) < 60, 5, lambda: "the clock stands")


@pytest.mark.long
def test_f41_redis_clock_jumps_an_hour_and_back_under_a_running_job(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    with running_trouble(tmp_path / "world", clock.environ) as trouble:
        for ahead_s in (HOUR_S, 0):
            with trouble.held_job() as job_id:
                jump(trouble, clock, ahead_s)
                always(lambda: trouble.attempts(job_id) == 1, 2 * LEASE_S)
                assert 0 < trouble.direct.pttl(f"{trouble.bull(job_id)}:lock") <= LEASE_S * 1000
            trouble.ran_once(job_id)
            trouble.service.wait_ready()
            trouble.ran_once(trouble.sent())


@pytest.mark.long
@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S])
def test_f41_hosts_whose_clock_is_an_hour_off_run_jobs_once_and_measure_them_rightly(
    tmp_path: Path, ahead_s: int
) -> None:
    clock = Clock(tmp_path)
    clock.set(ahead_s)
    with running_trouble(tmp_path / "world", **clock.environ) as trouble:
        trouble.token = trouble.service.cli("token").stdout.strip()
        with trouble.held_job() as job_id:
            always(lambda: trouble.attempts(job_id) == 1, 2 * LEASE_S)
        trouble.ran_once(job_id)
        for _ in range(3):
            trouble.ran_once(trouble.sent())
        ran = [json.loads(line) for line in trouble.service.log().splitlines() if '"ran_s"' in line]
        assert len(ran) == 4
        last = datetime.fromisoformat(ran[-1]["timestamp"]) - timedelta(seconds=ahead_s)
        assert abs(datetime.now(UTC) - last) < timedelta(seconds=60), "the clock of the workers was right"
        assert all(0 < float(line["ran_s"]) < 120 for line in ran)


@pytest.mark.long
def test_f47_a_job_whose_operation_this_worker_does_not_know_waits_and_holds_nobody_up(
    trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPERATIONS, "of_tomorrow", replace(OPERATIONS["resize_image"], name="of_tomorrow"))
    job_id = trouble.create()
    records, ledger = trouble.service.store.as_service(), Ledger(connect(trouble.server.url), "bull")
    item = records.get_item("media_jobs", job_id)
    spec = Spec("of_tomorrow", job_id, item["user_created"], {"width": 40}, input_file_id=item["input_file_id"])
    runs = Runs(records, ledger, "bull")
    run, _ = runs.create(spec, 1)
    runs.enqueue(run)
    await_unknown(trouble, 1)
    trouble.ran_once(trouble.sent())
    assert trouble.service.request("GET", f"/api/queue/jobs/{job_id}", trouble.token).body["state"] == "waiting"
    # it is there for the next worker
    os.kill(trouble.mains()["media-jobs"], signal.SIGTERM)
    await_unknown(trouble, 2)
    answer = trouble.service.request("POST", f"/api/queue/jobs/{job_id}/cancel", trouble.token)
    assert (answer.status, answer.body["state"]) == (200, "cancelled")


def await_unknown(trouble: Trouble, times: int) -> None:
    """Wait until an operation was unknown so many times."""
    words = "operation unknown to this version"
    await_true(lambda: trouble.service.log().count(words) >= times, 150, lambda: trouble.service.log()[-3000:])
