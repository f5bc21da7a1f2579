"""Named points before each side effect, at which a test lets a process die, or stand still.

Nothing happens at them unless `FAULTS_DIR` names a folder, which no production does. Then each point that is reached is
added to the file `trace` in it, `<pid> <role> <point>`. Where a file `<role> <point>` lies there, it says which process
dies, `self` or `parent`, the main process of a worker, and at which time of reaching it: `self 2`. With `asleep` nobody
dies, but both stand still until somebody lets them go on, and then the side effect happens. It strikes once.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

_armed: tuple[Path, str] | None = None


def arm(folder: Path | None, role: str) -> None:
    """Let faults strike in this process, and in those it forks, as a folder says; None for never.

    Args:
        role: of the process, `api` or `worker`.
    """
    global _armed  # noqa: PLW0603 - one per process
    _armed = (folder, role) if folder is not None else None


def reach(point: str) -> None:
    """Tell that the next thing this process does is a side effect, such as `redis.lease`."""
    if _armed is not None:
        _strike(*_armed, point)


def _strike(folder: Path, role: str, point: str) -> None:
    with (folder / "trace").open("a") as trace:
        trace.write(f"{os.getpid()} {role} {point}\n")
    fault = folder / f"{role} {point}"
    try:
        victim, times = fault.read_text().split()
        if int(times) > 1:
            fault.write_text(f"{victim} {int(times) - 1}")
            return
        fault.unlink()
    except FileNotFoundError:
        return
    if victim == "asleep":
        os.kill(os.getppid(), signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    os.kill(os.getppid() if victim == "parent" else os.getpid(), signal.SIGKILL)
    threading.Event().wait()  # the end of the parent is the end of this process, too
