"""Uploads to Directus: under a chosen id, never over another file, whole or not at all."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import urllib3

from geniequeue.errors import (
    RecordForbidden,
    RecordInvalid,
    RecordNotUnique,
    RecordsUnavailable,
    RecordTooLarge,
    TokenRefused,
)
from geniequeue.records.definition import Collection, Field
from geniequeue.records.directus_content import CHUNK_BYTES, Multipart
from geniequeue.records.directus_errors import ValuesRefused, forbidden, right_missing, unavailable
from geniequeue.records.directus_files import TRANSFER_S, FileAccess, taken
from geniequeue.records.directus_http import Call, Deadline, DirectusHttp, path_of
from geniequeue.records.directus_shapes import FILE_FIELDS, FILES, USERS, file_of, id_of
from geniequeue.records.filenames import clean_filename, clean_media_type
from geniequeue.records.protocol import FileInfo
from geniequeue.records.service_token import TokenSource
from geniequeue.records.values import check_value

SETTLE_S = (0.2, 0.5, 1.0, 2.0)
"""How long Directus is given to finish with an upload that brought no answer."""

_SHAPE = Collection(
    FILES, "what an upload names", tuple(Field(name, "uuid") for name in ("id", "folder", "uploaded_by"))
)


class UploadAccess(FileAccess):
    """The file half of `Records`, whole."""

    def __init__(
        self, http: DirectusHttp, token: TokenSource, *, service: bool, steward: FileAccess | None = None
    ) -> None:
        super().__init__(http, token, service=service, steward=steward)
        # ids whose upload is not known to be whole, with the monotonic time when the first try began
        self._cut: dict[str, float] = {}

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
        """Store `source` under a chosen id; raises `RecordNotUnique`.

        Nobody looks first whether the id is free, for Directus refuses one that is not. It makes the caller the owner
        while the content comes and takes the owner of the form when it is there; where it does not, the service names
        the real one afterwards. Without `owner_id` the service's own account stays the owner.
        """
        key = check_value(_SHAPE, "id", file_id, "create")
        owner = check_value(_SHAPE, "uploaded_by", owner_id, "create")
        into = check_value(_SHAPE, "folder", folder, "create")
        self._check_owner(owner)
        named = {"id": key, "folder": into, "uploaded_by": owner if self._service else None}
        fields = {name: value for name, value in named.items() if value}
        info = self._sent(Multipart(fields, source, clean_filename(filename), clean_media_type(mime)), source, key)
        if self._service and owner is not None and owner != info.uploaded_by:
            self._cut.setdefault(key, time.monotonic())
            info = self._give_to(info, owner)
        self._cut.pop(key, None)
        return info

    def _sent(self, form: Multipart, source: Path, key: str) -> FileInfo:
        """Send a form until it has arrived whole; a source that can be read only once is sent once.

        After a cut, the record of the try before may appear at any time, so that a refusal because the id exists is
        no proof that somebody else took it.
        """
        call = Call("POST", path_of("files", fields=",".join(FILE_FIELDS)), FILES, "create", repeatable=False)
        deadline, began = Deadline(TRANSFER_S), time.monotonic()
        for last in self._tries(deadline):
            try:
                return self._send_once(form, source, key, call, deadline)
            except RecordInvalid:
                # an owner that is not there is noticed when the content is, and half a file is left
                self._cut.setdefault(key, began)
                self._steward.size_after_cleaning(key, time.monotonic() - began)
                raise
            except (RecordsUnavailable, RecordNotUnique) as error:
                if isinstance(error, RecordsUnavailable):
                    self._cut.setdefault(key, began)
                if self._stands(form, source, key):
                    return self._steward.get_file(key)
                if last or not source.is_file():
                    raise unavailable(FILES, "create", "an upload cut off") from error
        raise unavailable(FILES, "create", "no answer in time")

    def _stands(self, form: Multipart, source: Path, key: str) -> bool:
        """Say whether the content stands under its id after a try that was refused or brought no answer.

        What is half is removed where this process left it, or where it was abandoned.

        Raises:
            RecordNotUnique: another file stands there, or somebody else is uploading one.
        """
        began = self._cut.get(key)
        if began is None:
            if self._steward.size_after_cleaning(key) is not None:
                raise taken()
            return False
        self._let_settle(form, source, key)
        size_bytes = self._steward.size_after_cleaning(key, time.monotonic() - began)
        if size_bytes is None:
            return False
        if not source.is_file() or size_bytes != source.stat().st_size or not self._holds(key, source, size_bytes):
            raise taken()
        return True

    def _let_settle(self, form: Multipart, source: Path, key: str) -> None:
        """Wait while Directus may be busy with what it got: a record appears late, and gets its size later."""
        whole = source.is_file() and form.sent_bytes == source.stat().st_size
        for pause_s in SETTLE_S if form.sent_bytes else ():
            state = self._steward.standing(key)
            if state == "complete" or (state == "half" and not whole):
                return
            self._http.sleep(pause_s)

    def _holds(self, key: str, source: Path, size_bytes: int) -> bool:
        """Say whether the file under an id has the content of `source`, which is as long."""
        with self._steward._open(key, size_bytes) as stored, source.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                if stored.read(len(chunk)) != chunk:
                    return False
        return True

    def _send_once(self, form: Multipart, source: Path, key: str, call: Call, deadline: Deadline) -> FileInfo:
        with self._sending(call) as token:
            with source.open("rb") as content:
                response = self._http.stream(token, call, body=form.chunks(content, deadline), headers=form.headers())
            if not 200 <= response.status < 300:
                self._refuse_upload(response, call)
        answer = self._http.data(response, call)
        info = self._steward.get_file(key) if answer is None else file_of(answer, "create")
        if info is None or info.id != key:
            raise unavailable(FILES, "create", "the record of another file")
        if info.filesize != form.sent_bytes:
            self._steward.delete_file(key)
            raise unavailable(FILES, "create", f"{info.filesize} bytes kept of {form.sent_bytes}")
        return info

    def _refuse_upload(self, response: urllib3.BaseHTTPResponse, call: Call) -> None:
        if response.status in (408, 413):
            response.close()
            raise RecordTooLarge(
                "expected Directus to take the whole file, got a refusal of its size or duration; "
                "raise FILES_MAX_UPLOAD_SIZE, or the limit of the proxy before it",
                collection=FILES,
                action="create",
            )
        try:
            self._http.refuse(response, call)
        except TokenRefused:
            raise
        except ValuesRefused:
            if self._service:
                raise
            raise forbidden(FILES, "create") from None
        except RecordForbidden:
            raise right_missing(FILES, "create") if self._service else forbidden(FILES, "create") from None

    def _give_to(self, info: FileInfo, owner: str) -> FileInfo:
        path = path_of("files", info.id, fields="id,uploaded_by")
        answer = self._json(Call("PATCH", path, FILES, "update", {"uploaded_by": owner}))
        if id_of(answer, FILES, "update") != info.id or answer.get("uploaded_by") != owner:
            raise unavailable(FILES, "update", "another owner than was set")
        return replace(info, uploaded_by=owner)

    def _check_owner(self, owner: str | None) -> None:
        if self._service or owner is None:
            return
        call = Call("GET", path_of("users", "me", fields="id"), USERS, "read")
        if id_of(self._json(call), USERS, "read") != owner:
            raise RecordForbidden(
                "expected yourself as owner of the file, got somebody else; leave the owner out",
                collection=FILES,
                action="create",
            )
