"""Run a function of the demo's own in the sandbox: nothing is decoded outside of it, not even here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from geniequeue.config import Settings
from geniequeue.sandbox.client import Sandbox
from geniequeue.sandbox.inside import Limits, Output

TIMEOUT_S = 120.0


@contextmanager
def walled(
    function: str, files: Mapping[str, Path], params: Mapping[str, Any], folder: Path, settings: Settings
) -> Iterator[tuple[Output, Path]]:
    """Run a function that makes one file; yield what it says of it, and where it is until the block ends.

    Args:
        function: dotted name, such as `geniequeue.media.contact:contact_sheet`.
        files: by role; copies of them are worked on.
        folder: an own one is made in it, and removed afterwards.
    """
    root = folder / "sandbox"
    shutil.rmtree(root, ignore_errors=True)
    (root / "out").mkdir(parents=True)
    inputs = {role: root / f"in-{number}" for number, role in enumerate(files)}
    for role, path in files.items():
        shutil.copyfile(path, inputs[role])
    try:
        with Sandbox(root, enabled=settings.sandbox, ffmpeg=settings.ffmpeg_binary) as sandbox:
            [output] = sandbox.run(
                function,
                inputs=inputs,
                out_dir=root / "out",
                params=params,
                limits=Limits(),
                timeout_s=TIMEOUT_S,
                should_stop=lambda: False,
                on_progress=lambda _share: None,
            ).outputs
        yield output, root / "out" / output.name
    finally:
        shutil.rmtree(root)
