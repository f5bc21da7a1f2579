"""Run one operation without the sandbox, as on a machine with so many processors: `python -m bench.video.alone JSON`.

In a process of its own, because libvips has threads in the one that draws and a fork would leave their locks behind.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from bench.video.job import FUNCTIONS
from geniequeue.operations import OPERATIONS
from geniequeue.sandbox.inside import Work


def main() -> None:
    """Run the operation that the argument describes."""
    asked = json.loads(sys.argv[1])
    threads = set(range(asked["threads"]))
    # All code of ours that counts processors asks this.
    os.sched_getaffinity = lambda _pid: threads  # type: ignore[attr-defined]
    inputs = {role: Path(path) for role, path in asked["inputs"].items()}
    params = OPERATIONS[asked["name"]].load_params(asked["params"])
    FUNCTIONS[asked["name"]](Work(inputs, Path(asked["out_dir"]), params))


if __name__ == "__main__":
    main()
