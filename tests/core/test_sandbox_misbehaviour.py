"""Whatever a job does inside the sandbox ends in a clear error within the limit, and the next job runs."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from geniequeue.errors import (
    CancelledError,
    InputError,
    JobError,
    LostError,
    MemoryLimitError,
    TimeLimitError,
    ToolError,
)
from geniequeue.sandbox import jail
from geniequeue.sandbox.client import Sandbox
from geniequeue.sandbox.inside import Limits
from geniequeue.sandbox.process import child_pid_in
from geniequeue.sandbox.processes import descendants
from geniequeue.sandbox.result import SandboxResult

_REASON = jail.available()
walled_only = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))


class Jobs:
    """Runs functions of `inside/misbehaving.py` in one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.progress: list[float] = []
        self.out_dir = sandbox.root / "out"
        self.out_dir.mkdir()
        self.input = sandbox.root / "input"
        self.input.write_bytes(b"input")

    def run(
        self, name: str, *, timeout_s: float = 20.0, should_stop: Any = lambda: False, **params: Any
    ) -> SandboxResult:
        return self.sandbox.run(
            name if ":" in name else f"misbehaving:{name}",
            inputs={"input": self.input},
            out_dir=self.out_dir,
            params={"tag": os.getpid(), **params},
            limits=Limits(),
            timeout_s=timeout_s,
            should_stop=should_stop,
            on_progress=self.progress.append,
        )

    def text(self) -> str:
        return (self.out_dir / "output.txt").read_text()

    def started(self) -> bool:
        return (self.out_dir / "started").exists()


def _sandbox(root: Path, *, enabled: bool, memory_bytes: int = 400 << 20) -> Sandbox:
    return Sandbox(
        root,
        enabled=enabled,
        memory_bytes=memory_bytes,
        file_bytes=32 << 20,
        extra_modules=Path(__file__).parent / "inside",
    )


@pytest.fixture(
    scope="module", params=[pytest.param(True, id="walled", marks=walled_only), pytest.param(False, id="bare")]
)
def jobs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    with _sandbox(tmp_path_factory.mktemp("jobs"), enabled=request.param) as sandbox:
        yield Jobs(sandbox)


@pytest.fixture
def walled(tmp_path: Path) -> Iterator[Jobs]:
    if _REASON is not None:
        pytest.skip(_REASON)
    with _sandbox(tmp_path / "jobs", enabled=True) as sandbox:
        yield Jobs(sandbox)


def _zygote(jobs: Jobs) -> int:
    assert jobs.sandbox._zygote is not None
    return jobs.sandbox._zygote._process.pid


def _runs(pid: int) -> bool:
    """Whether the process is there and no zombie, which only its parent can remove."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def _sleepers() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            found += [entry.name] if command.startswith(f"sleep\0003600.{os.getpid()}".encode()) else []
    return found


def test_a_job_reports_progress_outputs_and_what_it_took(jobs: Jobs) -> None:
    jobs.progress.clear()
    result = jobs.run("behave")
    assert jobs.progress == [0.25, 0.75]
    assert [output.name for output in result.outputs] == ["output.txt"]
    assert jobs.text() == "done"
    assert 1 << 20 < result.peak_memory_bytes < 150 << 20
    assert 0 <= result.cpu_s < 5 and 0 < result.wall_s < 20


def test_an_error_of_the_job_comes_out_as_it_was_raised(jobs: Jobs) -> None:
    with pytest.raises(InputError, match="got a dog") as caught:
        jobs.run("refuse")
    assert caught.value.reason == "not_a_cat"


def test_an_unexpected_error_does_not_tell_the_sender_about_the_inside(jobs: Jobs) -> None:
    with pytest.raises(ToolError) as caught:
        jobs.run("stumble")
    assert "secret" not in str(caught.value) and "/" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("segfault", LostError, "sigsegv"),
        ("vanish", LostError, "no_answer"),
        ("babble", ToolError, "garbage"),
        ("babble_without_end", ToolError, "garbage"),
        ("allocate", MemoryLimitError, "out_of_memory"),
        ("oversleep", TimeLimitError, "wall_clock"),
        ("name_a_link", ToolError, "garbage"),
        ("name_a_file_elsewhere", ToolError, "garbage"),
        ("grow_a_file", ToolError, "unexpected"),
    ],
)
def test_a_misbehaving_job_ends_in_a_clear_error_and_the_next_one_runs(
    jobs: Jobs, name: str, error: type[JobError], reason: str
) -> None:
    (jobs.out_dir / "output.txt").unlink(missing_ok=True)
    began = time.monotonic()
    with pytest.raises(error) as caught:
        jobs.run(name)
    assert caught.value.reason == reason
    assert time.monotonic() - began < 10
    (jobs.out_dir / "output.txt").unlink(missing_ok=True)
    assert jobs.run("behave").outputs


def test_a_job_that_sleeps_for_ever_is_ended_by_the_wall_clock_with_its_family(jobs: Jobs) -> None:
    with pytest.raises(TimeLimitError, match=r"within 1\.5 seconds"):
        jobs.run("sleep_with_family", timeout_s=1.5)
    assert _sleepers() == []
    assert jobs.run("behave").outputs


def test_f14_a_tool_that_ignores_being_asked_to_end_dies_at_the_limit_with_its_tree(jobs: Jobs) -> None:
    seen: list[list[str]] = []

    def ask() -> bool:
        """Ask the job and its tool to end, as soon as all of them run; never stop it ourselves."""
        sleepers = _sleepers()
        seen.append(sleepers)
        for pid in map(int, sleepers):
            os.kill(pid, signal.SIGTERM)
        return False

    began = time.monotonic()
    with pytest.raises(TimeLimitError):
        jobs.run("ignore_term", timeout_s=3, should_stop=ask)
    assert time.monotonic() - began < 3 + 5
    assert len(seen[-1]) == 2, seen
    assert _sleepers() == []
    assert jobs.run("behave").outputs


def test_a_cancelled_job_is_gone_within_a_second(jobs: Jobs) -> None:
    (jobs.out_dir / "started").unlink(missing_ok=True)
    asked: list[float] = []

    def stop() -> bool:
        asked.append(time.monotonic())
        return jobs.started()

    with pytest.raises(CancelledError):
        jobs.run("sleep_with_family", should_stop=stop)
    assert time.monotonic() - asked[-1] < 1
    assert _sleepers() == []
    assert jobs.run("behave").outputs


def test_a_job_leaves_no_process_behind_for_the_next(jobs: Jobs) -> None:
    jobs.run("leave_a_daemon")
    assert _sleepers() == []


def test_an_exception_while_waiting_ends_the_job_too(jobs: Jobs) -> None:
    def interrupt() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jobs.run("sleep_with_family", should_stop=interrupt)
    assert _sleepers() == []
    assert jobs.run("behave").outputs


def test_only_functions_of_the_operation_packages_run(jobs: Jobs) -> None:
    for name in (
        "os:getpid",
        "geniequeue.errors:InputError",
        "geniequeue.media.image:_finish",
        "nonsense",
        "os.path:join",
    ):
        with pytest.raises(ToolError):
            jobs.run(name if ":" in name else f"{name}:")


def test_paths_outside_the_private_folder_are_refused(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="expected a path below"):
        jobs.sandbox.run(
            "misbehaving:behave",
            inputs={"input": tmp_path / "link"},
            out_dir=jobs.out_dir,
            params={},
            limits=Limits(),
            timeout_s=5,
            should_stop=lambda: False,
            on_progress=lambda _share: None,
        )


@pytest.mark.parametrize("whom", ["bwrap", "zygote"])
def test_a_killed_zygote_is_a_lost_job_with_the_signal_and_has_a_successor(walled: Jobs, whom: str) -> None:
    def kill_it() -> bool:
        if walled.started():
            (walled.out_dir / "started").unlink()
            outside = _zygote(walled)
            os.kill(outside if whom == "bwrap" else descendants(outside)[0], 9)
        return False

    with pytest.raises(LostError) as caught:
        walled.run("sleep", should_stop=kill_it)
    assert caught.value.reason == "sigkill"
    assert walled.run("behave").outputs


def test_a_job_cannot_kill_the_zygote_inside_the_walls(walled: Jobs) -> None:
    walled.run("behave")
    before = _zygote(walled)
    assert walled.run("kill_the_zygote").outputs
    assert walled.run("behave").outputs
    assert _zygote(walled) == before


def test_a_fork_bomb_is_ended_and_leaves_nothing(walled: Jobs) -> None:
    with pytest.raises(JobError):
        walled.run("fork_without_end", timeout_s=5)
    assert walled.run("behave").outputs
    walled.run("count_processes")
    assert len(eval(walled.text())) == 2  # noqa: S307 - init and the job


def test_processor_time_is_limited_too(walled: Jobs) -> None:
    with pytest.raises(TimeLimitError):
        walled.run("burn", timeout_s=1)


@pytest.mark.parametrize("told", [b'{\n    "child-pid": 9643', b'{\n    "child-pid": 9643,\n    "ipc-namespace": 4}\n'])
def test_the_init_of_a_sandbox_is_known_as_soon_as_its_first_words_are_there(told: bytes) -> None:
    assert child_pid_in(told) == 9643
    assert child_pid_in(b"") is None


@walled_only
def test_a_sandbox_that_is_closed_while_it_still_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    for number in range(80):
        sandbox = _sandbox(tmp_path, enabled=True)
        sandbox.start()
        began = time.monotonic()
        while time.monotonic() - began < number * 0.00015:
            pass
        sandbox.close()
    assert orphans_of_bwrap(tmp_path) == []


def orphans_of_bwrap(root: Path) -> list[int]:
    """Return processes that still name `root` on their command line and can run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if str(root).encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return [pid for pid in found if _runs(pid)]


def test_close_leaves_no_process(tmp_path: Path) -> None:
    for enabled in (False, *([True] if _REASON is None else [])):
        with _sandbox(tmp_path / str(enabled), enabled=enabled) as sandbox:
            jobs = Jobs(sandbox)
            jobs.run("behave")
            deadline = time.monotonic() + 5
            while not descendants(_zygote(jobs)) and time.monotonic() < deadline:
                time.sleep(0.01)
            family = [_zygote(jobs), *descendants(_zygote(jobs))]
        assert not [pid for pid in family if _runs(pid)]


def test_a_folder_that_was_removed_while_nothing_ran_is_seen_again_by_the_next_job(tmp_path: Path) -> None:
    with _sandbox(tmp_path / "root", enabled=_REASON is None) as sandbox:
        Jobs(sandbox).run("behave")
        shutil.rmtree(sandbox.root)
        sandbox.root.mkdir()
        jobs = Jobs(sandbox)
        assert jobs.run("behave").outputs
