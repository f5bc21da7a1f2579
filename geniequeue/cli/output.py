"""What the processes print, as whole lines that say whose they are.

Each process has a pipe of its own, so that no line of one is cut by a line of another.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from geniequeue.log import redact

LONGEST_LINE_BYTES = 1 << 16

Write = Callable[[str, str], None]


class Lines:
    """Cuts what one process prints into lines.

    Args:
        name: of the process.
        write: takes the name and each line, without its end.
    """

    def __init__(self, name: str, write: Write) -> None:
        self._name = name
        self._write = write
        self._kept = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; what is no whole line yet is kept."""
        *lines, self._kept = (self._kept + chunk).split(b"\n")
        if len(self._kept) > LONGEST_LINE_BYTES:
            lines, self._kept = [*lines, self._kept], b""
        for line in lines:
            self._pass_on(line)

    def end(self) -> None:
        """Pass on what is left."""
        self._pass_on(self._kept)
        self._kept = b""

    def _pass_on(self, line: bytes) -> None:
        text = line.decode("utf-8", errors="replace").rstrip()
        if text:
            self._write(self._name, text)


def as_json(name: str, text: str) -> str:
    """Return a line as it is where it is a JSON object, else as one with the name of the process."""
    if text.startswith("{") and text.endswith("}"):
        return text
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return json.dumps({"event": redact(text), "process": name, "timestamp": now}, ensure_ascii=False)


def for_reading(name: str, text: str, width: int) -> str:
    """Return a line behind the name of its process, padded to `width` characters."""
    return f"{name:<{width}} | {redact(text)}"
