"""What is lost, run twice and waited for when workers are killed: figures beside plain Celery and the Worker of BullMQ.

Everything runs on this machine in one run, on Redis servers of its own. Each part can be run alone; `--quick` shows in
some minutes that they work, its figures mean little.

    python -m bench.chaos [--only kills] [--quick] [--write]
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from bench.chaos import cancel, kills, once, overhead, recovery

PARTS = {
    "kills": kills.measure,
    "recovery": recovery.measure,
    "cancel": cancel.measure,
    "overhead": overhead.measure,
    "once": once.measure,
}
RESULTS = Path(__file__).resolve().parent.parent / "results" / "chaos.txt"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part, and others so named")
    parser.add_argument("--quick", action="store_true", help="small numbers")
    parser.add_argument("--write", action="store_true", help=f"write the table to {RESULTS.name}, too")
    options = parser.parse_args()
    # so that asking it to end ends what it has started, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to end"))
    lines = []
    for name in options.only or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            for figure in PARTS[name](Path(folder), quick=options.quick):
                lines.append(figure.line())
                print(lines[-1], flush=True)
    if options.write:
        RESULTS.write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
