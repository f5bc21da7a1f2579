"""The token of the service's account, as `directus-setup` finds, makes and hands it over; it reaches no log."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from geniequeue.cli.embedded import write_private
from geniequeue.cli.exits import WrongUsage
from geniequeue.config import MIN_SECRET_CHARS
from geniequeue.errors import ServiceTokenRefused
from geniequeue.records.directus import DirectusStore
from geniequeue.records.directus_http import Call, path_of
from geniequeue.records.directus_shapes import USERS, id_of
from geniequeue.records.directus_state import SERVICE_ACCOUNT
from geniequeue.records.service_token import TokenFile

NAME, FILE_NAME = "DIRECTUS_TOKEN", "DIRECTUS_TOKEN_FILE"
TOKEN_BYTES = 32
PATIENCE_S = 20.0


@dataclass(frozen=True)
class ServiceToken:
    """What becomes of the token.

    Attributes:
        value: what the account gets; None leaves it as it is.
        to_print: whether nobody knows `value` yet but this process.
        fault: what is wrong with the token that was given, and what to do; empty where nothing is.
        hint: what an operator may want to know.
    """

    value: str | None = field(default=None, repr=False)
    to_print: bool = False
    fault: str = ""
    hint: str = ""


def service_token(url: str, environ: Mapping[str, str], *, sets: bool, dry_run: bool) -> ServiceToken:
    """Decide which token the account gets.

    Args:
        url: of Directus.
        environ: may name a token, or a file for it.
        sets: whether the account is new, or shall get another token.
        dry_run: whether nothing is going to be changed.

    Raises:
        WrongUsage: the token that was given cannot be used, or there is no safe place for a new one.
    """
    given, path = _given(environ)
    holder = _holder(url, given) if given else None
    if holder not in (None, SERVICE_ACCOUNT):
        advice = "unset it, and a new one is made"
        raise WrongUsage(f"{NAME}: expected a token for the service's own account, got another account's; {advice}")
    if not sets:
        return _compared(given, holder)
    if holder and path is None:
        return ServiceToken(hint=f"the account has the token in {NAME} already; unset it, and another one is made")
    if given and not holder:
        return ServiceToken(_long_enough(given))
    return _generated(path, dry_run=dry_run)


def hand_over(token: ServiceToken) -> None:
    """Print a generated token, once."""
    if token.to_print:
        click.echo(f"\nput this line into .env; it is not shown again:\n{NAME}={token.value}")


def _given(environ: Mapping[str, str]) -> tuple[str, Path | None]:
    """Return the token that the environment gives, and the file that is to hold it."""
    token, file = (environ.get(name, "").strip() for name in (NAME, FILE_NAME))
    if token and file:
        raise WrongUsage(f"{FILE_NAME}: expected it or {NAME}, got both; keep one")
    path = Path(file).resolve() if file else None
    return (TokenFile(path).current() if path and path.is_file() else token), path


def _holder(url: str, token: str) -> str | None:
    """Return whose token it is, None where Directus does not know it."""
    call = Call("GET", path_of("users", "me", fields="id"), USERS, "read")
    try:
        return id_of(DirectusStore(url, token, deadline_s=PATIENCE_S).request(call), USERS, "read")
    except ServiceTokenRefused:
        return None


def _compared(given: str, holder: str | None) -> ServiceToken:
    """Say what is to do about the token of an account that is there already."""
    reset = "--reset-token gives the account"
    if not given:
        return ServiceToken(hint=f"{NAME} is not set here, so it was not checked; {reset} a new one where it got lost")
    if holder is None:
        advice = "set it to the token of the service's account, or let --reset-token give the account this one"
        fault = f"{NAME}: Directus refuses it; {advice}"
        return ServiceToken(fault=fault)
    return ServiceToken()


def _long_enough(token: str) -> str:
    if len(token) < MIN_SECRET_CHARS or not (token.isascii() and token.isprintable()):
        raise WrongUsage(f"{NAME}: expected at least {MIN_SECRET_CHARS} characters of ASCII; unset it, and one is made")
    return token


def _generated(path: Path | None, *, dry_run: bool) -> ServiceToken:
    """Return a new token; one with a file of its own is written there before Directus learns it."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    if dry_run:
        return ServiceToken(token)
    if path is not None:
        write_private(path, token + "\n")
        return ServiceToken(token, hint=f"the new token stands in {path}")
    if not sys.stdout.isatty():
        raise WrongUsage(
            f"{NAME}: expected a terminal to show a new token on, for what is printed elsewhere ends in logs; "
            f"set {NAME} to a random text (such as of `openssl rand -hex 32`), or {FILE_NAME} to a file for it"
        )
    return ServiceToken(token, to_print=True)
