"""Video operations against bare ffmpeg, moviepy's loop over frames and `cp`, and what a preset and 4K cost.

A step is `Sandbox.run`: probe, encode, decode what was made to its last frame, answer. The peer is the ffmpeg of that
step, command line by command line, and nothing else: no probe, no proof. Runs are interleaved, the ratios count. Each
part can be run alone; `--quick` shows in some minutes that they work, its figures mean little.

    python -m bench.video [--only copies] [--quick] [--write]
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path

from bench.video import copies, memory, operations, presets
from bench.video.job import Jobs
from geniequeue.sandbox.client import Sandbox

PARTS = {
    "operations": operations.measure,
    "presets": presets.measure,
    "copies": copies.measure,
    "memory": memory.measure,
}
RESULTS = Path(__file__).resolve().parent.parent / "results" / "video.txt"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part, and others so named")
    parser.add_argument("--quick", action="store_true", help="short videos, few rounds")
    parser.add_argument("--write", action="store_true", help=f"write the table to {RESULTS.name}, too")
    options = parser.parse_args()
    # so that asking it to end ends what it has started, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to end"))
    lines = [f"{platform.machine()}, {len(os.sched_getaffinity(0))} processors"]
    print(lines[0], flush=True)
    for name in options.only or PARTS:
        with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder)) as sandbox:
            for line in PARTS[name](Jobs(sandbox), quick=options.quick):
                lines.append(line)
                print(line, flush=True)
    if options.write:
        RESULTS.write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
