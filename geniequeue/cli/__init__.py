"""The command line `geniequeue`: starts the processes, sends jobs, looks at them. Imports neither api nor tasks."""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def main() -> None:
    """Load the commands and run one; Ctrl-C ends it quietly from the first moment, though loading takes a second."""
    try:
        from geniequeue.cli.commands import main as commands

        commands()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


__all__ = ["main", "INTERRUPTED"]
