"""Records and files: the protocol, the schema, and the stores that implement them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geniequeue.errors import SettingsError

if TYPE_CHECKING:
    from geniequeue.config import Settings
    from geniequeue.records.protocol import RecordStore


def open_store(settings: Settings, *, patience_s: float = 10.0) -> RecordStore:
    """Open the store that the settings name.

    Args:
        patience_s: how long a call may wait for another's write; a web request waits less than a worker.

    Raises:
        SettingsError: they name Directus.
        RecordsUnavailable: the embedded store's folder cannot be used.
    """
    if settings.directus_url is not None:
        raise SettingsError(
            ["DIRECTUS_URL: expected it unset, for this version has no Directus client yet; unset it to use VAR_DIR"]
        )
    from geniequeue.records.embedded import EmbeddedStore

    return EmbeddedStore(settings.var_dir / "records", settings.directus_secret, busy_timeout_s=patience_s)
