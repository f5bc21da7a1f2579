"""The folder that holds the content of the stored files, named by id."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

CHUNK_BYTES = 1 << 20
ABANDONED_S = 3600.0


class ContentFolder:
    """Keep complete contents under their ids, and incoming ones apart.

    Args:
        root: folder; created where missing, readable by its owner alone.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sweep(time.time() - ABANDONED_S)

    def open(self, file_id: str) -> BinaryIO:
        """Open a content for reading."""
        return self.path(file_id).open("rb")

    def path(self, file_id: str) -> Path:
        """Return where a content lies."""
        return self._root / file_id

    @contextmanager
    def incoming(self, source: BinaryIO) -> Iterator[Path]:
        """Copy `source` to a part that is wholly on disk; what was not published is gone afterwards."""
        part = self._incoming / str(uuid.uuid4())
        try:
            with part.open("xb") as copy:
                shutil.copyfileobj(source, copy, CHUNK_BYTES)
                copy.flush()
                os.fsync(copy.fileno())
            yield part
        finally:
            part.unlink(missing_ok=True)

    def publish(self, part: Path, file_id: str) -> None:
        """Give a part its name; the caller has made sure that no record has this id yet."""
        part.replace(self.path(file_id))
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self, file_id: str) -> None:
        """Remove a content that no record names."""
        self.path(file_id).unlink(missing_ok=True)

    def check(self) -> None:
        """Raise `OSError` unless the folder is there."""
        self._incoming.stat()

    def _sweep(self, before: float) -> None:
        """Remove parts that nobody has written to since; a killed upload leaves one."""
        for part in self._incoming.iterdir():
            try:
                if part.stat().st_mtime < before:
                    part.unlink()
            except FileNotFoundError:
                continue
