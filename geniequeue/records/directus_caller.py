"""One caller's way to Directus: his token, and what its refusal means."""

from __future__ import annotations

from typing import Any

from geniequeue.errors import RecordForbidden, ServiceTokenRefused
from geniequeue.records.definition import PRIMARY_KEY
from geniequeue.records.directus_errors import TokenRefused
from geniequeue.records.directus_http import Call, DirectusHttp

TOKEN_MAX_CHARS = 8192


class DirectusCaller:
    """One caller's way to Directus.

    Args:
        token: of the caller.
        service: whether the caller is the service itself.
    """

    def __init__(self, http: DirectusHttp, token: str, *, service: bool) -> None:
        self._http = http
        self._token = token
        self._service = service

    def _json(self, call: Call) -> Any:
        try:
            return self._http.json(self._checked_token(call), call)
        except TokenRefused as error:
            raise self._refused(error, call) from None

    def _checked_token(self, call: Call) -> str:
        """Return the token, where it can stand in a header at all."""
        if self._token and self._token.isascii() and self._token.isprintable() and len(self._token) <= TOKEN_MAX_CHARS:
            return self._token
        raise self._refused(
            TokenRefused("expected an access token, got another text; sign in again", collection=call.collection), call
        )

    def _refused(self, error: TokenRefused, call: Call) -> TokenRefused | ServiceTokenRefused:
        """Return what a refused token means: for the service, that an operator must act."""
        if not self._service:
            error.action = "authenticate"
            return error
        message = "expected DIRECTUS_TOKEN to be accepted by Directus, got a refusal; set the service account's token"
        return ServiceTokenRefused(message, collection=call.collection, action=call.action)

    def _delete(self, path: str, collection: str) -> None:
        """Delete what is there; gone after a refusal means that a try whose answer was lost has done it."""
        look = Call("GET", f"{path}?fields={PRIMARY_KEY}", collection, "delete")
        self._json(look)
        try:
            self._json(Call("DELETE", path, collection, "delete"))
        except TokenRefused:
            raise
        except RecordForbidden:
            if self._is_there(look):
                raise

    def _is_there(self, look: Call) -> bool:
        try:
            self._json(look)
        except TokenRefused:
            raise
        except RecordForbidden:
            return False
        return True
