"""A whole running service for tests: `geniequeue up` with its own folder and ports, driven over HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from geniequeue.config import load_settings
from geniequeue.records.embedded import EmbeddedStore

REPOSITORY = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
FINAL = frozenset({"completed", "failed", "cancelled"})


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def clean_environ(**values: str) -> dict[str, str]:
    """Return an environment without any setting of ours but `values`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    kept["PATH"] = f"{BIN}:{kept.get('PATH', '/usr/bin:/bin')}"
    return {**kept, "ENV_FILE": "", **values}


@dataclass
class Answer:
    """Status, headers and JSON body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass
class Service:
    """A running instance.

    Attributes:
        folder: its VAR_DIR; the log of all processes is `up.log` in it.
        environ: environment that reaches it, for the command line.
    """

    folder: Path
    environ: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def url(self) -> str:
        """Address of the API."""
        return f"http://127.0.0.1:{self.environ['PORT']}"

    @property
    def store(self) -> EmbeddedStore:
        """The records of the running instance."""
        from geniequeue.records import open_store

        store = open_store(load_settings({**self.environ, "FAULTS_DIR": ""}))
        assert isinstance(store, EmbeddedStore)
        return store

    def start(self) -> None:
        """Start every process and wait until `/readyz` is green."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = (self.folder / "up.log").open("ab")
        self.process = subprocess.Popen(
            [str(BIN / "geniequeue"), "up"], cwd=REPOSITORY, env=self.environ, stdout=log, stderr=log
        )
        try:
            self.wait_ready()
        except BaseException:
            # nobody else would: a fixture that does not get so far has no end
            self.stop()
            raise

    def wait_ready(self, within_s: float = 120) -> None:
        """Wait until `/readyz` answers 200."""
        assert self.process is not None
        await_true(self._ready, within_s, lambda: f"not ready:\n{self.log()[-4000:]}")

    def _ready(self) -> bool:
        assert self.process is None or self.process.poll() is None, self.log()[-4000:]
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def stop(self) -> float:
        """End it as Ctrl-C does; return how long that took in seconds."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        return time.monotonic() - began

    def worker_pids(self, queue: str) -> list[int]:
        """Return main and pool children of the worker that serves a queue, the main process first."""
        mine = f"VAR_DIR={self.folder}".encode()
        return oldest_first(
            pid
            for pid, arguments in processes()
            if queue.encode() in arguments and mine in _read(pid, "environ").split(b"\0")
        )

    def hold_workers(self, *, hold: bool = True) -> None:
        """Stop the media worker's processes where they stand, so that jobs wait; or let them go on."""
        for pid in self.worker_pids("media-jobs"):
            os.kill(pid, signal.SIGSTOP if hold else signal.SIGCONT)

    def log(self) -> str:
        """Return what all processes wrote."""
        return (self.folder / "up.log").read_text(errors="replace")

    def token(self, user: str = "creator", *, admin: bool = False, ttl_s: float = 3600) -> str:
        """Return a token of an account, which is made where missing."""
        store = self.store
        return store.mint_token(store.ensure_user(user, "studio", admin), ttl_s)

    def request(self, method: str, path: str, token: str | None = None, **kwargs: Any) -> Answer:
        """Send a request to the API."""
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **kwargs.pop("headers", {})}
        reply = self.session.request(method, self.url + path, headers=headers, timeout=30, **kwargs)
        return Answer(reply.status_code, reply.headers, reply.json() if reply.content else None)

    def create(self, token: str, operation: str, path: Path, params: Mapping[str, Any], **fields: Any) -> str:
        """Store a file and create a `media_jobs` item as the web app does; return the job's id."""
        records = self.store.as_user(token)
        file_id = self.upload(token, path)
        item = {"operation": operation, "input_file_id": file_id, "params": dict(params), **fields}
        return str(records.create_item("media_jobs", item)["id"])

    def upload(self, token: str, path: Path, filename: str | None = None) -> str:
        """Store a file as its owner; return its id."""
        import uuid

        file_id = str(uuid.uuid4())
        self.store.as_user(token).upload(
            path, file_id=file_id, filename=filename or path.name, mime="application/octet-stream"
        )
        return file_id

    def enqueue(self, token: str, job_id: str, operation: str, **members: Any) -> Answer:
        """POST a job to the API."""
        return self.request(
            "POST", "/api/queue/media", token, json={"jobId": job_id, "operation": operation, **members}
        )

    def run(self, token: str, operation: str, path: Path, params: Mapping[str, Any], within_s: float = 90) -> Any:
        """Create, enqueue and await a job; return how it ended."""
        job_id = self.create(token, operation, path, params)
        answer = self.enqueue(token, job_id, operation)
        assert answer.status == 200, answer.body
        return self.await_final(token, job_id, within_s)

    def await_final(self, token: str, job_id: str, within_s: float = 90) -> Any:
        """Poll a job until its state is final."""
        return self.await_state(token, job_id, FINAL, within_s)

    def await_state(self, token: str, job_id: str, states: frozenset[str], within_s: float = 90) -> Any:
        """Poll a job until it is in one of `states`."""
        job: dict[str, Any] = {}

        def reached() -> bool:
            job.update(self.request("GET", f"/api/queue/jobs/{job_id}", token).body)
            return job.get("state") in states

        await_true(reached, within_s, lambda: f"job {job_id} stays {job}:\n{self.log()[-3000:]}")
        return job

    def cli(self, *arguments: str, within_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run the command line against this instance."""
        return subprocess.run(
            [str(BIN / "geniequeue"), *arguments],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )


def processes() -> list[tuple[int, list[bytes]]]:
    """Return pid and arguments of every process that can be seen."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [(pid, _read(pid, "cmdline").split(b"\0")) for pid in pids]


def oldest_first(pids: Iterable[int]) -> list[int]:
    """Sort processes by when they started; their pids begin again at some number."""
    started = {pid: _read(pid, "stat").rpartition(b")")[2].split() for pid in pids}
    return sorted((pid for pid, fields in started.items() if fields), key=lambda pid: int(started[pid][19]))


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def await_true(condition: Any, within_s: float, otherwise: Any) -> None:
    """Poll until `condition()` holds; fail with `otherwise()` after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)


def make_service(folder: Path, **settings: str) -> Service:
    """Return an instance that is not started yet."""
    ports = {"PORT": str(free_port()), "FLOWER_PORT": str(free_port())}
    return Service(folder, clean_environ(VAR_DIR=str(folder), **ports, **settings))


def output_path(job: Mapping[str, Any], number: int = 0) -> Path:
    """Return where the embedded store keeps an output."""
    return Path(job["outputs"][number]["path"])


def last_json(text: str) -> Any:
    """Parse the last line of an output as JSON."""
    return json.loads(text.strip().splitlines()[-1])
