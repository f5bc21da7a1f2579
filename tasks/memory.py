"""How much memory a process and its descendants have used."""

from __future__ import annotations

from pathlib import Path


def peak_bytes(pid: int | None) -> int:
    """Return the highest resident memory of one process among `pid` and its descendants so far, 0 where none lives."""
    if not pid:
        return 0
    return max(_own_peak_bytes(pid), *(peak_bytes(child) for child in _children(pid)), 0)


def _own_peak_bytes(pid: int) -> int:
    """Return `VmHWM` of a process; see proc(5)."""
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _children(pid: int) -> list[int]:
    return [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]


def _read(path: str) -> str:
    """Return a file of a process, empty when that has ended."""
    try:
        return Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
