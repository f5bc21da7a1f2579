"""Swagger UI at `/api/docs`; every asset comes from this host, so that it works without the internet."""

from __future__ import annotations

from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, Response, render_template, send_from_directory
from werkzeug.exceptions import NotFound

PREFIX = "/api/docs"
ASSETS = Path(flask_swagger_ui.__file__).parent / "dist"
SERVED = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"})
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; font-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)

bp = Blueprint("docs", __name__, url_prefix=PREFIX, static_folder="static", static_url_path="/static")


@bp.get("")
def index() -> Response:
    """Show the page."""
    response = Response(render_template("docs.html"), mimetype="text/html")
    response.headers["Content-Security-Policy"] = POLICY
    return response


@bp.get("/assets/<name>")
def asset(name: str) -> Response:
    """Send one file of Swagger UI."""
    if name not in SERVED:
        raise NotFound
    return send_from_directory(ASSETS, name, max_age=86_400)
