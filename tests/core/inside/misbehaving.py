# ruff: noqa: PTH208, PTH115 - told in the words of the system calls
"""Functions that do inside the sandbox what a decoder taken over by its input might do."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from geniequeue.errors import InputError
from geniequeue.sandbox.inside import Output, Work


def write(work: Work, content: object = b"done") -> list[Output]:
    data = content if isinstance(content, bytes) else repr(content).encode()
    (work.out_dir / "output.txt").write_bytes(data)
    return [Output("output.txt", "text/plain", None, None)]


def behave(work: Work) -> list[Output]:
    work.report(0.25)
    work.report(0.75)
    return write(work)


def segfault(work: Work) -> list[Output]:
    ctypes.string_at(0)
    return []


def refuse(work: Work) -> list[Output]:
    raise InputError("expected a cat, got a dog; send a cat", reason="not_a_cat")


def stumble(work: Work) -> list[Output]:
    raise KeyError("/secret/path")


def sleep(work: Work) -> list[Output]:
    (work.out_dir / "started").touch()
    time.sleep(3600)
    return []


def _long(work: Work) -> str:
    """An hour that can be told from that of another test run."""
    return f"3600.{work.params.get('tag', 0)}"


def sleep_with_family(work: Work) -> list[Output]:
    for command in (["sleep", _long(work)], ["setsid", "sleep", _long(work)]):
        subprocess.Popen(command)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return sleep(work)


def ignore_term(work: Work) -> list[Output]:
    """Do not end when asked to, nor let a tool and its own child end, which inherit that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(["sh", "-c", f"sleep {_long(work)} & exec sleep {_long(work)}"])
    return sleep(work)


def leave_a_daemon(work: Work) -> list[Output]:
    subprocess.Popen(["setsid", "sleep", _long(work)])
    return write(work)


def count_processes(work: Work) -> list[Output]:
    return write(work, sorted(int(name) for name in os.listdir("/proc") if name.isdigit()))


def allocate(work: Work) -> list[Output]:
    held = []
    while True:
        held.append(bytearray(os.urandom(1 << 20) * 16))


def fork_without_end(work: Work) -> list[Output]:
    while True:
        try:
            if os.fork() == 0:
                time.sleep(0.001)
        except OSError:
            time.sleep(0.01)


def burn(work: Work) -> list[Output]:
    while True:
        pass


def vanish(work: Work) -> list[Output]:
    os._exit(0)


def babble(work: Work) -> list[Output]:
    """Write nonsense to every descriptor there is."""
    for fd in range(3, 256):
        try:
            os.write(fd, b"\xff\x00garbage}{\n" * 10)
        except OSError:
            continue
    return write(work)


def babble_without_end(work: Work) -> list[Output]:
    while True:
        for fd in range(1, 256):
            try:
                os.write(fd, b"x" * 65536)
            except OSError:
                continue


def name_a_link(work: Work) -> list[Output]:
    (work.out_dir / "output.txt").symlink_to("/etc/shadow")
    return [Output("output.txt", "text/plain", None, None)]


def name_a_file_elsewhere(work: Work) -> list[Output]:
    return [Output("../input", "text/plain", None, None)]


def kill_the_zygote(work: Work) -> list[Output]:
    for pid in (1, os.getppid()):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue
    return write(work)


def grow_a_file(work: Work) -> list[Output]:
    with (work.out_dir / "big").open("wb") as file:
        while True:
            file.write(b"\0" * (1 << 20))


def write_kernel_settings(work: Work) -> list[Output]:
    """Open kernel settings for writing, without writing to any."""
    names = ("kernel/core_pattern", "vm/overcommit_memory", "kernel/randomize_va_space", "kernel/domainname")
    tried = {name: _outcome(lambda name=name: os.close(os.open(f"/proc/sys/{name}", os.O_WRONLY))) for name in names}
    return write(work, repr(tried).encode())


def look_around(work: Work) -> list[Output]:
    """Describe all that a job can see and reach."""
    return write(
        work,
        {
            "env": dict(os.environ),
            "root": sorted(os.listdir("/")),
            "etc": sorted(os.listdir("/etc")),
            "fds": sorted(f"{fd}:{_target(fd)}" for fd in os.listdir("/proc/self/fd") if _target(fd)),
            "connect": _outcome(lambda: socket.create_connection(("127.0.0.1", 22), 1)),
            "resolve": _outcome(lambda: socket.create_connection(("1.1.1.1", 53), 1)),
            "interfaces": [name for _index, name in socket.if_nameindex()],
            "write_root": _outcome(lambda: Path("/x").write_text("x")),
            "write_tmp": _outcome(lambda: Path("/tmp/x").write_text("x")),
            "write_shm": _outcome(lambda: Path("/dev/shm/x").write_text("x")),
            "write_code": _outcome(lambda: Path(sys.modules["geniequeue.errors"].__file__ or "").open("a")),
            "zygote_memory": _outcome(lambda: Path("/proc/1/mem").open("rb")),
            "zygote_files": _outcome(lambda: Path("/proc/1/fd/1").open("wb")),
            "outside": _outcome(lambda: Path(str(work.params["outside"])).read_text()),
            "capabilities": [line for line in Path("/proc/self/status").read_text().splitlines() if "CapEff" in line],
            "no_new_privileges": "NoNewPrivs:\t1" in Path("/proc/self/status").read_text(),
        },
    )


def _target(fd: str) -> str | None:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return None


def _outcome(act: object) -> str:
    try:
        act()  # type: ignore[operator]
    except Exception as error:
        return type(error).__name__
    return "done"


def oversleep(work: Work) -> list[Output]:
    """Take longer than the job itself said it would."""
    work.end_after(1)
    time.sleep(60)
    return []
