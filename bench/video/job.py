"""The whole job-side step of an operation, and the one ffmpeg that it comes down to."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.video.process import Took, run
from geniequeue.media import compress, ffmpeg, footage_mark, join, remake, teaser, trim, video
from geniequeue.media.mark import apply_watermark
from geniequeue.operations import OPERATIONS
from geniequeue.sandbox.client import Sandbox
from geniequeue.sandbox.inside import Limits, Work

FUNCTIONS = {
    "resize_video": video.resize_video,
    "crop_video": video.crop_video,
    "compress_video": compress.compress_video,
    "trim_videos": trim.trim_videos,
    "join_videos": join.join_videos,
    "create_teaser": teaser.create_teaser,
    "apply_watermark": apply_watermark,
}
# What a watermark's graph does for its proof, and nobody else would do.
_FOR_THE_PROOF = re.compile(r",split\[all\]\[some\];\[some\].*?\[before\];\[all\]null")


class _Planned(Exception):
    """The plan is known; nothing is to be made."""


class Jobs:
    """One sandbox and its folder.

    Attributes:
        source: the input of every job, without an extension.
        made: what the last job made.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.folder = sandbox.root
        self.source = sandbox.root / "input"
        self._out_dir = sandbox.root / "out"
        self._out_dir.mkdir(exist_ok=True)

    @property
    def made(self) -> Path:
        [made] = self._out_dir.iterdir()
        return made

    def step(self, name: str, params: Mapping[str, Any], inputs: Sequence[Path] = ()) -> Took:
        """Run an operation as a job does: probe, encode, decode what was made to its last frame, answer."""
        operation = OPERATIONS[name]
        for old in self._out_dir.iterdir():
            old.unlink()
        result = self._sandbox.run(
            operation.function,
            inputs=self._roles(inputs),
            out_dir=self._out_dir,
            params=operation.load_params(params),
            limits=Limits(),
            timeout_s=operation.time_limit_s,
            should_stop=lambda: False,
            on_progress=lambda _share: None,
        )
        return Took(result.wall_s, result.peak_memory_bytes / (1 << 20))

    def peak_mib(self, name: str, params: Mapping[str, Any], inputs: Sequence[Path], threads: int) -> float:
        """Run an operation without the sandbox, as on a machine with so many processors; return its largest process."""
        folder = self.folder / "peak"
        folder.mkdir(exist_ok=True)
        roles = {role: str(path) for role, path in self._roles(inputs).items()}
        asked = {"name": name, "params": params, "inputs": roles, "out_dir": str(folder), "threads": threads}
        return run([sys.executable, "-m", "bench.video.alone", json.dumps(asked)]).peak_mib

    def command(self, name: str, params: Mapping[str, Any]) -> list[str]:
        """Return the ffmpeg of a job that encodes: the same inputs, filters and settings, without its proof."""
        plans: list[remake.Plan] = []

        def planned(plan: remake.Plan, *_: Any) -> None:
            plans.append(plan)
            raise _Planned

        folder = self.planned_in(name)
        folder.mkdir(exist_ok=True)
        work = Work(self._roles([]), folder, OPERATIONS[name].load_params(params))
        with (
            patch.object(remake, "make", planned),
            patch.object(footage_mark, "clean", lambda _folder: None),
            suppress(_Planned),
        ):
            FUNCTIONS[name](work)
        [plan] = plans
        alone = replace(plan, graph=_FOR_THE_PROOF.sub(",null", plan.graph), further=())
        return ffmpeg.command(remake.arguments_of(alone, folder / "bare.mp4"))

    def planned_in(self, name: str) -> Path:
        """Return the folder in which `command` is to be run."""
        return self.folder / f"plan-{name}"

    def _roles(self, inputs: Sequence[Path]) -> dict[str, Path]:
        return {f"input_file_ids.{n}": path for n, path in enumerate(inputs)} or {"input": self.source}
