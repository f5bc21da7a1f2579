"""One caller's way to Directus: his token, and what its refusal means.

The service's token may be renewed while the service runs, so a refused one is read again before anyone is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from geniequeue.errors import RecordForbidden, ServiceTokenRefused, TokenRefused
from geniequeue.records.definition import PRIMARY_KEY
from geniequeue.records.directus_http import Call, DirectusHttp
from geniequeue.records.service_token import TokenSource

TOKEN_MAX_CHARS = 8192


class DirectusCaller:
    """One caller's way to Directus.

    Args:
        token: of the caller.
        service: whether the caller is the service itself.
    """

    def __init__(self, http: DirectusHttp, token: TokenSource, *, service: bool) -> None:
        self._http = http
        self._token = token
        self._service = service

    def _json(self, call: Call) -> Any:
        token = self._checked_token(call)
        try:
            return self._http.json(token, call)
        except TokenRefused as error:
            if not self._token.renewed(token):
                raise self._refused(error, call) from None
        try:
            return self._http.json(self._checked_token(call), call)
        except TokenRefused as error:
            raise self._refused(error, call) from None

    @contextmanager
    def _sending(self, call: Call) -> Iterator[str]:
        """Lend the token for a request that is sent once; one that was refused is read again for the next."""
        token = self._checked_token(call)
        try:
            yield token
        except TokenRefused as error:
            self._token.renewed(token)
            raise self._refused(error, call) from None

    def _checked_token(self, call: Call) -> str:
        """Return the token, where it can stand in a header at all."""
        token = self._token.current()
        if token and token.isascii() and token.isprintable() and len(token) <= TOKEN_MAX_CHARS:
            return token
        raise self._refused(
            TokenRefused("expected an access token, got another text; sign in again", collection=call.collection), call
        )

    def _refused(self, error: TokenRefused, call: Call) -> TokenRefused | ServiceTokenRefused:
        """Return what a refused token means: for the service, that an operator must act."""
        if not self._service:
            error.action = "authenticate"
            return error
        message = (
            "expected Directus to accept the token of the service account, got a refusal; "
            "set DIRECTUS_TOKEN and restart, or write the new token to DIRECTUS_TOKEN_FILE"
        )
        return ServiceTokenRefused(message, collection=call.collection, action=call.action)

    def _delete(self, path: str, collection: str) -> None:
        """Delete what is there; gone after a refusal means that a try whose answer was lost has done it."""
        self._json(_look(path, collection))
        self._delete_what_is_there(path, collection)

    def _delete_what_is_there(self, path: str, collection: str) -> None:
        try:
            self._json(Call("DELETE", path, collection, "delete"))
        except TokenRefused:
            raise
        except RecordForbidden:
            if self._is_there(path, collection):
                raise

    def _is_there(self, path: str, collection: str) -> bool:
        try:
            self._json(_look(path, collection))
        except TokenRefused:
            raise
        except RecordForbidden:
            return False
        return True


def _look(path: str, collection: str) -> Call:
    return Call("GET", f"{path}?fields={PRIMARY_KEY}", collection, "delete")
