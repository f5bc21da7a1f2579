"""`geniequeue token`: an access token of the embedded store."""

from __future__ import annotations

import click

from geniequeue.cli.exits import WrongUsage, explained
from geniequeue.cli.session import CREATOR, open_embedded, read_settings


@click.command()
@click.option("--user", default=CREATOR, show_default=True, help="Account; made where missing.")
@click.option("--tier", help="Subscription tier of the account; unchanged where not given.")
@click.option("--admin", is_flag=True, help="Make it an administrator's account.")
@click.option("--ttl", default=3600, show_default=True, type=click.IntRange(1, 31_536_000), help="Life in seconds.")
def token(user: str, tier: str | None, admin: bool, ttl: int) -> None:
    """Print an access token (embedded store only)."""
    with explained():
        if not user.strip():
            raise WrongUsage("--user: expected the name of an account, got nothing")
        store = open_embedded(read_settings())
        click.echo(store.mint_token(store.ensure_user(user, tier, admin or None), ttl))
