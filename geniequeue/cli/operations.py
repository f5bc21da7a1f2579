"""`geniequeue operations`: what can be asked for, from the registry alone; no service need run."""

from __future__ import annotations

import json
from typing import Any

import click
from marshmallow import fields, missing, validate
from rich.markup import escape
from rich.table import Table

from geniequeue.cli.show import console
from geniequeue.operations import PUBLIC_OPERATIONS, Operation
from geniequeue.params import Between, OneOf, StrictFloat, StrictInteger, UuidText


@click.command()
@click.argument("operation", required=False, type=click.Choice(sorted(PUBLIC_OPERATIONS)), metavar="[OPERATION]")
def operations(operation: str | None) -> None:
    """List the operations and their params, each with its default; or tell what the params of one may be."""
    table = Table.grid(padding=(0, 2))
    if operation is None:
        for each in PUBLIC_OPERATIONS.values():
            table.add_row(each.name, escape(" ".join(_short(*param) for param in _params(each))))
    else:
        for name, field in _params(PUBLIC_OPERATIONS[operation]):
            table.add_row(name, escape(f"{allowed(field)}{_otherwise(field)}"))
    console().print(table)


def _params(operation: Operation) -> list[tuple[str, fields.Field[Any]]]:
    return list(operation.params().fields.items())


def _short(name: str, field: fields.Field[Any]) -> str:
    return name if field.load_default is missing else f"{name}={_shown(field.load_default)}"


def _otherwise(field: fields.Field[Any]) -> str:
    """Return what is taken where a param is not given."""
    if field.required:
        return "; required"
    return "" if field.load_default is missing else f"; {_shown(field.load_default)} unless given"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else json.dumps(value)


def allowed(field: fields.Field[Any]) -> str:
    """Return in words what a param may be."""
    limits = [_limit(field, check) for check in field.validators]
    return ", ".join(filter(None, [_kind(field), *limits]))


def _kind(field: fields.Field[Any]) -> str:
    if isinstance(field, fields.List):
        return f"JSON list of: {allowed(field.inner)}"
    if isinstance(field, UuidText):
        return "id of a stored file, or @PATH"
    kinds = {StrictInteger: "whole number", StrictFloat: "number", fields.Boolean: "true or false"}
    named = next((word for kind, word in kinds.items() if isinstance(field, kind)), "")
    return named or ("" if any(isinstance(check, OneOf | validate.Regexp) for check in field.validators) else "text")


def _limit(field: fields.Field[Any], check: Any) -> str:
    if isinstance(check, Between):
        return check.words
    if isinstance(check, OneOf):
        return f"one of {check.choices_text}"
    if isinstance(check, validate.Length):
        count = check.min if check.min == check.max else f"{check.min} to {check.max}"
        return f"{count} {'of them' if isinstance(field, fields.List) else 'characters'}"
    return str(getattr(check, "error", "")).removeprefix("expected ")
