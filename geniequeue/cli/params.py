"""Params from the command line: `--params JSON`, then `--param name=value`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from geniequeue.cli.exits import WrongUsage


def read_params(whole: str | None, single: Iterable[str]) -> dict[str, Any]:
    """Return the params; `single` ones win.

    Raises:
        WrongUsage: `whole` is no JSON object, or one of `single` is not `name=value`.
    """
    params = _object(whole) if whole else {}
    for text in single:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise WrongUsage(f"--param: expected name=value, got {text!r}")
        params[name] = _value(value)
    return params


def upload_file_params(
    params: Mapping[str, Any], file_params: Iterable[str], upload: Callable[[Path], str]
) -> dict[str, Any]:
    """Return the params with each `@path` of a param that takes a file replaced by the id of the stored file.

    Raises:
        WrongUsage: there is no such file.
    """
    result = dict(params)
    for name in file_params:
        value = result.get(name)
        if isinstance(value, list):
            result[name] = [_stored(name, each, upload) for each in value]
        elif name in result:
            result[name] = _stored(name, value, upload)
    return result


def _stored(name: str, value: Any, upload: Callable[[Path], str]) -> Any:
    if not isinstance(value, str) or not value.startswith("@"):
        return value
    path = Path(value[1:])
    if not path.is_file():
        raise WrongUsage(f"{name}: expected a file at {path}, found none")
    return upload(path)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise WrongUsage(f"--params: expected a JSON object, got something that is no JSON ({error})") from error
    if not isinstance(value, dict):
        raise WrongUsage(f"--params: expected a JSON object, got {text}")
    return value


def _value(text: str) -> Any:
    """Return what `text` is as JSON, and where it is none, `text`."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
