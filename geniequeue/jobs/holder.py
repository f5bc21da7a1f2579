"""Who holds a lease: a process named so exactly that another one of its host can tell that it is gone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_DEAD = frozenset("ZX")


@dataclass(frozen=True)
class Holder:
    """A process, as the lock of a job names it.

    Attributes:
        worker: name of the worker, such as `media@host`; only for people.
        boot: of the host; another one after each start of it.
        namespace: of process ids, so that a pid means something.
        pid: in that namespace.
        started: clock ticks from boot to its start, so that a pid given anew is not taken for it.
    """

    worker: str
    boot: str
    namespace: str
    pid: int
    started: str

    def __str__(self) -> str:
        return "|".join((self.worker, self.boot, self.namespace, str(self.pid), self.started))

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        """Read a holder back; None for what is none, such as a lock that another program wrote."""
        parts = text.split("|")
        if len(parts) != 5 or not parts[3].isdecimal():
            return None
        return cls(parts[0], parts[1], parts[2], int(parts[3]), parts[4])

    @classmethod
    def of_process(cls, worker: str, pid: int) -> Holder:
        """Describe a process that lives, in the namespace of this one."""
        _, started = _state_and_start(pid)
        return cls(worker, *_here(), pid, started)

    def is_seen(self) -> bool:
        """Tell whether it can be seen from here that the process lives; it may stand still."""
        return (self.boot, self.namespace) == _here() and not self.is_gone()

    def is_gone(self) -> bool:
        """Tell whether the process has certainly ended; False for what cannot be seen from here."""
        if (self.boot, self.namespace) != _here():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        try:
            state, started = _state_and_start(self.pid)
        except (FileNotFoundError, ProcessLookupError):
            return True
        return state in _DEAD or started != self.started


def holder_in_lock(lock: str | None) -> Holder | None:
    """Return who holds a job by its lock, `<attempt>:<holder>`."""
    return Holder.parse(lock.partition(":")[2]) if lock else None


@cache
def _here() -> tuple[str, str]:
    """Return boot id and pid namespace of this process."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return boot, str(Path("/proc/self/ns/pid").readlink())


def _state_and_start(pid: int) -> tuple[str, str]:
    """Return state and start time of a process; see proc(5), `/proc/pid/stat`, fields 3 and 22."""
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return fields[0], fields[19]
