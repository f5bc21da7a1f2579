"""`geniequeue directus-setup`: install what the service needs into a customer's Directus."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import click

from geniequeue.cli.directus_greeting import greet
from geniequeue.cli.exits import Unreachable, WrongUsage, explained
from geniequeue.cli.service_token import PATIENCE_S, ServiceToken, hand_over, service_token
from geniequeue.errors import RecordForbidden, RecordsError, RecordsUnavailable, ServiceTokenRefused, TokenRefused
from geniequeue.records.directus import DirectusStore
from geniequeue.records.directus_state import CREATOR_POLICY, SERVICE_ROLE, State, read_state
from geniequeue.records.installer import Step, apply, plan_from

ADMIN_TOKEN = "DIRECTUS_ADMIN_TOKEN"  # noqa: S105 - its name
ALL_DONE, LEFT_TO_DO = 0, 1


@click.command("directus-setup")
@click.option("--url", envvar="DIRECTUS_URL", metavar="URL", help="Address of Directus; DIRECTUS_URL where not given.")
@click.option("--creator-role", metavar="ROLE", help="Name or id of the role whose accounts are creators.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("--reset-token", is_flag=True, help="Give the service's account DIRECTUS_TOKEN, or a new token.")
def directus_setup(url: str | None, creator_role: str | None, dry_run: bool, reset_token: bool) -> None:
    """Install collections, fields and policies into Directus: add what is missing, touch nothing else.

    The token of an administrator comes from DIRECTUS_ADMIN_TOKEN, or is asked for. Exits with 1 where something is
    left that only a person can do.
    """
    with explained():
        store = _open(_address(url))
        state = _state(store)
        role = _role_id(state, creator_role)
        sets = reset_token or not state.has_account
        token = service_token(store.http.url, os.environ, sets=sets, dry_run=dry_run)
        steps = plan_from(state, creator_role=role, service_token=token.value, reset_token=reset_token)
        for step in steps:
            if step.call is not None:
                _take(store, step, dry_run=dry_run)
    nobody = role is None and not state.holders[CREATOR_POLICY]
    code = _concluded(steps, token, _listed(_choices(state)) if nobody else "", dry_run=dry_run)
    hand_over(token)
    sys.exit(code)


def _address(url: str | None) -> str:
    parts = urlsplit(url or "")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WrongUsage("DIRECTUS_URL: expected the http or https address of Directus; set it, or give --url")
    return (url or "").rstrip("/")


def _open(url: str) -> DirectusStore:
    """Open the store as the administrator, and say which Directus it is."""
    token = os.environ.get(ADMIN_TOKEN, "").strip() or _asked()
    store = DirectusStore(url, token, deadline_s=PATIENCE_S)
    try:
        greeting = greet(store.http, token)
    except TokenRefused:
        raise _refused("one that Directus does not accept") from None
    click.echo(f"Directus {greeting.version or 'of an unknown version'} at {url}")
    if not greeting.tested:
        click.echo("warning: this was tested with Directus 11 alone", err=True)
    return store


def _asked() -> str:
    if not sys.stdin.isatty():
        raise WrongUsage(f"{ADMIN_TOKEN}: expected the token of an administrator, got none; set it for this command")
    return str(click.prompt("Token of an administrator (not shown)", hide_input=True, err=True)).strip()


def _refused(got: str) -> WrongUsage:
    advice = "generate one on your own page of Directus' user directory, and save"
    return WrongUsage(f"{ADMIN_TOKEN}: expected the token of an administrator, got {got}; {advice}")


def _state(store: DirectusStore) -> State:
    try:
        return read_state(store)
    except (ServiceTokenRefused, RecordForbidden):
        raise _refused("somebody else's") from None


def _role_id(state: State, wanted: str | None) -> str | None:
    """Return the id of a role by its id or name.

    Raises:
        WrongUsage: there is none, or several; lists those there are.
    """
    if wanted is None:
        return None
    roles = _choices(state)
    found = [key for key, name in roles.items() if wanted in (key, name)]
    if len(found) == 1:
        return found[0]
    got = f"{len(found)}: give its id" if found else "none"
    raise WrongUsage(f"--creator-role: expected one role with the name or id {wanted}, got {got}\n{_listed(roles)}")


def _choices(state: State) -> Mapping[str, str]:
    return {key: name for key, name in state.roles.items() if key != SERVICE_ROLE}


def _listed(roles: Mapping[str, str]) -> str:
    rows = "".join(f"\n  {name} ({key})" for key, name in roles.items())
    return f"roles of this Directus, for --creator-role (make one there if your creators have none):{rows}"


def _take(store: DirectusStore, step: Step, *, dry_run: bool) -> None:
    """Do a step and print it."""
    click.echo(f"  {'would ' if dry_run else ''}{step.text}")
    if dry_run:
        return
    try:
        apply(store, [step])
    except RecordsError as error:
        kind = Unreachable if isinstance(error, RecordsUnavailable) else WrongUsage
        message = f"this failed: {error}\nwhat was done before stays; put that right and run the command again"
        raise kind(message) from error


def _concluded(steps: Sequence[Step], token: ServiceToken, roles: str, *, dry_run: bool) -> int:
    """Print what is left, with the roles to choose from; return the exit code."""
    by_hand = [step.text for step in steps if step.call is None]
    left = [*by_hand, *([token.fault] if token.fault else [])]
    if token.hint:
        click.echo(token.hint)
    if not left:
        click.echo("nothing to do" if not steps else "nothing was changed" if dry_run else "all done")
        return ALL_DONE
    click.echo("left for you:" + "".join(f"\n  {text}" for text in left))
    if roles:
        click.echo(roles)
    return LEFT_TO_DO
