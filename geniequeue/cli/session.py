"""What a command needs of the service: settings, the record store, the API as one user."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from geniequeue.cli.api_client import NO_ADVICE, ApiClient
from geniequeue.cli.embedded import needs_redis
from geniequeue.cli.exits import Unreachable, WrongUsage
from geniequeue.config import EMBEDDED_FILE, Settings, load_settings
from geniequeue.records import open_store
from geniequeue.records.embedded import EmbeddedStore
from geniequeue.records.protocol import Records, RecordStore

OPERATOR = "operator"
"""Account that looks at everybody's jobs: whoever can read `VAR_DIR` is an administrator."""

CREATOR = "creator"
PLAN_ADVICE = "`geniequeue token --user {user} --tier studio` gives the account another plan, which counts within 30 s"
USER_TOKEN = "GENIEQUEUE_TOKEN"  # noqa: S105 - its name
"""Variable with the token of the Directus account that commands act for."""


class Session:
    """What one user sees and does.

    Args:
        settings: of the service.
        store: records and files.
        mint: returns a token of the user that holds for the seconds given.
        advice: what may be done about a refusal of the API, by its word for machines.
    """

    def __init__(
        self,
        settings: Settings,
        store: RecordStore,
        mint: Callable[[float], str],
        advice: Mapping[str, str] = NO_ADVICE,
    ) -> None:
        self.settings = settings
        self._store = store
        self.api = ApiClient(settings.api_url, mint, advice)

    @property
    def records(self) -> Records:
        """The records as this user sees them."""
        return self._store.as_user(self.api.token())

    def discard(self, job_id: str, file_ids: Iterable[str]) -> bool:
        """Delete the item and the files of a job that was never accepted; return whether that is done.

        In Directus an account has no right to delete them, so there they stay.
        """
        if not self.settings.embedded_store:
            return False
        service = self._store.as_service()
        service.delete_item("media_jobs", job_id)
        for file_id in file_ids:
            service.delete_file(file_id)
        return True


def open_session(user: str | None = None, *, default: str = OPERATOR) -> Session:
    """Open a session with the settings of the environment.

    Args:
        user: name of an account of the embedded store, where one was asked for.
        default: whose account it is where none was.
    """
    settings = read_settings()
    if not settings.embedded_store:
        return _directus_session(settings, user)
    name = default if user is None else user
    return embedded_session(settings, name, admin=True if name == OPERATOR else None)


def embedded_session(settings: Settings, user: str, *, admin: bool | None = None, tier: str | None = None) -> Session:
    """Open a session of an account of the embedded store, made where missing.

    Args:
        admin: whether it is an administrator's; None leaves it.
        tier: subscription tier to give it; None leaves it.
    """
    if not user.strip():
        raise WrongUsage("--user: expected the name of an account, got nothing")
    store = open_embedded(settings)
    account = store.ensure_user(user, tier, admin)
    advice = {"tier_limit_reached": PLAN_ADVICE.format(user=shlex.quote("NAME" if user == OPERATOR else user))}
    return Session(settings, store, lambda life_s: store.mint_token(account, life_s), advice)


def _directus_session(settings: Settings, user: str | None) -> Session:
    """Open a session of whoever holds the token in the environment."""
    if user is not None:
        raise WrongUsage(f"--user: expected none with DIRECTUS_URL, got {user}; {USER_TOKEN} says whose account it is")
    token = os.environ.get(USER_TOKEN, "").strip()
    if not token:
        raise WrongUsage(
            f"{USER_TOKEN}: not set; with DIRECTUS_URL, set it to a token of your account in Directus "
            "(an administrator's sees the jobs of all)"
        )
    return Session(settings, open_store(settings), lambda _: token)


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
            "this command makes tokens of the embedded record store, and DIRECTUS_URL is set: take one of Directus, "
            f"by POST /auth/login or from an account's page there; {USER_TOKEN} hands it to the other commands"
        )
    store = open_store(settings)
    assert isinstance(store, EmbeddedStore)  # noqa: S101 - no DIRECTUS_URL
    return store
