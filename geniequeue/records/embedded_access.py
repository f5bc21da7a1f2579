"""Who asks, and what he may: the access rules of the schema, applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from geniequeue.errors import RecordForbidden
from geniequeue.records.definition import Action
from geniequeue.records.embedded_database import Database
from geniequeue.records.embedded_query import rule_clause
from geniequeue.records.embedded_sql import TRUE, Clause
from geniequeue.records.schema import creator_rule


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        user_id: the account; None for the service.
        unrestricted: the service, or an administrator.
    """

    user_id: str | None
    unrestricted: bool


SERVICE = Caller(user_id=None, unrestricted=True)


@dataclass(frozen=True)
class Permission:
    """What a caller may touch.

    Attributes:
        caller: who.
        where: the items, in SQL.
        fields: the fields; None for all.
    """

    caller: Caller
    where: Clause
    fields: frozenset[str] | None


class Access:
    """One caller's way into the database.

    Args:
        identify: says who asks, anew for each call; raises `RecordForbidden` where the token is not accepted.
    """

    def __init__(self, database: Database, identify: Callable[[], Caller]) -> None:
        self._database = database
        self._identify = identify

    def _permission(self, collection: str, action: Action) -> Permission:
        caller = self._identify()
        if caller.unrestricted:
            return Permission(caller, TRUE, None)
        rule = creator_rule(collection, action)
        if rule is None:
            raise forbidden(collection, action)
        fields = None if rule.fields is None else frozenset(rule.fields)
        return Permission(caller, rule_clause(rule.where, caller.user_id), fields)


def check_fields(permission: Permission, names: Iterable[str], collection: str, action: Action) -> None:
    """Refuse fields the caller may not write.

    Raises:
        RecordForbidden: names them.
    """
    denied = [] if permission.fields is None else [name for name in names if name not in permission.fields]
    if denied:
        raise RecordForbidden(
            f"expected only fields of {collection} that you may {action}, got {', '.join(denied)}; leave them out",
            collection=collection,
            action=action,
        )


def forbidden(collection: str, action: str) -> RecordForbidden:
    """Return the one answer for what is missing, hidden or not allowed."""
    return RecordForbidden(
        f"expected an item of {collection} that exists and that you may {action}, got none; check its id and its owner",
        collection=collection,
        action=action,
    )
