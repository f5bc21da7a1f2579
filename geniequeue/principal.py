"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Principal:
    """A caller whose token was accepted.

    Attributes:
        user_id: id of the account.
        admin: may act for anyone.
        token: the caller's own, for what must be checked with his rights.
        tier: subscription tier as stored; None where never set.
    """

    user_id: str
    admin: bool
    token: str = field(repr=False)
    tier: str | None = None
