"""A whole service of the demo's own: own folder, free ports, ended with the demo."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from geniequeue.cli.exits import Unreachable
from geniequeue.cli.ports import free_port
from geniequeue.cli.supervise import end_with_parent, stop_deadline_s
from geniequeue.cli.up import is_ready, stop_wait_s
from geniequeue.config import Settings, load_settings

READY_WITHIN_S = 90.0
POLL_S = 0.1
LOG_TAIL_CHARS = 3000
# What would lead the demo to somebody else's Redis, records or folder.
FOREIGN = frozenset(
    {"REDIS_URL", "DIRECTUS_URL", "DIRECTUS_TOKEN", "DIRECTUS_SECRET", "LEDGER_PREFIX", "API_URL", "MEDIA_TMP_DIR"}
)


@contextmanager
def running_instance(folder: Path, log: Path) -> Iterator[Settings]:
    """Start every process in an empty `folder`, wait until all run, and end them afterwards whatever happened.

    Raises:
        Unreachable: it does not get ready; the end of the log says why.
    """
    shutil.rmtree(folder, ignore_errors=True)
    environ = _environ(folder)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "geniequeue", "up"],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - no thread runs yet
        )
    try:
        _await_ready(process, f"http://127.0.0.1:{environ['PORT']}", log)
        yield load_settings(environ)
    finally:
        _end(process, stop_deadline_s(stop_wait_s(environ)))


def _environ(folder: Path) -> dict[str, str]:
    kept: Mapping[str, str] = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    port, flower_port = free_port(), free_port()
    own = {"VAR_DIR": str(folder), "PORT": str(port), "FLOWER_PORT": str(flower_port), "STOP_WITHIN_S": "1"}
    return {**kept, **own, "ENV_FILE": "", "LOG_FORMAT": "json"}


def _await_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not is_ready(url):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL_CHARS:]
            raise Unreachable(f"the service did not get ready; the end of {log}:\n{tail}")
        time.sleep(POLL_S)


def _end(process: subprocess.Popen[bytes], deadline_s: float) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(deadline_s + 5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
