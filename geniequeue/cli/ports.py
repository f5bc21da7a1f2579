"""Loopback ports: which are free, and who listens."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with _listener() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Tell whether a server could listen on a loopback port now."""
    with _listener() as listener:
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _listener() -> socket.socket:
    """Return a socket that binds where servers can: also where closed connections linger."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return listener
