"""Whether it was the host that let a job down, and not the job: a full disk, files that somebody removed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from geniequeue.errors import HostError, HostFull

FULL_BYTES = 1_000_000
"""Less than this is left of a disk after a write has failed for want of space."""


def refuse_without_space(folder: Path, needed_bytes: int) -> None:
    """Begin no work where little space is left.

    Args:
        needed_bytes: `MIN_FREE_MB`, below which `/readyz` is red, too.

    Raises:
        HostFull: there is less.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        told = (
            f"expected {needed_bytes // 1_000_000} MB of free disk on the worker's host, got {free_bytes // 1_000_000}"
        )
        raise HostFull(f"{told}; the job waits for space", reason="no_space")


@contextmanager
def waiting_for_space() -> Iterator[None]:
    """Let a job wait where the disk turns out to be full while files are fetched or written.

    Raises:
        HostFull: there is no space, or the quota of this account is used up.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise HostFull("the disk of the worker's host is full; the job waits for space", reason="no_space") from error


def fault_of_host(inputs: Iterable[Path], out_dir: Path) -> HostError | None:
    """Return what the host did to a job that has failed, None where it looks as it should."""
    if not out_dir.is_dir() or not all(path.is_file() for path in inputs):
        return HostError("the job's temporary files were removed under it; send it again", reason="files_removed")
    disk = os.statvfs(out_dir)
    no_inodes = disk.f_files > 0 and disk.f_favail == 0
    if disk.f_bavail * disk.f_frsize < FULL_BYTES or no_inodes:
        return HostError("the disk of the worker's host is full; send the job again later", reason="no_space")
    return None
