"""One zygote process as seen from outside: start, talk, kill with all that it started."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from geniequeue.sandbox import jail, processes
from geniequeue.sandbox.result import lost

_log = structlog.get_logger(__name__)
_GONE_WITHIN_S = 10.0
_MAX_MESSAGE_BYTES = 4 << 20
_MAX_STDERR_BYTES = 4096
_CHILD_PID = re.compile(rb'"child-pid": *([0-9]+)')


class ZygoteProcess:
    """Start a zygote below bwrap (`walled`), or bare; it dies with the thread that started it.

    Raises:
        RuntimeError: not called from the main thread.
    """

    def __init__(
        self, root: Path, *, walled: bool, extra_modules: Path | None = None, ffmpeg: Path | None = None
    ) -> None:
        if threading.current_thread() is not threading.main_thread():
            # PR_SET_PDEATHSIG strikes when the thread ends that forked, not the process.
            raise RuntimeError("expected to start the sandbox from the main thread")
        self._walled = walled
        self._buffer = bytearray()
        self._info_fd, info_fd = os.pipe()
        command = jail.python_command(extra_modules)
        if walled:
            command = [*jail.walls(root, extra_modules=extra_modules, ffmpeg=ffmpeg, info_fd=info_fd), "--", *command]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=jail.environment(root, ffmpeg),
                pass_fds=(info_fd,) if walled else (),
                cwd="/",
                bufsize=0,
                start_new_session=True,  # Ctrl-C in the worker's terminal must not end a job
            )
        finally:
            os.close(info_fd)
        for pipe in (self._process.stdout, self._process.stderr):
            os.set_blocking(_fd(pipe), False)

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def send(self, line: bytes) -> None:
        """Write one request.

        Raises:
            LostError: the zygote is dead.
        """
        try:
            while line:
                line = line[os.write(_fd(self._process.stdin), line) :]
        except BrokenPipeError as error:
            raise self._dead() from error

    def receive(self, timeout_s: float) -> list[Mapping[str, Any]]:
        """Wait for messages, at most `timeout_s`.

        Raises:
            LostError: the zygote is dead, or talks nonsense.
        """
        stdout = _fd(self._process.stdout)
        if not select.select([stdout], [], [], max(0.0, timeout_s))[0]:
            return []
        data = os.read(stdout, 65536)
        if not data:
            raise self._dead()
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        if len(self._buffer) > _MAX_MESSAGE_BYTES:
            raise self._dead()
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise self._dead() from error

    def kill(self) -> None:
        """Kill the process and all below it; returns when every one is gone."""
        inside = self._inside_pid()
        watch = _watch(inside)
        if not self._walled:
            self._process.send_signal(signal.SIGSTOP)  # forks no more, and still adopts the orphans
            processes.kill_below(self._process.pid)
        self._process.kill()
        if watch is not None:
            # The init of a pid namespace is reported as gone only when all others in it are.
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(watch, signal.SIGKILL)
            if not select.select([watch], [], [], _GONE_WITHIN_S)[0]:
                _log.error("sandbox_survives_kill", pid=inside)
            os.close(watch)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        os.close(self._info_fd)

    def _inside_pid(self) -> int | None:
        """Process id, seen from here, of the sandbox's first process; None if it never came to be."""
        if not self._walled:
            return None
        if not select.select([self._info_fd], [], [], _GONE_WITHIN_S)[0]:
            return None
        return child_pid_in(os.read(self._info_fd, 4096))

    def _dead(self) -> Exception:
        """The error of a zygote that ended, with its last words in the log."""
        deadline = time.monotonic() + 1
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        code = self._process.returncode
        words = b""
        with suppress(BlockingIOError):
            words = os.read(_fd(self._process.stderr), 65536)[-_MAX_STDERR_BYTES:]
        _log.error("sandbox_died", returncode=code, stderr=words.decode(errors="replace"))
        if code is None:
            return lost(None)
        # bwrap reports a signal that ended the inside as 128 + number, as a shell does.
        return lost(-code if code < 0 else code - 128 if code > 128 else None)


def child_pid_in(info: bytes) -> int | None:
    """Return the pid of the sandbox's init from what bwrap has told so far.

    bwrap writes its JSON object piece by piece, this member first: while it starts there is only half an object.
    """
    found = _CHILD_PID.search(info)
    return int(found[1]) if found else None


def _watch(pid: int | None) -> int | None:
    if pid is None:
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _fd(pipe: Any) -> int:
    assert pipe is not None  # noqa: S101 - all three are pipes
    return int(pipe.fileno())
