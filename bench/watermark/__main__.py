"""`python -m bench.watermark [--only NAME ...] [--quick] [--write]`: figures of the invisible watermark."""

from __future__ import annotations

import argparse
import importlib
import time
from pathlib import Path

PARTS = ("images", "collusion", "innocents", "invisibility", "peers", "cost", "clips")
RESULTS = Path(__file__).resolve().parent.parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.watermark", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--quick", action="store_true", help="fewer photographs and traces")
    parser.add_argument("--write", action="store_true", help=f"into {RESULTS}")
    arguments = parser.parse_args()
    for part in arguments.only:
        started, lines = time.monotonic(), []
        for line in importlib.import_module(f"bench.watermark.{part}").run(quick=arguments.quick):
            print(line, flush=True)
            lines.append(line)
        lines.append(f"{part}: {time.monotonic() - started:.0f} s")
        print(lines[-1], flush=True)
        if arguments.write:
            (RESULTS / f"watermark-{part}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
