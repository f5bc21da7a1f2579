"""SQLite tables from the schema definition: created where missing, never changed or dropped."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from geniequeue.records.definition import PRIMARY_KEY, Collection, Field, FieldType, Fill
from geniequeue.records.embedded_sql import quoted
from geniequeue.records.schema import COLLECTIONS, USER_FIELDS
from geniequeue.records.values import normal_timestamp

DIRECTUS_USERS = Collection(
    "directus_users",
    "Accounts; in Directus a table of its own.",
    (
        Field("id", "uuid", nullable=False),
        Field("first_name", "string", nullable=False, default=""),
        Field("status", "string", nullable=False, default="active"),
        Field("admin", "boolean", nullable=False, default=False),
        *USER_FIELDS,
    ),
)
DIRECTUS_FILES = Collection(
    "directus_files",
    "Records of the stored files; in Directus a table of its own.",
    (
        Field("id", "uuid", nullable=False),
        Field("filename_download", "string", nullable=False, default=""),
        Field("type", "string", nullable=False, default="application/octet-stream"),
        Field("filesize", "bigint", nullable=False, default=0),
        Field("uploaded_by", "uuid", indexed=True),
        Field("folder", "uuid", indexed=True),
        Field("created_on", "timestamp", nullable=False, fill="now"),
    ),
)
TABLES = (*COLLECTIONS.values(), DIRECTUS_USERS, DIRECTUS_FILES)

_COLUMN_TYPES: Mapping[FieldType, str] = {
    "uuid": "TEXT",
    "string": "TEXT",
    "text": "TEXT",
    "json": "TEXT",
    "timestamp": "TEXT",
    "integer": "INTEGER",
    "bigint": "INTEGER",
    "boolean": "INTEGER",
    "float": "REAL",
}


def create_missing(connection: sqlite3.Connection, collections: Iterable[Collection] = TABLES) -> None:
    """Create the tables, columns and indexes that are not there; leave all others alone."""
    for collection in collections:
        for statement in _missing(connection, collection):
            connection.execute(statement)


def _missing(connection: sqlite3.Connection, collection: Collection) -> Iterator[str]:
    table = quoted(collection.name)
    there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})").fetchall()}
    if not there:
        yield f"CREATE TABLE {table} ({', '.join(_column(field) for field in collection.fields)})"
    for field in collection.fields:
        if there and field.name not in there:
            yield f"ALTER TABLE {table} ADD COLUMN {_column(field)}"
        if field.indexed or field.unique:
            index, kind = quoted(f"{collection.name}_{field.name}"), "UNIQUE INDEX" if field.unique else "INDEX"
            yield f"CREATE {kind} IF NOT EXISTS {index} ON {table} ({quoted(field.name)})"


def _column(field: Field) -> str:
    column = f"{quoted(field.name)} {_COLUMN_TYPES[field.type]}"
    if field.name == PRIMARY_KEY:
        return f"{column} PRIMARY KEY NOT NULL"
    if field.default is None:
        return column
    return f"{column} DEFAULT {_literal(to_column(field, field.default))}"


def _literal(value: object) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def to_column(field: Field, value: Any) -> Any:
    """Return a checked value as SQLite keeps it."""
    if value is None:
        return None
    if field.type == "json":
        return json.dumps(value)
    return int(value) if field.type == "boolean" else value


def to_item(fields: Iterable[Field], row: Iterable[Any]) -> dict[str, Any]:
    """Return a row as an item."""
    return {field.name: _from_column(field, value) for field, value in zip(fields, row, strict=True)}


def _from_column(field: Field, value: Any) -> Any:
    if value is None:
        return None
    if field.type == "json":
        return json.loads(value)
    return bool(value) if field.type == "boolean" else value


def filled(collection: Collection, data: Mapping[str, Any], caller_id: str | None) -> dict[str, Any]:
    """Return a new item with what the store itself puts in where nobody did."""
    item = dict(data)
    for field in collection.fields:
        if field.fill and item.get(field.name) is None:
            item[field.name] = _fill(field.fill, caller_id)
    return item


def _fill(fill: Fill, caller_id: str | None) -> str | None:
    if fill == "caller":
        return caller_id
    return str(uuid.uuid4()) if fill == "uuid" else normal_timestamp(datetime.now(UTC))
