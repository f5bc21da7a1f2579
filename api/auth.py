"""Who sends the request."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

import structlog
from flask import g, request

from api.services import services
from geniequeue.principal import Principal

SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A Directus access token, or a static token of Directus.",
}


def authenticated(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let a request in only with a valid token; inside, `principal()` tells whose."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        g.principal = services().authenticator.principal(request.headers.get("Authorization"))
        structlog.contextvars.bind_contextvars(user_id=g.principal.user_id)
        return view(*args, **kwargs)

    return guarded


def principal() -> Principal:
    """Return who sends the request being handled."""
    return cast("Principal", g.principal)
