"""The zygote: imports the media libraries once, runs no operation itself, forks one child per job, one ahead.

It reads requests from standard input and writes messages to standard output, both JSON, one a line: `{"ready": …}`
once, then for each request `{"progress": share}`, `{"pace": {…}}` and one `{"done": …}`. It believes nothing that a
child says: a child has a pipe of its own, and what comes up it is read with limits.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from geniequeue.sandbox import child, processes

# By name, because the sandbox knows nothing of what runs inside it; one that is missing fails when a job asks for it.
_PRELOADED = (
    "pyvips",
    "wand.image",
    "wand.drawing",
    "geniequeue.media.image",
    "geniequeue.media.metadata",
    "geniequeue.media.mark",
    "geniequeue.media.video",
    "geniequeue.media.compress",
    "geniequeue.media.trim",
    "geniequeue.media.join",
    "geniequeue.media.teaser",
)
_LOOK_EVERY_MS = 50
_MAX_LINE_BYTES = 1 << 20
_MAX_STDERR_BYTES = 4096
_MAX_THREADS = 512


@dataclass
class Child:
    """A forked child, waiting for its request or at work, and what has been heard from it."""

    pid: int
    request_fd: int
    answer_fd: int
    stderr_fd: int
    buffer: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    answer: Any = None
    ended_because: str | None = None


def main() -> None:
    """Serve requests until standard input ends."""
    walled = os.getpid() == 1
    _stand(walled)
    for name in _PRELOADED:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    _say({"ready": {"threads": len(os.listdir("/proc/self/task"))}})  # noqa: PTH208 - names only
    waiting = fork_child()
    for line in sys.stdin.buffer:
        _say({"done": serve(waiting, {**json.loads(line), "walled": walled})})
        waiting = fork_child()


def fork_child() -> Child:
    """Fork a child that waits for a request."""
    request, answer, stderr = os.pipe(), os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        child.run(request[0], answer[1], stderr[1])
    for fd in (request[0], answer[1], stderr[1]):
        os.close(fd)
    return Child(pid, request[1], answer[0], stderr[0])


def serve(watched: Child, request: Mapping[str, Any]) -> dict[str, Any]:
    """Give the child its request and watch it to its end."""
    began = time.monotonic()
    with suppress(BrokenPipeError):  # it died while it waited; the watch will see
        os.write(watched.request_fd, json.dumps(request).encode() + b"\n")
    try:
        _watch(watched, request)
        usage, status = _bury(watched)
    finally:
        for fd in (watched.request_fd, watched.answer_fd, watched.stderr_fd):
            os.close(fd)
    return {
        "answer": watched.answer,
        "ended_because": watched.ended_because,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "stderr": watched.stderr[-_MAX_STDERR_BYTES:].decode(errors="replace"),
        "peak_memory_bytes": usage.ru_maxrss * 1024,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": time.monotonic() - began,
    }


def _stand(walled: bool) -> None:
    """Take the place of init in the sandbox; without walls, at least die with the parent and adopt orphans."""
    processes.closed_to_others(True)
    if not walled:
        processes.die_with_parent()
        processes.adopt_orphans()


def _watch(watched: Child, request: Mapping[str, Any]) -> None:
    """Pass progress on and guard the memory until the child ends or is ended."""
    pid_fd = os.pidfd_open(watched.pid)
    poll = select.poll()
    for fd in (watched.answer_fd, watched.stderr_fd):
        os.set_blocking(fd, False)
        poll.register(fd, select.POLLIN)
    poll.register(pid_fd, select.POLLIN)
    looked = time.monotonic()
    try:
        while True:
            ready = {fd for fd, _event in poll.poll(_LOOK_EVERY_MS)}
            for fd in ready & {watched.answer_fd, watched.stderr_fd}:
                if not _hear(watched, fd):
                    poll.unregister(fd)
            if pid_fd in ready or watched.ended_because:
                return
            if time.monotonic() - looked >= _LOOK_EVERY_MS / 1000:
                looked = time.monotonic()
                watched.ended_because = _excess(request)
    finally:
        os.close(pid_fd)


def _excess(request: Mapping[str, Any]) -> str | None:
    usage = processes.usage_below(os.getpid())
    if usage.memory_bytes > request["memory_bytes"]:
        return "memory"
    return "threads" if request["walled"] and usage.threads > _MAX_THREADS else None


def _bury(watched: Child) -> tuple[Any, int]:
    """Kill all that the job left behind, read what it said last, and reap everything."""
    if watched.ended_because:
        with suppress(ProcessLookupError):
            os.kill(watched.pid, signal.SIGKILL)
        processes.kill_below(os.getpid())
    _pid, status, usage = os.wait4(watched.pid, 0)
    processes.kill_below(os.getpid())
    with suppress(ChildProcessError):
        while os.waitpid(-1, 0)[0]:
            pass
    for fd in (watched.answer_fd, watched.stderr_fd):
        while _hear(watched, fd):
            pass
    return usage, status


def _hear(watched: Child, fd: int) -> bool:
    """Read what is there; False at the end of the pipe."""
    try:
        data = os.read(fd, 65536)
    except BlockingIOError:
        return False
    if fd == watched.stderr_fd:
        watched.stderr = (watched.stderr + data)[-_MAX_STDERR_BYTES:]
        return bool(data)
    watched.buffer += data
    *lines, rest = watched.buffer.split(b"\n")
    watched.buffer = rest
    for line in lines:
        _take(watched, bytes(line))
    if len(rest) > _MAX_LINE_BYTES:
        watched.ended_because = "garbage"
        watched.buffer.clear()
    return bool(data)


def _take(watched: Child, line: bytes) -> None:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        watched.ended_because = "garbage"
        return
    if isinstance(message, dict) and isinstance(message.get("progress"), int | float):
        _say({"progress": message["progress"]})
    elif isinstance(message, dict) and isinstance(message.get("pace"), dict):
        _say({"pace": {name: message["pace"].get(name) for name in ("speed", "left_s")}})
    else:
        watched.answer = message


def _say(message: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
    sys.stdout.buffer.flush()
