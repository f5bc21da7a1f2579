"""Who holds a token, whatever store the token is for."""

from __future__ import annotations

from dataclasses import dataclass, field

from geniequeue.records.protocol import Records

SECRET = "a secret for tests alone, and as long as the longest signature wants"


@dataclass(frozen=True)
class Account:
    """Somebody who holds a token."""

    id: str
    token: str = field(repr=False)
    records: Records
