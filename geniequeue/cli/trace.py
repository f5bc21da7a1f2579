"""`geniequeue trace`: find out whose copy a file is, or check the evidence that an earlier trace has left."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from geniequeue.cli import show
from geniequeue.cli.api_client import Job
from geniequeue.cli.exits import JOB_FAILED, WrongUsage, explained, going_on
from geniequeue.cli.follow import await_final, exit_code
from geniequeue.cli.session import CREATOR, Session, open_session
from geniequeue.cli.submission import fetch_file, fill_paths, upload
from geniequeue.config import load_settings
from geniequeue.errors import SettingsError
from geniequeue.marks.evidence import MAX_BYTES, NotGenuine, Verified, original_with, public_key_of, verify

existing_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
FILES = {"evidence": "evidence.json", "evidence_picture": "evidence.png"}


@click.command()
@click.argument("file", required=False, type=existing_file, metavar="FILE")
@click.option("--asset", metavar="ID", help="File that was marked; without it your marked files are searched.")
@click.option("--json", "as_json", is_flag=True, help="Print the job, or what was verified, as a JSON object.")
@click.option("--output", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path),
              help="Copy the evidence there: evidence.json and evidence.png.")  # fmt: skip
@click.option("--user", help=f"Account of the embedded store that asks; default: {CREATOR}.")
@click.option("--verify", "bundle", type=existing_file, metavar="BUNDLE", help="Check an evidence.json; sends nothing.")
@click.option("--original", type=existing_file, metavar="FILE",
              help="With --verify: the video that the leak was laid over; its hash must be in the bundle.")  # fmt: skip
@click.option("--key", metavar="BASE64", help="With --verify: the public key, as GET /api/queue/trace/key tells it.")
def trace(
    *,
    file: Path | None,
    asset: str | None,
    as_json: bool,
    output: Path | None,
    user: str | None,
    bundle: Path | None,
    original: Path | None,
    key: str | None,
) -> None:
    """Find out whose copy FILE is.

    Exits with 0 where the trace was made, whatever it found; with 1 where it failed, or a bundle is not genuine.
    """
    if (file is None) == (bundle is None):
        raise WrongUsage("expected either a FILE to trace or --verify BUNDLE")
    if original is not None and bundle is None:
        raise WrongUsage("--original: expected --verify BUNDLE with it")
    with explained():
        if bundle is not None:
            _verify(bundle, key, original, as_json=as_json)
            return
        assert file is not None  # noqa: S101 - checked above
        job = _trace(open_session(user, default=CREATOR), file, asset, output, quiet=as_json)
    if as_json:
        click.echo(json.dumps(job, ensure_ascii=False))
    else:
        print_answer(job)
    sys.exit(exit_code([job]))


def _trace(session: Session, file: Path, asset: str | None, output: Path | None, *, quiet: bool) -> Job:
    body = {"file_id": upload(session, file), **({"asset_file_id": asset} if asset else {})}
    accepted = session.api.trace(body)
    job_id, label = accepted["jobId"], show.label_of(file, "trace_leak")
    with going_on(job_id), show.follower(label, quiet=quiet) as follower:
        job = await_final(session.api, job_id, follower)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for made in job["outputs"]:
            fetch_file(session, made, output / FILES[made["role"]])
    fill_paths(session, job)
    return job


def print_answer(job: Job) -> None:
    """Print whose copy a leak is, in a few lines."""
    answer = job["trace"]
    if answer is None:
        show.job(job)
        return
    table = Table.grid(padding=(0, 2))
    for name, value in [*_members(answer), *((made["role"], made["path"]) for made in job["outputs"])]:
        table.add_row(name, escape(str(value)))
    show.console().print(table)


def _members(answer: dict[str, Any]) -> list[tuple[str, str]]:
    members = [("verdict", f"{answer['verdict']}: {answer['message']}")]
    for each in answer["candidates"]:
        chain = "".join(
            f" ← {earlier['fan_id'] or 'a copy of another account'}" for earlier in reversed(each["chain"][:-1])
        )
        chance = f"by chance with a probability below {each['false_accusation']:.0e}"
        members.append(("copy of", f"{each['fan_id']}{chain}, issued {each['issued_at']}"))
        members.append(("", f"score {each['score']}, an innocent reaches it {chance}; file {each['copy_file_id']}"))
    compared = f"{answer['copies']} copies on record, looks {answer['looks']}, threshold {answer['threshold']}"
    members.append(("compared", compared))
    planned = answer.get("traces_planned", answer["traces"])
    if answer["traces"] > planned:
        beyond = f"{answer['traces']} were made, WATERMARK_TRACES is {planned}; the threshold counts those made"
        members.append(("traces", beyond))
    if answer["registration"] is not None:
        seen = answer["registration"]
        laid = f"{seen['overlap']:.0%} of {answer['asset_file_id']}, correlation {seen['correlation']:.2f}"
        members.append(("laid over", laid if seen["accepted"] else "it lies on none of them"))
    if answer["unknown_keys"]:
        missing = f"copies marked with {', '.join(answer['unknown_keys'])} cannot be read: set WATERMARK_KEYS_OLD_B64"
        members.append(("keys missing", missing))
    return members


def _verify(bundle: Path, key: str | None, original: Path | None, *, as_json: bool) -> None:
    """Check a bundle; exits with 1 where it is not genuine, or is of another original."""
    if bundle.stat().st_size > MAX_BYTES:
        raise WrongUsage(f"--verify: expected a bundle of at most {MAX_BYTES} bytes, got {bundle.stat().st_size}")
    try:
        verified = verify(bundle.read_bytes(), key or _own_key())
    except NotGenuine as error:
        click.echo(f"not genuine: {error}", err=True)
        sys.exit(JOB_FAILED)
    if original is not None and original_with(verified.claims, _sha256_of(original)) is None:
        click.echo(f"genuine, but of another original: the leak was not laid over {original} as it is now", err=True)
        sys.exit(JOB_FAILED)
    if as_json:
        told = {"genuine": True, "trusted": verified.trusted, "public_key": verified.public_key}
        click.echo(json.dumps({**told, "claims": verified.claims}, ensure_ascii=False))
    else:
        _print_verified(verified)


def _sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _own_key() -> str | None:
    """Return the public key of the service whose settings are at hand, None where there are none."""
    try:
        seed = load_settings().evidence_key
    except SettingsError:
        return None
    return public_key_of(seed) if seed else None


def _print_verified(verified: Verified) -> None:
    whose = "this service" if verified.trusted else "whoever has the key below; compare it with the service's own"
    claims = verified.claims
    click.echo(f"genuine: nothing was changed since it was signed by {whose}")
    click.echo(f"public key  {verified.public_key}")
    click.echo(f"made at     {claims['made_at']}")
    click.echo(f"leak        sha256 {claims['leak']['sha256']}, {claims['leak']['size_bytes']} bytes")
    for each in claims.get("originals", ()):
        kept = f"sha256 {each['sha256']}" if each.get("sha256") else f"plane sha256 {each['plane_sha256']}"
        click.echo(f"laid over   {each['file_id']}, {kept}")
    click.echo(f"verdict     {claims['answer']['verdict']}")
    for each in claims["answer"]["candidates"]:
        click.echo(f"copy of     {each['fan_id']}, by chance below {each['false_accusation']:.0e}")
