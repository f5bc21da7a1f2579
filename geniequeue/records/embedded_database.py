"""SQLite connections for many threads and processes, with every error of SQLite translated.

Nothing of `sqlite3` leaves this package as an exception. A connection serves one thread at a time and never crosses a
fork: SQLite keeps its locks per process, so a child that used an inherited connection could destroy the file. Before
a fork the pools close theirs, afterwards both sides open new ones.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from geniequeue.errors import RecordNotUnique, RecordsError, RecordsUnavailable

FORK_WAIT_S = 10.0
ASK_EVERY_MS = 3
_TAKEN = frozenset({sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE})


class Database:
    """One SQLite file in WAL mode.

    Args:
        path: the file; created where missing.
        busy_timeout_s: how long a call waits for another writer.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float) -> None:
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._idle: list[sqlite3.Connection] = []
        self._busy = 0
        self._held = False
        self._changed = threading.Condition()
        with answering("records", "open"), _alone(path.with_suffix(".lock")), closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        weakref.finalize(self, _close_all, self._idle)
        with _forking:
            _pools.add(self)

    @contextmanager
    def reading(self, collection: str, action: str = "read") -> Iterator[sqlite3.Connection]:
        """Lend a connection for single statements; each is its own transaction.

        Raises:
            RecordsUnavailable: the file is locked too long, full or damaged.
        """
        with answering(collection, action), self._borrowed() as connection:
            yield connection

    @contextmanager
    def writing(self, collection: str, action: str) -> Iterator[sqlite3.Connection]:
        """Lend a connection inside a write transaction: kept when the block ends, undone when it raises.

        Raises:
            RecordNotUnique: the primary key is taken.
            RecordsUnavailable: the file is locked too long, full or damaged.
        """
        with self.reading(collection, action) as connection:
            self._begin(connection)
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with _forking, self._changed:
            _close_all(self._idle)

    def hold(self) -> None:
        """Wait until no connection is in use, close all, and lend none until `release`."""
        self._changed.acquire()
        self._held = True
        self._changed.wait_for(lambda: self._busy == 0, FORK_WAIT_S)
        _close_all(self._idle)

    def release(self, *, in_child: bool) -> None:
        """Lend connections again; in a child those of other threads are not there any more."""
        if in_child:
            self._busy = 0
        self._held = False
        self._changed.notify_all()
        self._changed.release()

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Start a write transaction, asking every few milliseconds.

        SQLite's own waiting grows to 100 ms between two questions, so that a process which writes without a pause
        keeps every other one out.
        """
        deadline = time.monotonic() + self._busy_timeout_s
        connection.execute(f"PRAGMA busy_timeout={ASK_EVERY_MS}")
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
        connection.execute(f"PRAGMA busy_timeout={int(self._busy_timeout_s * 1000)}")

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        with self._changed:
            self._changed.wait_for(lambda: not self._held)
            self._busy += 1
            connection = self._idle.pop() if self._idle else None
        try:
            connection = connection or self._connect()
            yield connection
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error:
            if connection is not None:
                connection.close()
            connection = None
            raise
        finally:
            with self._changed:
                self._busy -= 1
                if connection is not None:
                    self._idle.append(connection)
                self._changed.notify_all()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection


@contextmanager
def answering(collection: str, action: str) -> Iterator[None]:
    """Turn what SQLite or the file system raises into what a record store answers."""
    try:
        yield
    except RecordsError:
        raise
    except (sqlite3.Error, OSError) as error:
        if getattr(error, "sqlite_errorcode", None) in _TAKEN:
            raise not_unique(collection) from error
        raise RecordsUnavailable(
            f"expected the record store to {action} in {collection}, got '{error}'; check its disk and try again",
            collection=collection,
            action=action,
        ) from error


def not_unique(collection: str) -> RecordNotUnique:
    """Return the answer for a primary key that is taken."""
    return RecordNotUnique(
        f"expected an id that is not in {collection} yet, got one that is; read that item or choose another id",
        collection=collection,
        action="create",
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes out: two that switch a new file to WAL at once would fail each other."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _close_all(connections: list[sqlite3.Connection]) -> None:
    """Close connections now: left to the garbage collector, one could be closing while another thread forks."""
    with _forking:
        while connections:
            connections.pop().close()


_pools: weakref.WeakSet[Database] = weakref.WeakSet()
_held: list[Database] = []
_forking = threading.RLock()


def _before_fork() -> None:
    _forking.acquire()
    _held.extend(_pools)
    for pool in _held:
        pool.hold()


def _after_fork(*, in_child: bool) -> None:
    while _held:
        _held.pop().release(in_child=in_child)
    _forking.release()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=lambda: _after_fork(in_child=False),
    after_in_child=lambda: _after_fork(in_child=True),
)
