"""The last log lines of a pool child, kept where its worker's main process can read them after it was killed."""

from __future__ import annotations

import logging
import mmap
from collections import deque

LINES = 8
SIZE_BYTES = 8192

# made before the pool children are forked, so that they write what their parent reads
_shared = mmap.mmap(-1, SIZE_BYTES)


class LastWords(logging.Handler):
    """Keeps the last lines; one pool child works at a time."""

    def __init__(self, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._lines: deque[str] = deque(maxlen=LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line; the oldest is forgotten."""
        self._lines.append(self.format(record))
        text = "\n".join(self._lines).encode()[-(SIZE_BYTES - 1) :]
        _shared[: len(text) + 1] = text + b"\0"


def listen() -> None:
    """Keep what this process logs from now on."""
    root = logging.getLogger()
    root.addHandler(LastWords(root.handlers[0].formatter if root.handlers else None))
    forget()


def forget() -> None:
    """Begin anew, with a new job."""
    _shared[:1] = b"\0"
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LastWords):
            handler._lines.clear()


def read() -> str:
    """Return the last lines that the pool child logged."""
    return bytes(_shared[:]).partition(b"\0")[0].decode(errors="replace")
