"""Look at and end processes through /proc: what a job started, how much memory it holds."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 4, 36
# Loaded once: after a fork, before an exec, nothing may be loaded.
_LIBC = ctypes.CDLL(None, use_errno=True)
_ROUNDS = 500
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """What processes hold together."""

    memory_bytes: int
    threads: int


@dataclass(frozen=True)
class _Stat:
    pid: int
    parent: int
    threads: int
    memory_bytes: int


def descendants(ancestor: int) -> list[int]:
    """Process ids of all that `ancestor` started, directly or not, and that still exist."""
    return [stat.pid for stat in _below(ancestor)]


def usage_below(ancestor: int) -> Usage:
    """Resident memory and threads of all that `ancestor` started."""
    stats = _below(ancestor)
    return Usage(sum(stat.memory_bytes for stat in stats), sum(stat.threads for stat in stats))


def kill_below(ancestor: int) -> None:
    """Kill all that `ancestor` started; as the init of a sandbox in one stroke, else until none is left."""
    if ancestor == os.getpid() == 1:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        return
    for _ in range(_ROUNDS):
        alive = [stat.pid for stat in _below(ancestor) if stat.memory_bytes]
        if not alive:
            return
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def die_with_parent() -> None:
    """Be killed when the parent dies."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose parent died."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def closed_to_others(closed: bool) -> None:
    """Forbid, or allow again, other processes of the same user to read this one's memory."""
    _prctl(_PR_SET_DUMPABLE, 0 if closed else 1)


def _prctl(option: int, value: int) -> None:
    _LIBC.prctl(option, value, 0, 0, 0)


def _below(ancestor: int) -> list[_Stat]:
    children: dict[int, list[_Stat]] = {}
    for stat in _all():
        children.setdefault(stat.parent, []).append(stat)
    found = list(children.get(ancestor, ()))
    for stat in found:  # grows while it is walked
        found.extend(children.get(stat.pid, ()))
    return found


def _all() -> list[_Stat]:
    stats = (_stat(entry) for entry in os.listdir("/proc") if entry.isdigit())  # noqa: PTH208 - hot path
    return [stat for stat in stats if stat is not None]


def _stat(pid: str) -> _Stat | None:
    """Read /proc/<pid>/stat (proc(5)); the name in brackets may itself hold brackets and blanks."""
    try:
        raw = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = raw[raw.rfind(b")") + 2 :].split()
    return _Stat(int(pid), int(fields[1]), int(fields[17]), int(fields[21]) * _PAGE_BYTES)
