"""The service account's token: given once, or kept in a file that an operator may change while the service runs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

from geniequeue.log import get_logger

TOKEN_FILE_MAX_BYTES = 16_384

log = get_logger(__name__)


class TokenSource(Protocol):
    """Where the token of a caller comes from."""

    def current(self) -> str:
        """Return the token to use now; empty where there is none."""

    def renewed(self, refused: str) -> bool:
        """Look again after `refused` was not accepted; tell whether `current` is another one now."""


class FixedToken:
    """A token that stays what it is."""

    def __init__(self, token: str) -> None:
        self._token = token

    def current(self) -> str:
        """Return it."""
        return self._token

    def renewed(self, refused: str) -> bool:
        """Say no."""
        del refused
        return False


class TokenFile:
    """The first word of a file, read again when the file has changed or the token was refused.

    A file that cannot be read, or is empty because somebody is writing it, leaves the last token in use.

    Args:
        path: file with the token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._token = ""

    def current(self) -> str:
        """Return the token as the file has it by now."""
        with self._lock:
            if self._state() != self._seen:
                self._read()
            return self._token

    def renewed(self, refused: str) -> bool:
        """Read the file again, whatever its time says: two changes may fall into one tick of its clock."""
        with self._lock:
            self._read()
            return self._token != refused

    def _state(self) -> tuple[int, int, int] | None:
        try:
            about = self._path.stat()
        except OSError:
            return None
        return about.st_mtime_ns, about.st_size, about.st_ino

    def _read(self) -> None:
        state = self._state()
        try:
            with self._path.open("rb") as file:
                lines = file.read(TOKEN_FILE_MAX_BYTES).decode("ascii", errors="replace").split()
        except OSError as error:
            if self._seen != state:
                log.error("token file not read, the last token stays in use", path=str(self._path), error=str(error))
            self._seen = state
            return
        if lines and lines[0] != self._token:
            if self._token:
                log.info("service token read again", path=str(self._path))
            self._token = lines[0]
        self._seen = state
