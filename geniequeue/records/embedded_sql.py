"""The statements of the embedded store: names come from the schema alone, every value is a parameter."""

# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Clause:
    """A piece of SQL with its parameters."""

    sql: str
    params: tuple[Any, ...] = ()

    def run(self, connection: sqlite3.Connection) -> sqlite3.Cursor:
        """Run it as a statement."""
        return connection.execute(self.sql, self.params)

    def then(self, more: str) -> Clause:
        """Return it with something behind it."""
        return Clause(self.sql + more, self.params)


TRUE = Clause("1")


def quoted(name: str) -> str:
    """Return a name of the schema as SQL identifier."""
    return f'"{name}"'


def has_id(item_id: str | None) -> Clause:
    """Return the condition for one item."""
    return Clause("id = ?", (item_id,))


def is_in(field: str, wanted: Clause) -> Clause:
    """Return the condition that `field` is among what `wanted` selects."""
    return Clause(f"{quoted(field)} IN ({wanted.sql})", wanted.params)


def joined(clauses: Sequence[Clause], word: str = "AND") -> Clause:
    """Join conditions; none at all is true."""
    if not clauses:
        return TRUE
    sql = f" {word} ".join(clause.sql for clause in clauses)
    return Clause(f"({sql})", tuple(param for clause in clauses for param in clause.params))


def select(table: str, names: Iterable[str], *where: Clause) -> Clause:
    """Return the statement that reads `names` of the rows that match."""
    condition = joined(where)
    return Clause(f"SELECT {_list(names)} FROM {quoted(table)} WHERE {condition.sql}", condition.params)


def count(table: str, *where: Clause) -> Clause:
    """Return the statement that counts the rows that match."""
    condition = joined(where)
    return Clause(f"SELECT count(*) FROM {quoted(table)} WHERE {condition.sql}", condition.params)


def insert(table: str, row: Mapping[str, Any]) -> Clause:
    """Return the statement that adds a row."""
    marks = ", ".join("?" * len(row))
    return Clause(f"INSERT INTO {quoted(table)} ({_list(row)}) VALUES ({marks})", tuple(row.values()))


def update(table: str, changes: Mapping[str, Any], *where: Clause) -> Clause:
    """Return the statement that changes the rows that match; without changes it only finds them."""
    condition = joined(where)
    assignments = ", ".join(f"{quoted(name)} = ?" for name in changes) or "id = id"
    return Clause(
        f"UPDATE {quoted(table)} SET {assignments} WHERE {condition.sql}", (*changes.values(), *condition.params)
    )


def delete(table: str, *where: Clause) -> Clause:
    """Return the statement that removes the rows that match."""
    condition = joined(where)
    return Clause(f"DELETE FROM {quoted(table)} WHERE {condition.sql}", condition.params)


def returning(names: Iterable[str]) -> str:
    """Return what makes a statement answer with the rows it wrote."""
    return f" RETURNING {_list(names)}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(quoted(name) for name in names)
