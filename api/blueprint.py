"""A blueprint whose views declare auth, input, output and failures."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import flask_smorest

from api.schemas import QuotaRefusedSchema
from api.strict_json import StrictParser

PREFIX = "/api/queue"


class Blueprint(flask_smorest.Blueprint):
    """flask-smorest's, with our reading of JSON."""

    ARGUMENTS_PARSER = StrictParser()

    def failures(self, *statuses: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Document the error statuses of a view; all have the one error body."""

        def declare(view: Callable[..., Any]) -> Callable[..., Any]:
            for status in statuses:
                _document(view, self.alt_response(status, HTTPStatus(status).name))
            return view

        return declare

    def refused_by_quota(self, view: Callable[..., Any]) -> Callable[..., Any]:
        """Document the 403 of a view that takes a unit of the caller's quota; its body is its own."""
        said = "The caller's plan does not allow the job; this body has exactly these members."
        _document(view, self.alt_response(403, schema=QuotaRefusedSchema, description=said))
        return view


def _document(view: Any, alternative: Callable[..., Any]) -> None:
    """Keep what `alt_response` writes into the documents, without the layer that it lays around the view."""
    view._apidoc = alternative(view)._apidoc
