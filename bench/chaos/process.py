"""Processes that are killed, and started again at once."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType


class KeptUp:
    """A process that is started again as soon as it ends, until the block does; then all of its processes are killed.

    Args:
        command, folder, environ: how it is started.
        log: file for what it prints.
    """

    def __init__(self, command: Sequence[str], folder: Path, environ: Mapping[str, str], log: Path) -> None:
        self._how = (list(command), folder, dict(environ), log)
        self._groups: list[int] = []
        self._lock = threading.Lock()
        self._over = False
        self._process = self._start()
        self._watch = threading.Thread(target=self._keep, daemon=True)

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self._process.pid

    def __enter__(self) -> KeptUp:
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._over = True
        for group in self._groups:
            # what a killed one has left behind is in its group, too
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self._watch.join()

    def _keep(self) -> None:
        while True:
            self._process.wait()
            with self._lock:
                if self._over:
                    return
                self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command, folder, environ, log = self._how
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, cwd=folder, env=environ, stdout=output, stderr=output, start_new_session=True
            )
        self._groups.append(process.pid)
        return process


def children_of(pid: int) -> list[int]:
    """Return the children of a process, the oldest first; none of one that is gone."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return sorted(int(child) for thread in threads for child in (thread / "children").read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants_of(pid: int) -> list[int]:
    """Return all processes below one."""
    children = children_of(pid)
    return [*children, *(each for child in children for each in descendants_of(child))]


def kill(pid: int) -> None:
    """Kill a process; one that is gone already is none to be killed."""
    os.kill(pid, signal.SIGKILL)
