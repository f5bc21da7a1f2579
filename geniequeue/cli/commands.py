"""The commands, and the environment they start from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from dotenv import load_dotenv

from geniequeue.cli import INTERRUPTED
from geniequeue.cli import up as processes
from geniequeue.cli.directus_setup import directus_setup
from geniequeue.cli.doctor import doctor
from geniequeue.cli.exits import EXIT_CODES, WrongUsage
from geniequeue.cli.inspect import cancel, jobs, retry, stats, status
from geniequeue.cli.operations import operations
from geniequeue.cli.submit import submit
from geniequeue.cli.token import token
from geniequeue.cli.trace import trace

ENV_FILE = ".env"


HELP = f"""Run geniequeue, send it jobs, look at them.

Exit codes: {EXIT_CODES}. Settings come from the environment and from .env in the current folder; ENV_FILE names
another file, an empty ENV_FILE none. Where DIRECTUS_URL is set, jobs are sent and looked at with the Directus token in
GENIEQUEUE_TOKEN.
"""


class Commands(click.Group):
    """The group of all commands; Ctrl-C ends each with 130, where click would have 1 and `Aborted!`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, help=HELP)
@click.version_option(package_name="geniequeue")
def main() -> None:
    """Read the `.env` file before any command."""
    load_env_file()


def load_env_file() -> None:
    """Add the variables of the `.env` file to the environment; what is set already stays."""
    named = os.environ.get("ENV_FILE")
    if named and not Path(named).is_file():
        raise WrongUsage(f"ENV_FILE: expected a file at {named}, found none")
    if named != "":
        load_dotenv(named or ENV_FILE)


for command in (
    *(processes.up, processes.redis),
    *(token, operations, submit, trace, status, jobs, stats, retry, cancel),
    *(doctor, directus_setup),
):
    main.add_command(command)
