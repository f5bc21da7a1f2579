"""What the rights of the service's account are tried on: a probe item in each collection, and a probe file.

The id of each is always the same: what a killed run left behind is removed by the next.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from geniequeue.errors import RecordForbidden, RecordInvalid, RecordNotUnique
from geniequeue.records.definition import PRIMARY_KEY, Collection, Field
from geniequeue.records.directus import DirectusStore
from geniequeue.records.directus_http import Call, path_of
from geniequeue.records.directus_shapes import FILES, USERS
from geniequeue.records.values import normal_timestamp

_IDS = uuid.UUID("0f6c2d8e-52c5-4b7e-9d0a-3a8e5f1b7c66")
_WORD = "probe"
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)
"""A PNG of one grey pixel, for Directus looks into pictures."""


class Probe(Protocol):
    """Something in a collection that each right is tried on.

    Attributes:
        needs: collections that must have their probe before.
    """

    collection: str
    needs: frozenset[str]

    def create(self) -> None:
        """Make it."""

    def read(self) -> None:
        """Read it."""

    def update(self) -> None:
        """Change it."""

    def delete(self) -> None:
        """Remove it, if it is there, and make sure that it is gone."""


class ItemProbe:
    """An item with what it must have."""

    def __init__(self, store: DirectusStore, shape: Collection, account: str) -> None:
        self.collection = shape.name
        self._records = store.as_service()
        self._id = probe_id(shape.name)
        required = [field for field in shape.fields if field.required and field.name != PRIMARY_KEY]
        self.needs = frozenset(field.references for field in required if field.references) - {USERS}
        # A boolean is false: an open run would be taken for one that waits for a worker.
        filled = [*required, *(field for field in shape.fields if field.type == "boolean" or field.fill == "caller")]
        self._item = {PRIMARY_KEY: self._id} | {field.name: _value(field, account) for field in filled}
        self._last = shape.fields[-1].name

    def create(self) -> None:
        """Make it, in place of one that was left behind."""
        try:
            self._records.create_item(self.collection, self._item)
        except RecordNotUnique:
            self._records.delete_item(self.collection, self._id)
            self._records.create_item(self.collection, self._item)

    def read(self) -> None:
        """Read it."""
        self._records.get_item(self.collection, self._id)

    def update(self) -> None:
        """Write what it holds already."""
        held = self._records.get_item(self.collection, self._id, [self._last])
        self._records.update_item(self.collection, self._id, held)

    def delete(self) -> None:
        """Remove it, if it is there, and make sure that it is gone."""
        _remove(lambda: self._records.delete_item(self.collection, self._id), self.read)


class FileProbe:
    """A picture of one pixel."""

    collection = FILES
    needs: frozenset[str] = frozenset()

    def __init__(self, store: DirectusStore) -> None:
        self._store = store
        self._records = store.as_service()
        self._id = probe_id(FILES)

    def create(self) -> None:
        """Upload it, in place of one that was left behind."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / f"{_WORD}.png"
            source.write_bytes(PIXEL)
            try:
                self._upload(source)
            except RecordNotUnique:
                self._records.delete_file(self._id)
                self._upload(source)

    def read(self) -> None:
        """Download it."""
        with self._records.open_file(self._id) as content:
            if content.read() != PIXEL:
                raise RecordInvalid("expected the content that was stored, got another; check the storage of Directus")

    def update(self) -> None:
        """Write its title."""
        path = path_of("files", self._id, fields=PRIMARY_KEY)
        self._store.request(Call("PATCH", path, FILES, "update", {"title": _WORD}))

    def delete(self) -> None:
        """Remove it, if it is there, and make sure that it is gone."""
        _remove(lambda: self._records.delete_file(self._id), lambda: self._records.get_file(self._id))

    def _upload(self, source: Path) -> None:
        self._records.upload(source, file_id=self._id, filename=source.name, mime="image/png")


def probe_id(collection: str) -> str:
    """Return the id of a collection's probe."""
    return str(uuid.uuid5(_IDS, collection))


def _value(field: Field, account: str) -> Any:
    if field.fill == "caller" or field.references == USERS:
        return account
    if field.type == "uuid":
        return probe_id(field.references or field.name)
    values = {"json": {}, "boolean": False, "timestamp": normal_timestamp(datetime.now(UTC))}
    return values.get(field.type, _WORD if field.type in ("string", "text") else 0)


def _remove(delete: Callable[[], None], read: Callable[[], object]) -> None:
    with suppress(RecordForbidden):  # not there, or not allowed: which of them is seen now
        delete()
    try:
        read()
    except RecordForbidden:
        return
    raise RecordInvalid("expected it to be gone after deleting it, got it again; delete it by hand")
