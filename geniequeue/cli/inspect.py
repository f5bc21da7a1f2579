"""`geniequeue status`, `jobs`, `stats`, `retry`, `cancel`: look at jobs and steer them, as the operator.

With Directus they act for the account whose token GENIEQUEUE_TOKEN holds.
"""

from __future__ import annotations

import json
import sys
from typing import Any, get_args

import click

from geniequeue.cli import show
from geniequeue.cli.api_client import ApiClient, Job
from geniequeue.cli.exits import COMPLETED, JOB_FAILED, explained, going_on
from geniequeue.cli.follow import await_final, exit_code
from geniequeue.cli.session import open_session
from geniequeue.cli.stuck import print_stuck
from geniequeue.jobs.job import ShownState

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")
job_id = click.argument("job", metavar="JOB", type=click.UUID)


@click.command()
@job_id
@as_json
def status(job: object, json_: bool) -> None:
    """Show one job; exits with 1 where it failed."""
    with explained():
        found = open_session().api.job(str(job))
    found.pop("ok", None)
    _print(found) if json_ else show.job(found)
    sys.exit(exit_code([found]))


@click.command()
@click.option("--state", type=click.Choice(get_args(ShownState)), help="Only jobs in this state.")
@click.option("--stuck", is_flag=True, help="Only what does not go on, with why and what to do; 1 where there is any.")
@click.option("--longer-than", default=60.0, metavar="SECONDS", help="How long a stuck job has waited; 60.")
@as_json
def jobs(state: str | None, stuck: bool, longer_than: float, json_: bool) -> None:
    """List the newest jobs: of all users, or with Directus those that your account may see.

    With --stuck look into Redis and the records, on a host that has the service's settings.
    """
    if stuck and state:
        raise click.UsageError("--stuck: expected it without --state, got both; it looks at every state")
    with explained():
        if stuck:
            sys.exit(JOB_FAILED if print_stuck(longer_than, json_=json_) else COMPLETED)
        found = open_session().api.jobs(state)
    _print(found) if json_ else show.jobs(found)


@click.command()
@as_json
def stats(json_: bool) -> None:
    """Count the jobs of every queue."""
    with explained():
        found = open_session().api.stats()
    _print(found) if json_ else show.stats(found)


@click.command()
@job_id
@click.option("--wait", is_flag=True, help="Wait until it ended.")
def retry(job: object, wait: bool) -> None:
    """Enqueue a failed job again."""
    with explained():
        api = open_session().api
        accepted = api.retry(str(job))
        click.echo(f"{accepted['jobId']} enqueued as {accepted['bullJobId']}")
        if wait:
            ended = _awaited(api, str(job))
            show.job(ended)
            sys.exit(exit_code([ended]))


@click.command()
@job_id
def cancel(job: object) -> None:
    """Cancel a job that waits or runs."""
    with explained():
        answer = open_session().api.cancel(str(job))
    click.echo(f"{job} {answer['state']}")


def _awaited(api: ApiClient, job_id: str) -> Job:
    with going_on(job_id), show.follower() as follower:
        return await_final(api, job_id, follower)


def _print(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))
