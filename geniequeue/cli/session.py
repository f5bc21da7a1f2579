"""What a command needs of the service: settings, the record store, the API as one user."""

from __future__ import annotations

import os
from pathlib import Path

from geniequeue.cli.api_client import ApiClient
from geniequeue.cli.embedded import needs_redis
from geniequeue.cli.exits import Unreachable, WrongUsage
from geniequeue.config import EMBEDDED_FILE, Settings, load_settings
from geniequeue.records import open_store
from geniequeue.records.embedded import EmbeddedStore
from geniequeue.records.protocol import Records

OPERATOR = "operator"
"""Account that looks at everybody's jobs: whoever can read `VAR_DIR` is an administrator."""

CREATOR = "creator"


class Session:
    """A user of the embedded store.

    Args:
        settings: of the service.
        user: name of the account; made where missing.
        admin: whether it is an administrator's; None leaves it.
        tier: subscription tier to give it; None leaves it.
    """

    def __init__(self, settings: Settings, user: str, *, admin: bool | None = None, tier: str | None = None) -> None:
        self.settings = settings
        if not user.strip():
            raise WrongUsage("--user: expected the name of an account, got nothing")
        store = open_embedded(settings)
        self._store = store
        self._account = store.ensure_user(user, tier, admin)
        self.api = ApiClient(settings.api_url, lambda life_s: store.mint_token(self._account, life_s))

    @property
    def records(self) -> Records:
        """The records as this user sees them."""
        return self._store.as_user(self.api.token())


def open_session(user: str = OPERATOR) -> Session:
    """Open a session with the settings of the environment."""
    return Session(read_settings(), user, admin=True if user == OPERATOR else None)


def read_settings() -> Settings:
    """Read the settings of a service that was started at least once.

    Raises:
        Unreachable: there never was one in this `VAR_DIR`.
        SettingsError: the settings are wrong.
    """
    var_dir = Path(os.environ.get("VAR_DIR", "").strip() or "var").resolve()
    if needs_redis(os.environ) and not (var_dir / EMBEDDED_FILE).is_file():
        raise Unreachable(
            f"no service was ever started in {var_dir}; start one with `geniequeue up`, or set VAR_DIR or REDIS_URL"
        )
    return load_settings()


def open_embedded(settings: Settings) -> EmbeddedStore:
    """Open the embedded store.

    Raises:
        WrongUsage: the records are in Directus, which has its own accounts.
    """
    if not settings.embedded_store:
        raise WrongUsage(
            "this command works with the embedded record store only, and DIRECTUS_URL is set; "
            "sign in to Directus and use the HTTP API instead"
        )
    store = open_store(settings)
    assert isinstance(store, EmbeddedStore)  # noqa: S101 - no DIRECTUS_URL
    return store
