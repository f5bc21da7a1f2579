"""What a caller may ask for."""

from __future__ import annotations

from functools import cache
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from api.auth import authenticated
from api.blueprint import PREFIX, Blueprint
from api.schemas import OperationsSchema
from geniequeue.operations import PUBLIC_OPERATIONS, Operation

PYTHON_END = r"\Z"

bp = Blueprint("operations", __name__, url_prefix=PREFIX, description="What a caller may ask for")


@bp.route("/operations")
@authenticated
@bp.failures(401)
@bp.response(200, OperationsSchema)
def index() -> dict[str, Any]:
    """List every operation with its queue, required inputs and params"""
    return {"operations": described()}


@cache
def described() -> list[dict[str, Any]]:
    """Return every public operation with the JSON Schema of its params."""
    plugin = MarshmallowPlugin()
    APISpec("params", "1", "3.1.0", plugins=[plugin])
    return [_described(operation, plugin) for operation in PUBLIC_OPERATIONS.values()]


def _described(operation: Operation, plugin: MarshmallowPlugin) -> dict[str, Any]:
    assert plugin.converter is not None  # noqa: S101 (APISpec sets it)
    return {
        "name": operation.name,
        "queue": operation.queue,
        "requires": list(operation.requires),
        "params": _portable(plugin.converter.schema2jsonschema(operation.params)),
    }


def _portable(schema: dict[str, Any]) -> dict[str, Any]:
    """Say patterns as JSON Schema does: anchored by themselves, and without Python's `\\Z`."""
    for member in schema["properties"].values():
        if "pattern" in member:
            member["pattern"] = f"^(?:{member['pattern'].removesuffix(PYTHON_END)})$"
    return schema
