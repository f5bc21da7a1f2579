"""Run supervisord in the foreground: pass on what the processes print, and end all of them.

This process stays the parent, and the parent of orphans too: what a killed process leaves behind is ended, as a
service manager ends the rest of a unit, and nothing outlives this process.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from geniequeue.cli.output import Lines
from geniequeue.cli.procfile import REDIS_STOP_WAIT_S
from geniequeue.sandbox.processes import adopt_orphans, descendants, kill_below

STOP_SPARE_S = 1.5
SECOND_AFTER_S = 1.0
"""What asks to end sooner after the first time is the same Ctrl-C, told by make or a shell as well."""
TICK_S = 0.5
LOOK_FOR_ORPHANS_S = 1.0
CHUNK_BYTES = 1 << 16
SUPERVISOR = "supervisor"

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Supervisor:
    """One run of supervisord and all below it.

    Args:
        programs: names of the processes.
        lock: descriptor that supervisord shall hold as long as it lives.
        write: takes a process' name and each line that it prints.
        stop_wait_s: how long each process may take to end.

    Attributes:
        outputs: descriptor that each process' output goes to, by name.
    """

    def __init__(
        self, programs: Iterable[str], lock: int, write: Callable[[str, str], None], stop_wait_s: float
    ) -> None:
        self.outputs: dict[str, int] = {}
        self._lock = lock
        self._write = write
        self._deadline_s = stop_deadline_s(stop_wait_s)
        self._asked_at: float | None = None
        self._kill_now = False
        self._selector = selectors.DefaultSelector()
        self._readings: list[int] = []
        for name in (*programs, SUPERVISOR):
            reading, self.outputs[name] = os.pipe()
            self._readings.append(reading)
            self._selector.register(reading, selectors.EVENT_READ, Lines(name, write))

    def run(self, conf: Path, environ: Mapping[str, str], folder: Path, *, when_started: Callable[[], None]) -> int:
        """Run until it ends or a signal asks for the end; return an exit code.

        Args:
            conf: of supervisord.
            environ, folder: of all processes.
        """
        adopt_orphans()
        process = self._start(conf, environ, folder)
        self._forward_signals(process)
        when_started()
        try:
            self._pass_on(process)
        finally:
            kill_below(os.getpid())
            process.wait()
        return 0 if self._asked_at is not None else 1

    def _start(self, conf: Path, environ: Mapping[str, str], folder: Path) -> subprocess.Popen[bytes]:
        # Its own process group, so that Ctrl-C reaches it through us only, once.
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(conf)],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=self.outputs[SUPERVISOR],
            stderr=subprocess.STDOUT,
            # It holds the reading ends as well: where this process is killed, writing must not fail while it stops all.
            pass_fds=(self._lock, *self.outputs.values(), *self._readings),
            process_group=0,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - no thread runs yet
        )
        for descriptor in self.outputs.values():
            os.close(descriptor)
        return process

    def _forward_signals(self, process: subprocess.Popen[bytes]) -> None:
        def stop(number: int, _: object) -> None:
            now = time.monotonic()
            if self._asked_at is None:
                self._asked_at = now
                process.terminate()
            elif number == signal.SIGINT and now - self._asked_at >= SECOND_AFTER_S:
                self._kill_now = True

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)

    def _pass_on(self, process: subprocess.Popen[bytes]) -> None:
        """Pass on what is printed until supervisord closes the last output, or has had its time to end."""
        look_at, told = 0.0, False
        while self._selector.get_map() and not self._is_over():
            if self._asked_at is not None and not told:
                told = True
                self._write(
                    SUPERVISOR, f"ending, within {self._deadline_s:.0f} s; a second Ctrl-C kills what still runs"
                )
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK_FOR_ORPHANS_S
                _end_orphans(process.pid)
            for key, _ in self._selector.select(TICK_S):
                self._read(key.fd, key.data)

    def _is_over(self) -> bool:
        """Tell whether what still runs is to be killed."""
        if self._asked_at is None:
            return False
        return self._kill_now or time.monotonic() - self._asked_at >= self._deadline_s

    def _read(self, descriptor: int, lines: Lines) -> None:
        chunk = os.read(descriptor, CHUNK_BYTES)
        lines.feed(chunk)
        if not chunk:
            lines.end()
            self._selector.unregister(descriptor)
            os.close(descriptor)


def stop_deadline_s(stop_wait_s: float) -> float:
    """Return how long all processes together may take to end, Redis last."""
    return stop_wait_s + REDIS_STOP_WAIT_S + STOP_SPARE_S


def end_with_parent() -> None:
    """Be asked to end when the parent dies; for the child, between fork and exec."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _end_orphans(supervisord: int) -> None:
    """Kill what lost its parent, such as the workers of a killed web server, and take the exit status of the dead."""
    everything = descendants(os.getpid())
    kept = {supervisord, *descendants(supervisord)}
    for pid in everything:
        if pid not in kept:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        while (done := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and done.si_pid != supervisord:
            os.waitpid(done.si_pid, 0)
