"""One `geniequeue up` per `VAR_DIR`: a lock that ends with the processes that hold it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from geniequeue.errors import SettingsError

LOCK_FILE = "up.lock"


def lock_instance(var_dir: Path) -> int:
    """Take the lock of a `VAR_DIR` and return its descriptor; whoever inherits that holds the lock too.

    Raises:
        SettingsError: somebody else holds it.
    """
    var_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(var_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise SettingsError(
            [f"VAR_DIR: an instance runs already in {var_dir} (process {holder}); stop it, or set another VAR_DIR"]
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
