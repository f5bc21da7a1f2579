"""Access tokens for benchmarks."""

from __future__ import annotations

import time

import jwt

TOKEN_TTL_S = 6 * 3600


def mint(user_id: str, secret: str, role_id: str | None = None) -> str:
    """Return an access token as Directus signs it."""
    now_s = int(time.time())
    claims = {"id": user_id, "role": role_id, "app_access": False, "admin_access": False, "iss": "directus"}
    return jwt.encode({**claims, "iat": now_s, "exp": now_s + TOKEN_TTL_S}, secret, "HS256")
