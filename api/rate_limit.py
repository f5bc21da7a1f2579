"""How often one user may ask."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from api.auth import principal
from api.services import services
from geniequeue.rate_limit import Kind


def limited(kind: Kind) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Refuse a request of somebody who asks too often; stands below `authenticated`, which tells who asks."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def counted(*args: Any, **kwargs: Any) -> Any:
            services().rate_limiter.check(principal().user_id, kind)
            return view(*args, **kwargs)

        return counted

    return decorate
