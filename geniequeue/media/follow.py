"""Read a file while it is being written: wait at its end until the writer says that this was all."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import BinaryIO

import pyvips

_LOOK_EVERY_S = 0.002


class Follower:
    """A growing file as a source of bytes; what it gives is read from the file and nowhere else.

    Args:
        path: of the file; it need not be there yet.
        written: set when nothing more will be written, also when the writer failed; then the file's end is the end.
    """

    def __init__(self, path: Path, written: threading.Event) -> None:
        self._path = path
        self._written = written
        self._file: BinaryIO | None = None

    def source(self) -> pyvips.SourceCustom:
        """Return a source for a libvips loader that needs no seeking."""
        source = pyvips.SourceCustom()
        source.on_read(self.read)
        return source

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes as soon as there are any; none at the end, and none if the file cannot be read."""
        while True:
            last_look = self._written.is_set()  # before reading, so that nothing written in between is missed
            data = self._there(size)
            if data or last_look:
                return data
            self._written.wait(_LOOK_EVERY_S)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _there(self, size: int) -> bytes:
        try:
            if self._file is None:
                self._file = self._path.open("rb", buffering=0)
            return self._file.read(size)
        except OSError:
            return b""
