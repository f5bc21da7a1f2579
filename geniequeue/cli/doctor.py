"""`geniequeue doctor`: look at everything the service needs, and name what to do."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from geniequeue.cli.checks_host import host_findings
from geniequeue.cli.checks_service import service_findings
from geniequeue.cli.embedded import needs_redis
from geniequeue.cli.finding import Finding
from geniequeue.cli.show import console
from geniequeue.config import EMBEDDED_FILE, Settings, load_settings
from geniequeue.errors import SettingsError

MARKS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "problem": "[red]problem[/]"}


@click.command()
def doctor() -> None:
    """Check everything the service needs; exits with 1 where something is missing."""
    found = list(_findings())
    table = Table("check", "", "found", "what to do", box=None, padding=(0, 2))
    for each in found:
        table.add_row(each.name, MARKS[each.verdict], escape(each.found), escape(each.advice))
    console().print(table)
    problems = sum(each.verdict == "problem" for each in found)
    click.echo(f"{problems} problem{'' if problems == 1 else 's'}" if problems else "all is well")
    sys.exit(1 if problems else 0)


def _findings() -> Iterator[Finding]:
    settings, faults = _settings()
    yield from faults
    yield from host_findings(settings)
    if settings is not None:
        yield from service_findings(settings)


def _settings() -> tuple[Settings | None, list[Finding]]:
    """Read the settings; what is wrong with them is the first thing to know."""
    try:
        settings = load_settings()
    except SettingsError as error:
        if needs_redis(os.environ) and not (_var_dir() / EMBEDDED_FILE).is_file():
            advice = "start the service once with `geniequeue up`, or set REDIS_URL"
            return None, [Finding("settings", "problem", f"nothing was ever started in {_var_dir()}", advice)]
        return None, [Finding("settings", "problem", fault, "correct the variable") for fault in error.faults]
    store = "embedded records" if settings.embedded_store else "Directus"
    redis = "embedded Redis" if needs_redis(os.environ) else "REDIS_URL"
    return settings, [Finding("settings", "ok", f"VAR_DIR {settings.var_dir}, {redis}, {store}")]


def _var_dir() -> Path:
    return Path(os.environ.get("VAR_DIR", "").strip() or "var").resolve()
