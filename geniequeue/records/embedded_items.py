"""Items of the embedded store, for one caller."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, cast

from geniequeue.errors import RecordInvalid
from geniequeue.records.definition import PRIMARY_KEY, Action, Collection, Field
from geniequeue.records.embedded_access import Access, Permission, check_fields, forbidden
from geniequeue.records.embedded_query import filter_clause, order, page
from geniequeue.records.embedded_sql import Clause, count, delete, has_id, insert, is_in, returning, select, update
from geniequeue.records.embedded_tables import filled, to_column, to_item
from geniequeue.records.protocol import Filter, Item
from geniequeue.records.schema import COLLECTIONS
from geniequeue.records.values import check_complete, check_data, check_nobody_noted, known_field, normal_uuid


class ItemAccess(Access):
    """The item half of `Records`; the docstrings of the protocol hold."""

    def get_item(self, collection: str, item_id: str, fields: Sequence[str] | None = None) -> Item:
        """Return one item, whole or only `fields`."""
        permission, shape = self._opened(collection, "read")
        chosen = _chosen(shape, fields)
        wanted = select(shape.name, _names(chosen), _key(collection, "read", item_id), permission.where)
        with self._database.reading(collection) as connection:
            row = wanted.run(connection).fetchone()
        if row is None:
            raise forbidden(collection, "read")
        return to_item(chosen, row)

    def list_items(
        self,
        collection: str,
        where: Filter | None = None,
        *,
        sort: Sequence[str] = (),
        limit: int = 100,
        offset: int = 0,
        fields: Sequence[str] | None = None,
    ) -> list[Item]:
        """Return the items that match all of `where`; a `limit` of -1 asks for all."""
        permission, shape = self._opened(collection, "read")
        chosen = _chosen(shape, fields)
        wanted = select(shape.name, _names(chosen), filter_clause(shape, where), permission.where)
        wanted = wanted.then(order(shape, sort) + page(shape, limit, offset))
        with self._database.reading(collection) as connection:
            rows = wanted.run(connection).fetchall()
        return [to_item(chosen, row) for row in rows]

    def count_items(self, collection: str, where: Filter | None = None) -> int:
        """Return how many items match and the caller may see."""
        permission, shape = self._opened(collection, "read")
        wanted = count(shape.name, filter_clause(shape, where), permission.where)
        with self._database.reading(collection) as connection:
            return int(wanted.run(connection).fetchone()[0])

    def create_item(self, collection: str, data: Mapping[str, Any]) -> Item:
        """Create an item under the id in `data`, or a new one; raises `RecordNotUnique`."""
        permission, shape = self._opened(collection, "create")
        item = _new(permission, shape, data)
        with self._database.writing(collection, "create") as connection:
            row = _added(connection, permission, shape, item)
        return to_item(shape.fields, row)

    def create_items(self, collection: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Create many items at once, all of them or none."""
        permission, shape = self._opened(collection, "create")
        check_nobody_noted(shape)
        items = [_new(permission, shape, row) for row in rows]
        with self._database.writing(collection, "create") as connection:
            for item in items:
                _added(connection, permission, shape, item)

    def update_item(self, collection: str, item_id: str, data: Mapping[str, Any]) -> Item:
        """Change the named fields of an existing item and return it."""
        permission, shape = self._opened(collection, "update")
        changes = _changes(shape, check_data(shape, data, "update"), item_id)
        check_fields(permission, changes, collection, "update")
        key = _key(collection, "update", item_id)
        change = update(collection, _row(shape, changes), key, permission.where).then(returning(shape.by_name))
        with self._database.writing(collection, "update") as connection:
            rows = change.run(connection).fetchall()
        if not rows:
            raise forbidden(collection, "update")
        return to_item(shape.fields, rows[0])

    def update_items(self, collection: str, item_ids: Sequence[str], data: Mapping[str, Any]) -> list[str]:
        """Change the named fields of many items alike; return the ids of those changed."""
        permission, shape = self._opened(collection, "update")
        changes = _changes(shape, check_data(shape, data, "update"), "")
        check_fields(permission, changes, collection, "update")
        keys = json.dumps([key for key in map(normal_uuid, item_ids) if key is not None])
        named = is_in(PRIMARY_KEY, Clause("SELECT value FROM json_each(?)", (keys,)))
        there = count(collection, named)
        change = update(collection, _row(shape, changes), named, permission.where).then(returning((PRIMARY_KEY,)))
        with self._database.writing(collection, "update") as connection:
            changed = [str(row[0]) for row in change.run(connection).fetchall()]
            if len(changed) != there.run(connection).fetchone()[0]:
                raise forbidden(collection, "update")
        return changed

    def delete_item(self, collection: str, item_id: str) -> None:
        """Delete an item that exists."""
        permission, shape = self._opened(collection, "delete")
        removal = delete(shape.name, _key(collection, "delete", item_id), permission.where)
        with self._database.writing(collection, "delete") as connection:
            if removal.run(connection).rowcount == 0:
                raise forbidden(collection, "delete")

    def _opened(self, collection: str, action: Action) -> tuple[Permission, Collection]:
        """Return what the caller may do and the shape of the collection; accounts and files are no items."""
        permission = self._permission(collection, action)
        shape = COLLECTIONS.get(collection)
        if shape is None:
            raise forbidden(collection, action)
        return permission, shape


def _new(permission: Permission, shape: Collection, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a new item, checked and complete."""
    given = check_data(shape, data, "create")
    check_fields(permission, given, shape.name, "create")
    item = filled(shape, given, permission.caller.user_id)
    check_complete(shape, item)
    return item


def _added(
    connection: sqlite3.Connection, permission: Permission, shape: Collection, item: Mapping[str, Any]
) -> Sequence[Any]:
    """Add an item and return its row; the caller must be allowed to have added it."""
    row = insert(shape.name, _row(shape, item)).then(returning(shape.by_name)).run(connection).fetchall()[0]
    if not select(shape.name, ("id",), has_id(item[PRIMARY_KEY]), permission.where).run(connection).fetchall():
        raise forbidden(shape.name, "create")
    return cast("Sequence[Any]", row)


def _key(collection: str, action: Action, item_id: str) -> Clause:
    key = normal_uuid(item_id)
    if key is None:
        raise forbidden(collection, action)
    return has_id(key)


def _changes(shape: Collection, data: dict[str, Any], item_id: str) -> dict[str, Any]:
    if data.pop(PRIMARY_KEY, normal_uuid(item_id)) != normal_uuid(item_id):
        raise RecordInvalid(
            f"expected an item of {shape.name} to keep its id, got another; create a new item instead",
            collection=shape.name,
            action="update",
        )
    return data


def _chosen(shape: Collection, fields: Sequence[str] | None) -> tuple[Field, ...]:
    return tuple(known_field(shape, name, "read") for name in fields) if fields else shape.fields


def _names(fields: Sequence[Field]) -> tuple[str, ...]:
    return tuple(field.name for field in fields)


def _row(shape: Collection, data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: to_column(shape.by_name[name], value) for name, value in data.items()}
