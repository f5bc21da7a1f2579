"""Records that answer at once, from the memory of the process that asks: the path of a POST without a record store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from geniequeue.errors import RecordForbidden, RecordNotUnique
from geniequeue.records.protocol import FileInfo, Item, Records, User

OWNER_ID = "0d4f6a2e-3f6c-4c57-9f7e-2a1f6a0c9b11"


class MemoryRecords:
    """The record-store calls of a POST, each answered from this process's memory."""

    def __init__(self) -> None:
        self._runs: set[str] = set()

    def get_item(self, collection: str, item_id: str, fields: Sequence[str] | None = None) -> Item:
        """Return a job's item as the web app creates it; nothing else exists."""
        if collection != "media_jobs" or fields is None:
            raise RecordForbidden(collection)
        return {**dict.fromkeys(fields), "id": item_id, "user_created": OWNER_ID, "status": "queued"}

    def list_items(self, collection: str, *_: object, **__: object) -> list[Item]:
        """Return nothing: the creator has used nothing of his plan yet."""
        del collection
        return []

    def create_item(self, collection: str, data: Mapping[str, Any]) -> Item:
        """Keep the id alone, for it must be unique."""
        if data["id"] in self._runs:
            raise RecordNotUnique(collection)
        self._runs.add(data["id"])
        return dict(data)

    def update_item(self, collection: str, item_id: str, data: Mapping[str, Any]) -> Item:
        """Change nothing."""
        del collection
        return {"id": item_id, **data}

    def get_file(self, file_id: str) -> FileInfo:
        """Return a file of the caller."""
        return FileInfo(file_id, "picture.jpg", "image/jpeg", 1, OWNER_ID, None)

    def get_user(self, user_id: str) -> User:
        """Return an active account with an unlimited plan; what it uses is counted all the same."""
        return User(user_id, "active", False, "studio", None, None)


class MemoryStore:
    """The store around `MemoryRecords`."""

    def __init__(self) -> None:
        self._records = cast("Records", MemoryRecords())

    def as_service(self) -> Records:
        """Return the records."""
        return self._records

    def as_user(self, token: str) -> Records:
        """Return the same records."""
        del token
        return self._records

    def ping(self) -> None:
        """Answer."""
