"""Files of Directus, for one caller.

Directus creates a file's record before its content has arrived and gives it a size when it has. An upload that was cut
off leaves such a record for ever, with a part of the content in the store's folder; so a record without a size is no
file here, and the next upload under its id removes both first: at once where this process left it, after
`ABANDONED_S` where somebody else did.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

from geniequeue.errors import RecordForbidden, RecordInvalid, RecordNotUnique, RecordsUnavailable
from geniequeue.records.definition import Action
from geniequeue.records.directus_caller import DirectusCaller
from geniequeue.records.directus_content import ContentReader, check_content_headers, copy_to
from geniequeue.records.directus_errors import TokenRefused, forbidden
from geniequeue.records.directus_http import Call, Deadline, DirectusHttp, path_of
from geniequeue.records.directus_shapes import FILE_FIELDS, FILES, file_of
from geniequeue.records.protocol import FileInfo
from geniequeue.records.values import normal_uuid

TRANSFER_S = 600.0
ABANDONED_S = 900.0
"""Longer than any upload may take, so that nobody is writing any more."""
TRIES = 3
PAUSE_MAX_S = 1.0


class FileAccess(DirectusCaller):
    """The file half of `Records` without upload; the docstrings of the protocol hold.

    Args:
        steward: the service, which sees and removes what a cut upload left; itself where the caller is the service.
    """

    def __init__(self, http: DirectusHttp, token: str, *, service: bool, steward: FileAccess | None = None) -> None:
        super().__init__(http, token, service=service)
        self._steward = steward or self

    def get_file(self, file_id: str) -> FileInfo:
        """Return a file's record."""
        info = file_of(self._record(file_id, FILE_FIELDS), "read")
        if info is None:
            raise forbidden(FILES, "read")
        return info

    def open_file(self, file_id: str) -> BinaryIO:
        """Open a file's content for streaming; the caller closes it and counts what it reads."""
        return self._open(self.get_file(file_id))

    def download(self, file_id: str, target: Path, *, max_bytes: int) -> FileInfo:
        """Stream a file's content to `target` (a new file) and check its length; tried again where it was cut off."""
        info = self.get_file(file_id)
        if info.filesize > max_bytes:
            raise RecordInvalid(
                f"expected a file of up to {max_bytes} bytes, got {info.filesize}; use a smaller one",
                collection=FILES,
                action="read",
            )
        deadline = Deadline(TRANSFER_S)
        for last in self._tries(deadline):
            try:
                copy_to(target, self._open(info), deadline)
                break
            except RecordsUnavailable:
                if last:
                    raise
        return info

    def location(self, file_id: str) -> str:
        """Return the address of a file's content; it asks for a token."""
        return self._http.url + path_of("assets", _key(file_id, "read"))

    def delete_file(self, file_id: str) -> None:
        """Delete a file and its content."""
        self._delete(path_of("files", _key(file_id, "delete")), FILES)

    def standing(self, file_id: str) -> Literal["absent", "half", "complete"]:
        """Return how far a file is."""
        record = self._record_or_none(file_id)
        if record is None:
            return "absent"
        return "half" if file_of(record, "create") is None else "complete"

    def size_after_cleaning(self, file_id: str, abandoned_s: float) -> int | None:
        """Return the size of a file, None where the id is free; one abandoned half-written is removed before.

        Raises:
            RecordNotUnique: somebody is uploading under this id.
        """
        record = self._record_or_none(file_id)
        if record is None:
            return None
        info = file_of(record, "create")
        if info is not None:
            return info.filesize
        if _age_s(record.get("created_on")) < abandoned_s:
            raise taken()
        self._remove_half(file_id, record)
        return None

    def _record_or_none(self, file_id: str) -> Any:
        try:
            return self._record(file_id, (*FILE_FIELDS, "created_on"))
        except TokenRefused:
            raise
        except RecordForbidden:
            return None

    def _record(self, file_id: str, fields: tuple[str, ...]) -> Any:
        path = path_of("files", _key(file_id, "read"), fields=",".join(fields))
        return self._json(Call("GET", path, FILES, "read"))

    def _open(self, info: FileInfo) -> BinaryIO:
        call = Call("GET", path_of("assets", info.id), FILES, "read")
        response = self._http.stream(self._checked_token(call), call)
        with self._token_checked(call):
            if response.status != 200:
                self._http.refuse(response, call)
        check_content_headers(response, info.filesize)
        return io.BufferedReader(ContentReader(response, info.filesize), 1 << 16)

    @contextmanager
    def _token_checked(self, call: Call) -> Iterator[None]:
        try:
            yield
        except TokenRefused as error:
            raise self._refused(error, call) from None

    def _tries(self, deadline: Deadline) -> Iterator[bool]:
        """Yield before each try, after a pause; True for the last."""
        for number in range(1, TRIES + 1):
            if number > 1:
                self._http.sleep(min(max(deadline.left_s, 0.0), random.uniform(0, PAUSE_MAX_S)))
            yield number == TRIES or deadline.left_s <= 0

    def _remove_half(self, file_id: str, record: Any) -> None:
        """Remove a half-written file: told its name first, Directus deletes the part of the content too.

        Without the name it answers 500, and deletes the record alone.
        """
        suffix = PurePosixPath(str(record.get("filename_download") or "")).suffix
        path = path_of("files", file_id)
        with suppress(RecordForbidden):
            self._json(Call("PATCH", path, FILES, "delete", {"filename_disk": file_id + suffix}))
            self._json(Call("DELETE", path, FILES, "delete"))


def _key(file_id: str, action: Action) -> str:
    key = normal_uuid(file_id)
    if key is None:
        raise forbidden(FILES, action)
    return key


def taken() -> RecordNotUnique:
    """Return the error for an id that a file, or an upload, has."""
    return RecordNotUnique(
        f"expected an unused id in {FILES}, got one that exists; use another", collection=FILES, action="create"
    )


def _age_s(created_on: Any) -> float:
    try:
        moment = datetime.fromisoformat(created_on)
    except (TypeError, ValueError):
        return 0.0
    return (datetime.now(UTC) - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))).total_seconds()
