"""One read for everybody who asks for the same thing at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedRead(Generic[T]):
    """Reads once for all who wait for a read to begin. Safe for threads.

    Nobody gets an answer that is older than his question: whoever asks while a read is under way waits for the next
    one, with all others who ask meanwhile.

    Args:
        read: what it raises is raised to everybody who waited for it.
    """

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._reading = threading.Lock()
        self._joining = threading.Lock()
        self._next: Future[T] | None = None

    def get(self) -> T:
        """Return what a read tells that begins from now on."""
        mine: Future[T] = Future()
        with self._joining:
            joined = self._next
            if joined is None:
                self._next = mine
        if joined is not None:
            return joined.result()
        with self._reading:
            with self._joining:
                self._next = None
            try:
                mine.set_result(self._read())
            except BaseException as error:
                mine.set_exception(error)
        return mine.result()
