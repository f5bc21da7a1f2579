"""Turn what the zygote says about a job into a result or an error; nothing in it is believed unseen."""

from __future__ import annotations

import signal
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geniequeue.errors import JOB_ERRORS, JobError, LostError, MemoryLimitError, TimeLimitError, ToolError
from geniequeue.sandbox.inside import Output

_MAX_OUTPUTS = 64
_MAX_TEXT_CHARS = 1000


@dataclass(frozen=True)
class SandboxResult:
    """What a job made and what it took.

    Attributes:
        outputs: files that exist in the output folder: plain files, no links.
        peak_memory_bytes: largest resident size of the job's process, or of a program it started.
        wall_s: from the request to the answer.
        cpu_s: of all its processes.
    """

    outputs: tuple[Output, ...]
    peak_memory_bytes: int
    wall_s: float
    cpu_s: float


def outputs_of(done: Mapping[str, Any], out_dir: Path) -> tuple[Output, ...]:
    """Read the outputs of a job that ended.

    Raises:
        JobError: it did not end well; with its peak memory.
    """
    error = _error_of(done)
    if error is not None:
        error.peak_memory_bytes = int(done["peak_memory_bytes"])
        raise error
    try:
        listed = done["answer"]["outputs"]
        if not isinstance(listed, list) or len(listed) > _MAX_OUTPUTS:
            raise ValueError("expected a list of outputs")
        return tuple(_output(entry, out_dir) for entry in listed)
    except (KeyError, TypeError, ValueError, OSError) as fault:
        raise _garbage() from fault


def _error_of(done: Mapping[str, Any]) -> JobError | None:
    because, died_of, answer = done.get("ended_because"), done.get("signal"), done.get("answer")
    if because == "memory":
        return MemoryLimitError(
            "the work needed more memory than it may use; send a smaller file", reason="out_of_memory"
        )
    if because == "threads":
        return ToolError("the work started too many threads and was ended", reason="too_many_threads")
    if because == "garbage":
        return _garbage()
    if died_of == signal.SIGXCPU:
        return TimeLimitError("the work used more processor time than it may; send a smaller file", reason="cpu")
    if died_of == signal.SIGALRM:
        return TimeLimitError("the work did not end in time; send a smaller file", reason="wall_clock")
    if died_of is not None:
        return lost(int(died_of))
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        return _told(answer["error"])
    if answer is None:
        return LostError("the process that did the work ended without an answer", reason="no_answer")
    return None


def lost(number: int | None) -> LostError:
    """The error of a process that a signal ended."""
    if number is None:
        return LostError("the process that did the work ended by itself", reason="ended")
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return LostError(f"the process that did the work was ended by {name}", reason=name.lower())


def _told(error: Mapping[str, Any]) -> JobError:
    kind, reason, message = error.get("kind"), error.get("reason"), error.get("message")
    if not isinstance(message, str) or not isinstance(reason, str | None):
        return _garbage()
    return JOB_ERRORS.get(str(kind), ToolError)(message[:_MAX_TEXT_CHARS], reason=reason and reason[:64])


def _garbage() -> ToolError:
    return ToolError("the operation gave an answer that makes no sense; send another file", reason="garbage")


def _output(entry: Mapping[str, Any], out_dir: Path) -> Output:
    """Check one output: a plain file of this job, not a link that leads the worker elsewhere."""
    output = Output(**entry)
    name = output.name
    if not isinstance(name, str) or name != Path(name).name or name.startswith("."):
        raise ValueError("expected a plain file name")
    found = (out_dir / name).lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise ValueError("expected a plain file")
    for side in (output.width_px, output.height_px):
        if side is not None and (not isinstance(side, int) or side <= 0):
            raise ValueError("expected a size")
    if not isinstance(output.duration_s, int | float | None) or not isinstance(output.facts, dict):
        raise ValueError("expected a duration and facts")
    if not isinstance(output.mime, str) or not isinstance(output.role, str):
        raise ValueError("expected a media type and a role")
    return output
