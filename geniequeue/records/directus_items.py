"""Items of Directus, for one caller. What the definition knows is checked here, before anything is sent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from geniequeue.errors import RecordForbidden, RecordInvalid, RecordNotUnique, TokenRefused
from geniequeue.records.definition import PRIMARY_KEY, Action, Collection
from geniequeue.records.directus_caller import DirectusCaller
from geniequeue.records.directus_errors import (
    NotUniqueAfterRetry,
    ValuesRefused,
    forbidden,
    right_missing,
)
from geniequeue.records.directus_http import Call, path_of
from geniequeue.records.directus_query import checked_fields, checked_page, checked_sort, filter_of
from geniequeue.records.directus_shapes import count_of, item_of, items_of
from geniequeue.records.protocol import Filter, Item
from geniequeue.records.schema import COLLECTIONS, creator_rule
from geniequeue.records.values import check_complete, check_data, check_nobody_noted, normal_uuid

BULK = 50
"""Items that one request changes; the limit is always named, for a filter alone reaches QUERY_LIMIT_DEFAULT items."""
QUERY_MAX_CHARS = 4000
"""Longer queries travel in a body, by the method SEARCH: Node refuses a request line and headers above 16 kB."""


class ItemAccess(DirectusCaller):
    """The item half of `Records`; the docstrings of the protocol hold."""

    def get_item(self, collection: str, item_id: str, fields: Sequence[str] | None = None) -> Item:
        """Return one item, whole or only `fields`."""
        shape = _shape(collection, "read")
        names = checked_fields(shape, fields)
        path = path_of("items", collection, _key(collection, "read", item_id), fields=",".join(names))
        return item_of(shape, names, self._json(Call("GET", path, collection, "read")), "read")

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
        """Return the items that match all of `where`; a `limit` of -1 asks for all that QUERY_LIMIT_MAX allows."""
        shape = _shape(collection, "read")
        names = checked_fields(shape, fields)
        query = {"fields": names, "sort": checked_sort(shape, sort), **checked_page(shape, limit, offset)}
        return items_of(shape, names, self._search(collection, {"filter": filter_of(shape, where), **query}))

    def count_items(self, collection: str, where: Filter | None = None) -> int:
        """Return how many items match and the caller may see."""
        shape = _shape(collection, "read")
        return count_of(
            shape, self._search(collection, {"aggregate": {"count": "*"}, "filter": filter_of(shape, where)})
        )

    def create_item(self, collection: str, data: Mapping[str, Any]) -> Item:
        """Create an item under the id in `data`, or a new one; raises `RecordNotUnique`.

        The id is always chosen here, so that a create whose answer was lost can be sent again. Where the item then
        exists with all the values that were sent, it counts as this call's own; somebody else's with the very same
        values and id cannot be told apart from it.
        """
        shape = _shape(collection, "create")
        given = check_data(shape, data, "create")
        if self._service:
            check_complete(shape, {**_filled(shape), **given})
        sent = {**given, PRIMARY_KEY: given.get(PRIMARY_KEY) or str(uuid.uuid4())}
        path = path_of("items", collection, fields=",".join(shape.by_name))
        try:
            created = self._written(shape, "create", given, Call("POST", path, collection, "create", sent))
        except NotUniqueAfterRetry as error:
            created = self._own(shape, sent, error)
        return self._without_caller(shape, created, given)

    def create_items(self, collection: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Create many items at once, all of them or none: Directus does it in one transaction."""
        shape = _shape(collection, "create")
        check_nobody_noted(shape)
        sent = []
        for row in rows:
            given = check_data(shape, row, "create")
            check_complete(shape, {**_filled(shape), **given})
            sent.append({**given, PRIMARY_KEY: given.get(PRIMARY_KEY) or str(uuid.uuid4())})
        path = path_of("items", collection, fields=PRIMARY_KEY)
        self._answered(shape, "create", {}, Call("POST", path, collection, "create", sent))

    def update_item(self, collection: str, item_id: str, data: Mapping[str, Any]) -> Item:
        """Change the named fields of an existing item and return it."""
        shape = _shape(collection, "update")
        changes = check_data(shape, data, "update")
        key = _key(collection, "update", item_id)
        if changes.pop(PRIMARY_KEY, key) != key:
            raise _keeps_its_id(collection)
        path = path_of("items", collection, key, fields=",".join(shape.by_name))
        return self._written(shape, "update", changes, Call("PATCH", path, collection, "update", changes))

    def update_items(self, collection: str, item_ids: Sequence[str], data: Mapping[str, Any]) -> list[str]:
        """Change the named fields of many items alike; return the ids of those changed.

        The items are named by a filter, for of a list of keys Directus refuses all where one is not there.
        """
        shape = _shape(collection, "update")
        changes = check_data(shape, data, "update")
        if PRIMARY_KEY in changes:
            raise _keeps_its_id(collection)
        keys = [key for key in map(normal_uuid, item_ids) if key is not None]
        path = path_of("items", collection, fields=PRIMARY_KEY)
        changed: list[str] = []
        for start in range(0, len(keys), BULK):
            batch = keys[start : start + BULK]
            query = {"filter": {PRIMARY_KEY: {"_in": batch}}, "limit": len(batch)}
            call = Call("PATCH", path, collection, "update", {"query": query, "data": changes})
            changed += [str(row[PRIMARY_KEY]) for row in items_of(shape, (PRIMARY_KEY,), self._changed(call))]
        return changed

    def delete_item(self, collection: str, item_id: str) -> None:
        """Delete an item that exists; asked first, for an administrator may delete what is not there."""
        shape = _shape(collection, "delete")
        path = path_of("items", collection, _key(collection, "delete", item_id))
        self._delete(path, shape.name)

    def _search(self, collection: str, query: Mapping[str, Any]) -> Any:
        try:
            return self._found(collection, query)
        except TokenRefused:
            raise
        except RecordForbidden:
            # no single item was asked for, so there is none to be missing
            raise right_missing(collection, "read") if self._service else forbidden(collection, "read") from None

    def _found(self, collection: str, query: Mapping[str, Any]) -> Any:
        if len(json.dumps(query)) > QUERY_MAX_CHARS:
            path = path_of("items", collection)
            return self._json(Call("SEARCH", path, collection, "read", {"query": query}))
        given = {name: value for name, value in query.items() if value not in ({}, [], ())}
        given |= {name: ",".join(given[name]) for name in ("fields", "sort") if name in given}
        return self._json(Call("GET", path_of("items", collection, **given), collection, "read"))

    def _changed(self, call: Call) -> Any:
        """Send a change of many items and return what Directus says of those it changed."""
        try:
            data = self._json(call)
        except TokenRefused:
            raise
        except RecordForbidden:
            data = None
        if data is None:
            # 204, without content, where the caller may not read what he changed, or would have
            refusal = right_missing if self._service else forbidden
            raise refusal(call.collection, call.action)
        return data

    def _written(self, shape: Collection, action: Action, given: Mapping[str, Any], call: Call) -> Item:
        """Send a change and return the item it made."""
        return item_of(shape, list(shape.by_name), self._answered(shape, action, given, call), action)

    def _answered(self, shape: Collection, action: Action, given: Mapping[str, Any], call: Call) -> Any:
        """Send a change of what `given` names and return what Directus answers."""
        try:
            data = self._json(call)
        except TokenRefused:
            raise
        except ValuesRefused as error:
            field = shape.by_name.get(error.field)
            if self._service or (field is not None and field.required):
                raise
            raise forbidden(shape.name, action) from None
        except RecordForbidden:
            if self._service and action == "create":
                raise right_missing(shape.name, action) from None
            raise _denied(shape.name, action, given) from None
        if data is None:
            # 204: an administrator changed an item that is not there, or a caller may write but not read.
            raise forbidden(shape.name, action)
        return data

    def _own(self, shape: Collection, sent: Mapping[str, Any], error: RecordNotUnique) -> Item:
        """Return the standing item where it is the one that was sent."""
        standing = self.get_item(shape.name, sent[PRIMARY_KEY])
        if any(standing[name] != value for name, value in sent.items() if shape.by_name[name].fill != "caller"):
            raise error
        return standing

    def _without_caller(self, shape: Collection, created: Item, given: Mapping[str, Any]) -> Item:
        """Undo that Directus names the service as creator: it always names the caller, whatever is sent."""
        filled = {field.name: given.get(field.name) for field in shape.fields if field.fill == "caller"}
        if not self._service or all(created[name] == value for name, value in filled.items()):
            return created
        return self.update_item(shape.name, created[PRIMARY_KEY], filled)


def _shape(collection: str, action: Action) -> Collection:
    shape = COLLECTIONS.get(collection)
    if shape is None:
        raise forbidden(collection, action)
    return shape


def _key(collection: str, action: Action, item_id: str) -> str:
    key = normal_uuid(item_id)
    if key is None:
        raise forbidden(collection, action)
    return key


def _keeps_its_id(collection: str) -> RecordInvalid:
    return RecordInvalid(
        f"expected an item of {collection} to keep its id, got another; create a new item instead",
        collection=collection,
        action="update",
    )


def _filled(shape: Collection) -> dict[str, Any]:
    """Return something in every field that the store fills itself."""
    return {field.name: True for field in shape.fields if field.fill or field.default is not None}


def _denied(collection: str, action: Action, given: Mapping[str, Any]) -> RecordForbidden:
    """Return a refusal that names the fields creators may not write, where there are some."""
    rule = creator_rule(collection, action)
    denied = [name for name in given if rule and rule.fields is not None and name not in rule.fields]
    if not denied:
        return forbidden(collection, action)
    return RecordForbidden(
        f"expected only fields of {collection} that you may {action}, got {', '.join(denied)}; leave them out",
        collection=collection,
        action=action,
    )
