"""Records and files: the protocol, the schema, and the stores that implement them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geniequeue.config import Settings
    from geniequeue.records.protocol import RecordStore

EMBEDDED_PATIENCE_S = 10.0


def open_store(settings: Settings, *, patience_s: float | None = None) -> RecordStore:
    """Open the store that the settings name: Directus, or the embedded one in `VAR_DIR`.

    Args:
        patience_s: how long one call may take; a web request waits less than a worker, which does by default.

    Raises:
        RecordsUnavailable: the embedded store's folder cannot be used.
    """
    store = _opened(settings, patience_s)
    if settings.faults_dir is None:
        return store
    from geniequeue.records.watched import watched

    return watched(store)


def _opened(settings: Settings, patience_s: float | None) -> RecordStore:
    if settings.directus_url is not None:
        from geniequeue.records.directus import DirectusStore
        from geniequeue.records.service_token import FixedToken, TokenFile

        path = settings.directus_token_file
        token = TokenFile(path) if path else FixedToken(settings.directus_token or "")
        return DirectusStore(settings.directus_url, token, deadline_s=patience_s or settings.directus_timeout_s)
    from geniequeue.records.embedded import EmbeddedStore

    root = settings.var_dir / "records"
    return EmbeddedStore(root, settings.directus_secret, busy_timeout_s=patience_s or EMBEDDED_PATIENCE_S)
