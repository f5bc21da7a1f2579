"""Outside the sandbox: start the zygote, give it a job, end it when the job must stop.

Everything that ends a job early (cancel, time limit, a dead zygote) is one act: kill the whole sandbox and start
another. There is no politeness to get wrong.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from geniequeue.errors import CancelledError, InputError, LostError, TimeLimitError, ToolError, VerifyError
from geniequeue.faults import reach
from geniequeue.sandbox import jail
from geniequeue.sandbox.host import fault_of_host
from geniequeue.sandbox.inside import Limits, Output, Pace
from geniequeue.sandbox.process import ZygoteProcess
from geniequeue.sandbox.result import SandboxResult, outputs_of

_log = structlog.get_logger(__name__)
_ASK_EVERY_S = 0.25
_MEMORY_BYTES = 2 << 30
_FILE_BYTES = 4 << 30
_MOST = 1e6  # of a speed, of seconds that are left


class Sandbox:
    """One zygote and its successors; runs one job at a time.

    Args:
        root: private folder of this worker; job folders lie below it and nothing else does, because it is all writable
            from inside.
        enabled: False runs the same zygote without walls: a file that exploits a decoder then has all of the worker.
        memory_bytes: a job whose processes hold more than this together is ended.
        file_bytes: no file that a job writes can grow beyond this.
        ffmpeg: the one that works on videos; None for the one that moviepy brings along.
        extra_modules: folder of further modules whose functions may run, beside `geniequeue.media` and
            `geniequeue.watermark`; visible inside, read only.
    """

    def __init__(
        self,
        root: Path,
        *,
        enabled: bool = True,
        memory_bytes: int = _MEMORY_BYTES,
        file_bytes: int = _FILE_BYTES,
        ffmpeg: Path | None = None,
        extra_modules: Path | None = None,
    ) -> None:
        self.root = root.resolve()
        self._enabled = enabled
        self._memory_bytes = memory_bytes
        self._file_bytes = file_bytes
        self._ffmpeg = ffmpeg.resolve() if ffmpeg else None
        self._extra_modules = extra_modules.resolve() if extra_modules else None
        self._zygote: ZygoteProcess | None = None
        self._folder = 0

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the zygote if none is alive, without waiting for it (about 0.3 s). From the main thread only.

        One whose folder was removed or replaced sees the old one, and gets a successor.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = self.root.stat().st_ino
        if self._zygote is not None and self._zygote.alive() and self._folder == folder:
            return
        self.close()
        self._folder = folder
        self._zygote = ZygoteProcess(
            self.root, walled=self._enabled, extra_modules=self._extra_modules, ffmpeg=self._ffmpeg
        )

    def close(self) -> None:
        """Kill the zygote and everything below it; returns when all of it is gone."""
        if self._zygote is not None:
            self._zygote.kill()
            self._zygote = None

    def run(
        self,
        function: str,
        *,
        inputs: Mapping[str, Path],
        out_dir: Path,
        params: Mapping[str, Any],
        limits: Limits,
        timeout_s: float,
        should_stop: Callable[[], bool],
        on_progress: Callable[[float], None],
        on_pace: Callable[[Pace], None] = lambda _pace: None,
    ) -> SandboxResult:
        """Run `function` on files below `root` and wait for its outputs.

        Args:
            function: dotted name, such as `geniequeue.media.image:resize_image`.
            inputs: files by role.
            out_dir: existing folder for the outputs; temporary files go there too.
            timeout_s: wall clock limit in seconds.
            should_stop: asked about four times a second; True ends the job.
            on_progress: takes shares from 0.0 to 1.0.
            on_pace: takes how fast the work is, where that is known.

        Raises:
            JobError: what the function raised, or `LostError` when its process died, `TimeLimitError`,
                `MemoryLimitError`, `ToolError` for an answer that makes no sense.
            CancelledError: `should_stop` said so.
        """
        reach("sandbox.run")
        began = time.monotonic()
        request = {
            "function": function,
            "extra_modules": str(self._extra_modules or ""),
            "inputs": {role: str(self._below_root(path)) for role, path in inputs.items()},
            "out_dir": str(self._below_root(out_dir)),
            "params": dict(params),
            "limits": asdict(limits),
            "memory_bytes": self._memory_bytes,
            "file_bytes": self._file_bytes,
            "cpu_s": math.ceil(timeout_s * jail.cores()) + 1,
        }
        self.start()
        try:
            done = self._converse(request, began + timeout_s, timeout_s, should_stop, (on_progress, on_pace))
        except BaseException:
            self.close()
            self.start()
            raise
        self._log_what_went_wrong(function, done)
        outputs = self._outputs(done, inputs, out_dir)
        return SandboxResult(
            outputs=outputs,
            peak_memory_bytes=int(done["peak_memory_bytes"]),
            wall_s=time.monotonic() - began,
            cpu_s=float(done["cpu_s"]),
        )

    def _outputs(self, done: Mapping[str, Any], inputs: Mapping[str, Path], out_dir: Path) -> tuple[Output, ...]:
        """Return the outputs; a failure of the host is not taken for one of the file."""
        try:
            return outputs_of(done, self._below_root(out_dir))
        except (InputError, ToolError, VerifyError, LostError) as error:
            fault = fault_of_host(inputs.values(), out_dir)
            if fault is None:
                raise
            fault.peak_memory_bytes = error.peak_memory_bytes
            # where `root` itself was removed, the sandbox still has the old one
            self.close()
            self.start()
            raise fault from error

    def _converse(
        self,
        request: Mapping[str, Any],
        deadline: float,
        timeout_s: float,
        should_stop: Callable[[], bool],
        listeners: tuple[Callable[[float], None], Callable[[Pace], None]],
    ) -> Mapping[str, Any]:
        on_progress, on_pace = listeners
        assert self._zygote is not None  # noqa: S101 - started by the caller
        self._zygote.send(json.dumps(request).encode() + b"\n")
        ask_at = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= deadline:
                raise TimeLimitError(
                    f"the work did not end within {timeout_s:g} seconds; send a smaller file", reason="wall_clock"
                )
            if now >= ask_at:
                ask_at = now + _ASK_EVERY_S
                if should_stop():
                    raise CancelledError("the work was asked to stop")
            for message in self._zygote.receive(min(ask_at, deadline) - now):
                if "progress" in message:
                    on_progress(_share(message["progress"]))
                if "pace" in message:
                    on_pace(_pace(message["pace"]))
                if "done" in message:
                    done: Mapping[str, Any] = message["done"]
                    return done

    def _below_root(self, path: Path) -> Path:
        resolved = path.resolve()
        if not resolved.is_relative_to(self.root):
            raise ValueError(f"expected a path below {self.root}, got {path}")
        return resolved

    @staticmethod
    def _log_what_went_wrong(function: str, done: Mapping[str, Any]) -> None:
        answer = done.get("answer")
        error = answer.get("error") if isinstance(answer, dict) else None
        if error is None and answer is not None:
            return
        facts = {name: done.get(name) for name in ("signal", "exit_code", "ended_because", "stderr", "wall_s")}
        told = dict(error) if isinstance(error, dict) else {}
        expected = told.get("kind") in ("input", "policy")
        if expected:
            told.pop("detail", None)  # the sender's fault has no place in our code
        log = _log.info if expected else _log.error
        log("sandbox_job_failed", function=function, **told, **facts)


def _share(told: Any) -> float:
    """Read a share from 0 to 1 that something inside told; nonsense is no progress."""
    if not isinstance(told, int | float):
        return 0.0
    return float(min(1, max(0, told)))


def _pace(told: Mapping[str, Any]) -> Pace:
    """Read a pace that something inside told; numbers that make no sense are none."""
    speed, left_s = (_positive(told.get(name)) for name in ("speed", "left_s"))
    return Pace(speed, left_s or 0.0)


def _positive(told: Any) -> float | None:
    sound = isinstance(told, int | float) and not isinstance(told, bool) and 0 <= told < _MOST
    return float(told) if sound else None
