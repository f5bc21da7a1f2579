"""`geniequeue jobs --stuck`: what does not go on, read from Redis and the records themselves, as `doctor` does.

Not through the API: it shows what is the operator's business and no user's, and must work where the API does not.
"""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from geniequeue.cli.session import read_settings
from geniequeue.jobs.ledger import Ledger, connect
from geniequeue.records import open_store


def print_stuck(longer_than_s: float, *, json_: bool) -> bool:
    """Print a line for all that is stuck, as it is found; return whether anything is."""
    from geniequeue.jobs.stuck import StuckJobs  # Celery with it, which the other commands need not wait for

    settings = read_settings()
    ledger = Ledger(connect(settings.redis_url), settings.ledger_prefix)
    found = 0
    for each in StuckJobs(ledger, open_store(settings).as_service(), longer_than_s=longer_than_s).find():
        click.echo(json.dumps(asdict(each), ensure_ascii=False) if json_ else str(each))
        found += 1
    if not json_:
        click.echo(f"{found} stuck" if found else "nothing is stuck")
    return found > 0
