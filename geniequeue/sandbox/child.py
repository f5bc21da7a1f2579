"""The forked child: one job, from its request to its answer.

It is forked before there is a job for it, so that no job waits for the fork and for what libraries do the first time
they are used; it does one job and ends.

Messages up the pipe are JSON, one a line: `{"progress": 0.5}` and `{"pace": {…}}` any number of times, then
`{"outputs": […]}` or `{"error": {…}}`.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import resource
import signal
import tempfile
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from geniequeue.errors import JobError
from geniequeue.sandbox import processes
from geniequeue.sandbox.inside import Limits, Output, Work

ALLOWED_MODULES = ("geniequeue.media.", "geniequeue.watermark.")
_MAX_DETAIL_CHARS = 4000
_OPEN_FILES = 256
_ANSWER_FD = 255
_WARM_UP = "geniequeue.media.warm"
_THREADS = 512


def run(request_fd: int, answer_fd: int, stderr_fd: int) -> None:
    """Wait for a request, do it and end this process; never returns."""
    try:
        _leave_the_zygote(request_fd, answer_fd, stderr_fd)
        _warm_up()
        with open(0, "rb") as pipe:
            line = pipe.readline()
        if not line:
            os._exit(0)
        request = json.loads(line)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        _take_on_limits(request)
        _send(_ANSWER_FD, _answer(request))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _leave_the_zygote(request_fd: int, answer_fd: int, stderr_fd: int) -> None:
    """Keep nothing of the zygote's but three pipes: requests in, answers out, complaints."""
    os.setsid()
    processes.closed_to_others(False)
    processes.die_with_parent()
    os.dup2(request_fd, 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(stderr_fd, 2)
    os.dup2(answer_fd, _ANSWER_FD)
    os.closerange(3, _ANSWER_FD)
    os.closerange(_ANSWER_FD + 1, _OPEN_FILES)
    os.chdir("/")
    os.umask(0o077)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _warm_up() -> None:
    """Let the libraries do now what they do the first time; what fails here fails again when a job asks for it."""
    with suppress(Exception):
        importlib.import_module(_WARM_UP).warm_up()


def _take_on_limits(request: Mapping[str, Any]) -> None:
    _limit(resource.RLIMIT_CPU, int(request["cpu_s"]))
    _limit(resource.RLIMIT_FSIZE, int(request["file_bytes"]))
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_CORE, 0)
    if request["walled"]:  # outside, the count would include every other process of this user
        _limit(resource.RLIMIT_NPROC, _THREADS)


def _limit(kind: int, value: int) -> None:
    _soft, hard = resource.getrlimit(kind)
    most = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (most, most))


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        function = _function(str(request["function"]), str(request["extra_modules"]))
        out_dir = Path(request["out_dir"])
        os.environ["TMPDIR"] = os.environ["MAGICK_TMPDIR"] = tempfile.tempdir = str(out_dir)
        outputs = function(
            Work(
                inputs={role: Path(path) for role, path in request["inputs"].items()},
                out_dir=out_dir,
                params=request["params"],
                limits=Limits(**request["limits"]),
                report=lambda share: _send(_ANSWER_FD, {"progress": share}),
                pace=lambda pace: _send(_ANSWER_FD, {"pace": dataclasses.asdict(pace)}),
                end_after=signal.alarm,  # its default ends this process, also while a library computes
            )
        )
        return {"outputs": [dataclasses.asdict(output) for output in outputs]}
    except JobError as error:
        return {"error": {"kind": error.kind, "reason": error.reason, "message": error.message, "detail": _detail()}}
    except MemoryError:
        message = "the work needed more memory than it may use; send a smaller file"
        return {"error": {"kind": "oom", "reason": "out_of_memory", "message": message, "detail": _detail()}}
    except Exception:
        message = "the operation failed on this file for a reason that is not known; try again or send another file"
        return {"error": {"kind": "tool", "reason": "unexpected", "message": message, "detail": _detail()}}


def _function(name: str, extra_modules: str) -> Callable[[Work], list[Output]]:
    """Load `module:function` from a package that may be asked for, or from the folder of extra modules."""
    module, _, attribute = name.partition(":")
    extra = bool(extra_modules) and module.isidentifier() and (Path(extra_modules) / f"{module}.py").is_file()
    if not (extra or module.startswith(ALLOWED_MODULES)) or not attribute.isidentifier() or attribute.startswith("_"):
        raise ValueError(f"expected module:function below one of {ALLOWED_MODULES}, got {name!r}")
    function: Callable[[Work], list[Output]] = getattr(importlib.import_module(module), attribute)
    return function


def _detail() -> str:
    """The trace, for the operator's log; never shown to the sender."""
    return traceback.format_exc()[-_MAX_DETAIL_CHARS:]


def _send(fd: int, message: Mapping[str, Any]) -> None:
    line = json.dumps(message).encode() + b"\n"
    while line:
        line = line[os.write(fd, line) :]
