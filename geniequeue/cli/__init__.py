"""The command line `geniequeue`: starts the processes, sends jobs, looks at them. Imports neither api nor tasks."""

from geniequeue.cli.commands import main

__all__ = ["main"]
