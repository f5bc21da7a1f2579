"""For whoever watches the service; no token."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from api.services import services
from geniequeue.readiness import Check

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> dict[str, Any]:
    """Tell that this process lives."""
    return {"ok": True}


@bp.get("/readyz")
def readyz() -> tuple[dict[str, Any], int]:
    """Tell whether the service can do its work now, and what keeps it from it."""
    report = services().readiness.check()
    checks = {name: _shown(check) for name, check in report.checks.items()}
    return {"ok": report.ok, "checks": checks, "warnings": report.warnings}, 200 if report.ok else 503


@bp.get("/metrics")
def metrics() -> Response:
    """Tell Prometheus the numbers of all processes; those of no user."""
    text, content_type = services().exposition.text(request.headers.get("Accept", ""))
    return Response(text, content_type=content_type)


def _shown(check: Check) -> dict[str, Any]:
    message = {"message": check.message} if check.message else {}
    return {"ok": check.ok, **message, **check.facts}
