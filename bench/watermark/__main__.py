"""Figures of the invisible watermark, part by part.

Each part can be run alone, and leaves a text of its own, so some hours can be spread over days. Without `--write`, and
of a quick run, whose figures mean little, text and pictures go to `var/bench/watermark`.

    python -m bench.watermark [--only NAME ...] [--quick] [--write]
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

PARTS = ("images", "collusion", "innocents", "invisibility", "peers", "cost", "clips", "flicker", "hour")
RESULTS = Path(__file__).resolve().parent.parent / "results"
ASIDE = Path("var/bench/watermark")


def main() -> None:
    """Run the benchmark; a part that fails does not keep the others from running."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these parts")
    parser.add_argument("--quick", action="store_true", help="fewer photographs, traces and rounds")
    parser.add_argument("--write", action="store_true", help=f"into {RESULTS}")
    options = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in the sandbox; heeded when a part loads numpy
    folder = RESULTS if options.write and not options.quick else ASIDE
    ASIDE.mkdir(parents=True, exist_ok=True)
    failed = [part for part in options.only if not _done(part, folder, quick=options.quick)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _done(part: str, folder: Path, *, quick: bool) -> bool:
    """Run a part; its text replaces the last one only when it is whole."""
    name = f"watermark-{part}.txt"
    unfinished = ASIDE / f"{name}.part"
    try:
        with unfinished.open("w") as file:
            for line in _lines(part, folder, quick=quick):
                print(line, flush=True)
                print(line, file=file, flush=True)
    except Exception:
        traceback.print_exc()
        return False
    (folder / name).write_text(unfinished.read_text())
    unfinished.unlink()
    return True


def _lines(part: str, folder: Path, *, quick: bool) -> Iterator[str]:
    started = time.monotonic()
    yield from importlib.import_module(f"bench.watermark.{part}").run(folder, quick=quick)
    run = "quick run, " if quick else ""
    processors = len(os.sched_getaffinity(0))
    yield f"{part}: {run}{time.monotonic() - started:.0f} s, {platform.machine()}, {processors} processors"


if __name__ == "__main__":
    main()
