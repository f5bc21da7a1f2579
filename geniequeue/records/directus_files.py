"""Files of Directus, for one caller.

Directus creates a file's record before its content has arrived and gives it a size when it has. An upload that was cut
off leaves such a record for ever, with a part of the content in the store's folder; so a record without a size is no
file here, and the next upload under its id removes both first: at once where this process left it, after
`ABANDONED_S` where somebody else did. Asked for the content of such a record, Directus answers 500.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

from geniequeue.errors import RecordForbidden, RecordInvalid, RecordNotUnique, RecordsUnavailable, TokenRefused
from geniequeue.records.definition import PRIMARY_KEY, Action
from geniequeue.records.directus_caller import DirectusCaller
from geniequeue.records.directus_content import ContentReader, check_content_headers, copy_to
from geniequeue.records.directus_errors import forbidden, right_missing
from geniequeue.records.directus_http import Call, Deadline, DirectusHttp, path_of
from geniequeue.records.directus_shapes import FILE_FIELDS, FILES, file_of
from geniequeue.records.protocol import FileInfo
from geniequeue.records.service_token import TokenSource
from geniequeue.records.values import normal_uuid

TRANSFER_S = 600.0
ABANDONED_S = 900.0
"""Longer than any upload may take, so that nobody is writing any more."""
SKEW_S = 60.0
"""How far the clock of Directus may be from ours when it is told whose a half-written file is."""
TRIES = 3
PAUSE_MAX_S = 1.0


class FileAccess(DirectusCaller):
    """The file half of `Records` without upload; the docstrings of the protocol hold.

    Args:
        steward: the service, which sees and removes what a cut upload left; itself where the caller is the service.
    """

    def __init__(
        self, http: DirectusHttp, token: TokenSource, *, service: bool, steward: FileAccess | None = None
    ) -> None:
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
        return self._open(file_id, self.get_file(file_id).filesize)

    def download(self, file_id: str, target: Path, *, max_bytes: int, size_bytes: int | None = None) -> None:
        """Stream a file's content to `target` (a new file) and check its length; tried again where it was cut off.

        A content of another length than `size_bytes` is put to the record: the file may have been replaced since.
        """
        deadline, expected = Deadline(TRANSFER_S), size_bytes
        for last in self._tries(deadline):
            if expected is None:
                expected = self.get_file(file_id).filesize
            _check_size(expected, max_bytes)
            try:
                copy_to(target, self._open(file_id, expected), deadline)
                return
            except RecordsUnavailable:
                if last:
                    raise
                expected = None

    def location(self, file_id: str) -> str:
        """Return the address of a file's content; it asks for a token."""
        return self._http.url + path_of("assets", _key(file_id, "read"))

    def delete_file(self, file_id: str) -> None:
        """Delete a file and its content; the service also what is left of a cut upload."""
        path = path_of("files", _key(file_id, "delete"))
        if not self._service:
            return self._delete(path, FILES)
        record = self._record(file_id, FILE_FIELDS)
        if file_of(record, "delete") is None:
            return self._remove_half(file_id, record)
        return self._delete_what_is_there(path, FILES)

    def standing(self, file_id: str) -> Literal["absent", "half", "complete"]:
        """Return how far a file is."""
        record = self._record_or_none(file_id)
        if record is None:
            return "absent"
        return "half" if file_of(record, "create") is None else "complete"

    def size_after_cleaning(self, file_id: str, own_s: float = 0.0) -> int | None:
        """Return the size of a file, None where the id is free; one that was left half-written is removed before.

        Args:
            own_s: for how long the caller has tried to upload under this id: what is half and not older is his own.

        Raises:
            RecordNotUnique: somebody else is uploading under this id.
        """
        record = self._record_or_none(file_id)
        if record is None:
            return None
        info = file_of(record, "create")
        if info is not None:
            return info.filesize
        age_s = _age_s(record.get("created_on"))
        if age_s < ABANDONED_S and not (own_s and age_s < own_s + SKEW_S):
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

    def _open(self, file_id: str, size_bytes: int) -> BinaryIO:
        call = Call("GET", path_of("assets", _key(file_id, "read")), FILES, "read")
        try:
            with self._sending(call) as token:
                response = self._http.stream(token, call)
                if response.status != 200:
                    self._http.refuse(response, call)
        except TokenRefused:
            raise
        except RecordForbidden:
            self._check_right()
            raise
        check_content_headers(response, size_bytes)
        return io.BufferedReader(ContentReader(response, size_bytes), 1 << 16)

    def _check_right(self) -> None:
        """Raise `RightMissing` where it is the service that may not read files at all."""
        if not self._service:
            return
        try:
            self._json(Call("GET", path_of("files", fields=PRIMARY_KEY, limit=1), FILES, "read"))
        except RecordForbidden:
            raise right_missing(FILES, "read") from None

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


def _check_size(size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise RecordInvalid(
            f"expected a file of up to {max_bytes} bytes, got {size_bytes}; use a smaller one",
            collection=FILES,
            action="read",
        )


def _age_s(created_on: Any) -> float:
    try:
        moment = datetime.fromisoformat(created_on)
    except (TypeError, ValueError):
        return 0.0
    return (datetime.now(UTC) - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))).total_seconds()
