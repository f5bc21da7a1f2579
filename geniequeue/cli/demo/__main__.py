"""`python -m geniequeue.cli.demo [--file PICTURE]`: run the demo; exits with 0 only if every output was right."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from pathlib import Path

import click

from geniequeue.cli.demo.checks import faults_of
from geniequeue.cli.demo.instance import running_instance
from geniequeue.cli.demo.report import SHEET, draw_sheet, print_table
from geniequeue.cli.demo.steps import FILM, FILM_S, run_steps
from geniequeue.cli.demo.walled import walled
from geniequeue.cli.exits import WrongUsage, explained
from geniequeue.cli.lock import lock_instance
from geniequeue.cli.session import embedded_session
from geniequeue.cli.up import CHECKOUT
from geniequeue.config import Settings

FOLDER = CHECKOUT / "var" / "demo"


@click.command()
@click.option("--file", "picture", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Your picture.")
def demo(picture: Path | None) -> None:
    """Send a photograph, and a film of it, through the whole system and check what comes out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    began = time.monotonic()
    with explained():
        photo = (picture or _sample()).resolve()
        lock_instance(FOLDER)
        faults = _run(photo)
    for fault in faults:
        click.echo(f"not as it should be: {fault}", err=True)
    if not faults:
        click.echo(f"every output is as it should be, after {time.monotonic() - began:.0f} s")
    sys.exit(1 if faults else 0)


def _run(photo: Path) -> list[str]:
    outputs = FOLDER / "outputs"
    shutil.rmtree(outputs, ignore_errors=True)
    outputs.mkdir(parents=True)
    log = FOLDER / "up.log"
    click.echo(f"starting every process of the Procfile; their log is {log}")
    with running_instance(FOLDER / "instance", log) as settings:
        click.echo(f"ready: API {settings.api_url} · making a film of {photo.name}, then sending both")
        film = _film_of(photo, settings)
        done = run_steps(embedded_session(settings, "demo", tier="studio"), photo, film, outputs)
        found = draw_sheet(done, photo, FOLDER, settings)
    print_table(done)
    click.echo(f"outputs: {outputs}")
    click.echo(f"contact sheet: {FOLDER / SHEET}")
    return faults_of(done, found)


def _film_of(photo: Path, settings: Settings) -> Path:
    with walled("geniequeue.media.pan:pan", {"input": photo}, {"seconds": FILM_S}, FOLDER, settings) as (_, made):
        return Path(shutil.copyfile(made, FOLDER / FILM))


def _sample() -> Path:
    found = sorted((CHECKOUT / "samples").glob("*.jpg"))
    if not found:
        raise WrongUsage(f"expected a photograph in {CHECKOUT / 'samples'}, found none; name one with --file")
    return found[0]


if __name__ == "__main__":
    demo()
