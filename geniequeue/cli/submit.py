"""`geniequeue submit`: send files through an operation, as the web app does."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from geniequeue.cli import show
from geniequeue.cli.api_client import Job
from geniequeue.cli.exits import Interrupted, WrongUsage, explained
from geniequeue.cli.follow import await_final, exit_code
from geniequeue.cli.params import read_params, upload_file_params
from geniequeue.cli.session import CREATOR, Session, open_session
from geniequeue.cli.submission import (
    Submitted,
    create_items,
    enqueue_all,
    fetch_output,
    fill_paths,
    is_one_job,
    output_target,
    upload,
)
from geniequeue.jobs.job import MAX_PRIORITY
from geniequeue.operations import OPERATIONS, PUBLIC_OPERATIONS

existing_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@dataclass(frozen=True)
class Plan:
    """What to do with each file.

    Attributes:
        wait: until its job ended.
        output: where to copy the first output; None for nowhere.
        folder: whether `output` is a folder, in which copies get names of their own.
        as_json: print jobs as JSON, one per line, and nothing else.
    """

    wait: bool
    output: Path | None
    folder: bool
    as_json: bool


@click.command()
@click.argument("operation", type=click.Choice(sorted(PUBLIC_OPERATIONS)), metavar="OPERATION")
@click.argument("files", nargs=-1, required=True, type=existing_file, metavar="FILE...")
@click.option("--param", "single", multiple=True, metavar="K=V", help="One param; V is JSON, or text, or @FILE.")
@click.option("--params", "whole", metavar="JSON", help="All params as one JSON object.")
@click.option("--priority", type=click.IntRange(0, MAX_PRIORITY), help="Lower is sooner; 10 where not given.")
@click.option("--item-only", is_flag=True, help="Store file and item, print the job's id, send nothing.")
@click.option("--wait", is_flag=True, help="Wait until the job ended.")
@click.option("--output", metavar="PATH", help="Copy the first output there: a file, or a folder; waits.")
@click.option("--json", "as_json", is_flag=True, help="Print each job as a JSON object on a line of its own.")
@click.option(
    "--user", help=f"Account of the embedded store that owns the job, made where missing; default: {CREATOR}."
)
def submit(
    *,
    operation: str,
    files: tuple[Path, ...],
    single: tuple[str, ...],
    whole: str | None,
    priority: int | None,
    item_only: bool,
    wait: bool,
    output: str | None,
    as_json: bool,
    user: str | None,
) -> None:
    """Send files through an operation; each FILE becomes one job, for join_videos all FILEs together.

    `geniequeue operations` lists the operations, `geniequeue operations OPERATION` the params of one.

    A param that takes a file, such as watermark_file_id, also takes @PATH: that file is stored first.
    """
    if item_only and (wait or output):
        raise WrongUsage("--item-only sends nothing, so there is nothing to wait for; leave out --wait and --output")
    params = read_params(whole, single)
    folder = _is_folder(output, 1 if is_one_job(operation, params) else len(files))
    plan = Plan(wait or output is not None, Path(output) if output else None, folder, as_json)
    with explained():
        session = open_session(user, default=CREATOR)
        params = upload_file_params(params, OPERATIONS[operation].file_params, lambda path: upload(session, path))
        submitted = create_items(session, operation, files, params, priority)
        if item_only:
            _print_items(submitted, plan)
            return
        enqueue_all(session, submitted)
        ended = _see_all_through(session, submitted, plan)
    sys.exit(exit_code(ended) if plan.wait else 0)


def _is_folder(output: str | None, files: int) -> bool:
    """Tell whether `--output` is a folder, before anything is sent.

    Raises:
        WrongUsage: it can be neither the file nor the folder that is needed.
    """
    if output is None:
        return False
    target = Path(output)
    if output.endswith("/") or target.is_dir():
        return True
    if files > 1:
        message = f"--output: expected a folder for {files} files, got {output}; name one that exists, or end it with /"
        raise WrongUsage(message)
    if not target.parent.is_dir():
        raise WrongUsage(f"--output: the folder {target.parent} does not exist; create it first")
    return False


def _print_items(submitted: list[Submitted], plan: Plan) -> None:
    for each in submitted:
        click.echo(_line(each.view) if plan.as_json else each.job_id)


def _see_all_through(session: Session, submitted: list[Submitted], plan: Plan) -> list[Job]:
    ended: list[Job] = []
    try:
        for each in submitted:
            ended.append(_see_through(session, each, plan))
    except KeyboardInterrupt:
        raise Interrupted([each.job_id for each in submitted[len(ended) :]]) from None
    return ended


def _see_through(session: Session, submitted: Submitted, plan: Plan) -> Job:
    """Wait for a job where the plan says so, fetch its output, and print it."""
    job = _ended(session, submitted, plan) if plan.wait else session.api.job(submitted.job_id)
    job.pop("ok", None)
    if plan.output is not None:
        target = output_target(session, job, submitted.path, plan.output, folder=plan.folder)
        if target is not None:
            fetch_output(session, job, target)
    fill_paths(session, job)
    if plan.as_json:
        click.echo(_line(job))
    elif plan.wait:
        show.job(job)
    else:
        click.echo(f"{job['jobId']} {job['state']}")
    return job


def _ended(session: Session, submitted: Submitted, plan: Plan) -> Job:
    label = show.label_of(submitted.path, str(submitted.item["operation"]))
    with show.follower(label, quiet=plan.as_json) as follower:
        return await_final(session.api, submitted.job_id, follower)


def _line(job: Job) -> str:
    return json.dumps(job, ensure_ascii=False)
