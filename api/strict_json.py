"""Read a JSON body and accept nothing that two readers could understand differently."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import marshmallow as ma
from flask import Request
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from api.errors import validation_refused
from geniequeue.errors import RequestRefused

MAX_BODY_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_NUMBER_CHARS = 400


class StrictParser(FlaskParser):
    """Loads arguments for flask-smorest; what is wrong becomes a `RequestRefused`."""

    def load_json(self, req: Request, schema: ma.Schema) -> Any:  # noqa: ARG002 (the parser's interface)
        """Return the body of a request."""
        return read_json(req)

    def handle_error(
        self,
        error: ma.ValidationError,
        req: Request,
        schema: ma.Schema,
        *,
        error_status_code: int | None,
        error_headers: Any,
    ) -> NoReturn:
        """Refuse the request, naming each field; `messages` is keyed by location first."""
        del req, schema, error_status_code, error_headers
        messages = error.messages
        raise validation_refused(next(iter(messages.values())) if isinstance(messages, dict) else messages)


def read_json(request: Request) -> Any:
    """Return the body of a request.

    Raises:
        UnsupportedMediaType: it is not declared as JSON in UTF-8.
        RequestEntityTooLarge: it goes on after 1 MB.
        RequestRefused: 400, it is not JSON, or ambiguous JSON.
    """
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if request.mimetype != "application/json" or charset not in ("utf-8", "utf8") or encoding != "identity":
        raise UnsupportedMediaType
    # one byte more than allowed: werkzeug cuts a body without Content-Length at the limit and says nothing
    request.max_content_length = MAX_BODY_BYTES + 1
    raw = request.get_data(cache=False)
    if len(raw) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    return parse(raw)


def parse(raw: bytes) -> Any:
    """Parse JSON: UTF-8 without BOM, no duplicate member, no NaN, no number beyond a double, no deep nesting."""
    try:
        value = _READER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise _malformed("expected UTF-8") from None
    except RecursionError:
        raise _malformed("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} at character {error.pos}") from None
    _check_shape(value)
    return value


def _check_shape(value: Any) -> None:
    """Refuse deep nesting and half surrogates, without recursion."""
    level, depth = [value], 0
    while level:
        if depth > MAX_DEPTH:
            raise _malformed("nested too deeply")
        for text in level:
            if isinstance(text, str):
                _check_text(text)
        inner = [child for node in level if isinstance(node, dict) for pair in node.items() for child in pair]
        level = inner + [child for node in level if isinstance(node, list) for child in node]
        depth += 1


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _malformed("a text has half a surrogate pair") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _malformed("a member is given twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise _malformed(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _malformed("a number is too large")
    return number


def _integer(text: str) -> int:
    if len(text) > MAX_NUMBER_CHARS:
        raise _malformed("a number is too long")
    return int(text)


def _malformed(what: str) -> RequestRefused:
    return RequestRefused(400, "malformed", f"The body is not JSON as this service takes it: {what}.")


_READER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite, parse_int=_integer
)
