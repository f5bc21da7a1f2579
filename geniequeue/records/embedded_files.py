"""Files of the embedded store, for one caller: a record in the database, the content in a folder.

The record is what makes a file visible, and it is written when the content is complete and on disk. Content without a
record is what a crash left: it is invisible, the next upload under that id replaces it, and whoever deletes that file
removes it, though there is no record to delete.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import BinaryIO

from geniequeue.errors import RecordForbidden, RecordInvalid, RecordsUnavailable
from geniequeue.records.definition import Action
from geniequeue.records.embedded_access import Access, Caller, forbidden
from geniequeue.records.embedded_content import CHUNK_BYTES, ContentFolder
from geniequeue.records.embedded_database import Database, answering, not_unique
from geniequeue.records.embedded_sql import delete, has_id, insert, select
from geniequeue.records.embedded_tables import DIRECTUS_FILES, filled
from geniequeue.records.filenames import clean_filename, clean_media_type
from geniequeue.records.protocol import FileInfo
from geniequeue.records.values import check_value, normal_uuid

FILES = DIRECTUS_FILES.name
_COLUMNS = tuple(field.name for field in fields(FileInfo))


class FileAccess(Access):
    """The file half of `Records`; the docstrings of the protocol hold."""

    def __init__(self, database: Database, content: ContentFolder, identify: Callable[[], Caller]) -> None:
        super().__init__(database, identify)
        self._content = content

    def get_file(self, file_id: str) -> FileInfo:
        """Return a file's record."""
        return self._record(file_id, "read")

    def open_file(self, file_id: str) -> BinaryIO:
        """Open a file's content for streaming; the caller closes it and counts what it reads."""
        return self._open(self._record(file_id, "read"))

    def download(self, file_id: str, target: Path, *, max_bytes: int, size_bytes: int | None = None) -> None:
        """Stream a file's content to `target` (a new file) and check its length; the record is at hand anyway."""
        del size_bytes
        info = self._record(file_id, "read")
        if info.filesize > max_bytes:
            raise RecordInvalid(
                f"expected a file of up to {max_bytes} bytes, got {info.filesize}; use a smaller one",
                collection=FILES,
                action="read",
            )
        with self._open(info) as source, target.open("xb") as copy:
            try:
                _copy_exactly(source, copy, info.filesize)
            except BaseException:
                target.unlink()
                raise

    def location(self, file_id: str) -> str:
        """Return the path where a file's content is, or would be."""
        known = normal_uuid(file_id)
        if known is None:
            raise forbidden(FILES, "read")
        return str(self._content.path(known))

    def upload(
        self,
        source: Path,
        *,
        file_id: str,
        filename: str,
        mime: str,
        folder: str | None = None,
        owner_id: str | None = None,
    ) -> FileInfo:
        """Store `source` under a chosen id; raises `RecordNotUnique`."""
        permission = self._permission(FILES, "create")
        info = FileInfo(
            id=check_value(DIRECTUS_FILES, "id", file_id, "create"),
            filename_download=clean_filename(filename),
            type=clean_media_type(mime),
            filesize=0,
            uploaded_by=_owner(permission.caller, owner_id),
            folder=check_value(DIRECTUS_FILES, "folder", folder, "create"),
        )
        self._check_free(info.id)
        with source.open("rb") as content, answering(FILES, "create"), self._content.incoming(content) as part:
            info = replace(info, filesize=part.stat().st_size)
            with self._database.writing(FILES, "create") as connection:
                insert(FILES, filled(DIRECTUS_FILES, vars(info), None)).run(connection)
                if not select(FILES, ("id",), has_id(info.id), permission.where).run(connection).fetchall():
                    raise forbidden(FILES, "create")
                self._content.publish(part, info.id)
        return info

    def delete_file(self, file_id: str) -> None:
        """Delete a file and its content; what a crash left of one that has no record goes, too."""
        try:
            info = self._record(file_id, "delete")
        except RecordForbidden:
            self._discard_unrecorded(normal_uuid(file_id))
            raise
        with self._database.writing(FILES, "delete") as connection:
            if delete(FILES, has_id(info.id)).run(connection).rowcount == 0:
                raise forbidden(FILES, "delete")
        self._discard_unrecorded(info.id)

    def _discard_unrecorded(self, file_id: str | None) -> None:
        """Remove a content that no record names; an upload gives it its name and its record under the write lock."""
        if file_id is None:
            return
        with self._database.writing(FILES, "delete") as connection:
            if not select(FILES, ("id",), has_id(file_id)).run(connection).fetchall():
                self._content.discard(file_id)

    def _record(self, file_id: str, action: Action) -> FileInfo:
        permission = self._permission(FILES, action)
        wanted = select(FILES, _COLUMNS, has_id(normal_uuid(file_id)), permission.where)
        with self._database.reading(FILES, action) as connection:
            row = wanted.run(connection).fetchone()
        if row is None:
            raise forbidden(FILES, action)
        return FileInfo(*row)

    def _check_free(self, file_id: str) -> None:
        """Refuse a taken id before its content is copied; the insert decides."""
        with self._database.reading(FILES, "create") as connection:
            if select(FILES, ("id",), has_id(file_id)).run(connection).fetchone():
                raise not_unique(FILES)

    def _open(self, info: FileInfo) -> BinaryIO:
        try:
            with answering(FILES, "read"):
                return self._content.open(info.id)
        except RecordsUnavailable as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise forbidden(FILES, "read") from None
            raise


def _owner(caller: Caller, owner_id: str | None) -> str | None:
    owner: str | None = check_value(DIRECTUS_FILES, "uploaded_by", owner_id, "create")
    if caller.user_id is None or owner is None or owner == caller.user_id:
        return owner or caller.user_id
    raise RecordForbidden(
        "expected yourself as owner of the file, got somebody else; leave the owner out",
        collection=FILES,
        action="create",
    )


def _copy_exactly(source: BinaryIO, copy: BinaryIO, size_bytes: int) -> None:
    """Copy a content whose length is on record.

    Raises:
        RecordsUnavailable: it is shorter or longer.
    """
    left = size_bytes
    while chunk := _read(source):
        left -= len(chunk)
        if left < 0:
            break
        copy.write(chunk)
    if left:
        raise RecordsUnavailable(
            f"expected {size_bytes} bytes of content, got {'more' if left < 0 else size_bytes - left}; try again",
            collection=FILES,
            action="read",
        )


def _read(source: BinaryIO) -> bytes:
    with answering(FILES, "read"):
        return source.read(CHUNK_BYTES)
