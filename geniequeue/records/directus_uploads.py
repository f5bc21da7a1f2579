"""Uploads to Directus: under a chosen id, never over another file, whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from geniequeue.errors import RecordForbidden, RecordInvalid, RecordNotUnique, RecordsUnavailable
from geniequeue.records.definition import Collection, Field
from geniequeue.records.directus_content import Multipart
from geniequeue.records.directus_errors import ValuesRefused, forbidden, unavailable
from geniequeue.records.directus_files import ABANDONED_S, TRANSFER_S, FileAccess, taken
from geniequeue.records.directus_http import Call, Deadline, path_of
from geniequeue.records.directus_shapes import FILE_FIELDS, FILES, USERS, file_of, id_of
from geniequeue.records.filenames import clean_filename, clean_media_type
from geniequeue.records.protocol import FileInfo
from geniequeue.records.values import check_value

SETTLE_S = (0.2, 0.5, 1.0, 2.0)
"""How long Directus is given to finish with an upload that brought no answer."""

_SHAPE = Collection(
    FILES, "what an upload names", tuple(Field(name, "uuid") for name in ("id", "folder", "uploaded_by"))
)


class UploadAccess(FileAccess):
    """The file half of `Records`, whole."""

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

        Directus names the caller as owner, whatever the upload says, so the service names the real one afterwards;
        without `owner_id` the service's own account stays the owner.
        """
        key = check_value(_SHAPE, "id", file_id, "create")
        owner = check_value(_SHAPE, "uploaded_by", owner_id, "create")
        into = check_value(_SHAPE, "folder", folder, "create")
        self._check_owner(owner)
        if self._steward.size_after_cleaning(key, ABANDONED_S) is not None:
            raise taken()
        fields = {"id": key} | ({"folder": into} if into else {})
        form = Multipart(fields, source, clean_filename(filename), clean_media_type(mime))
        info = self._sent(form, source, key)
        if not self._service or owner is None or owner == info.uploaded_by:
            return info
        return self._give_to(info, owner)

    def _sent(self, form: Multipart, source: Path, key: str) -> FileInfo:
        """Send a form until it has arrived whole; a source that can be read only once is sent once.

        After a cut, the record of the try before may appear at any time, so that a refusal because the id exists is
        no proof that somebody else took it.
        """
        call = Call("POST", path_of("files", fields=",".join(FILE_FIELDS)), FILES, "create", repeatable=False)
        deadline, was_cut = Deadline(TRANSFER_S), False
        for last in self._tries(deadline):
            try:
                return self._send_once(form, source, key, call, deadline)
            except (RecordsUnavailable, RecordNotUnique) as error:
                if isinstance(error, RecordNotUnique) and not was_cut:
                    raise
                was_cut = True
                if self._arrived(form, source, key):
                    return self._steward.get_file(key)
                if last or not source.is_file():
                    raise unavailable(FILES, "create", "an upload cut off") from error
        raise unavailable(FILES, "create", "no answer in time")

    def _arrived(self, form: Multipart, source: Path, key: str) -> bool:
        """Say whether a content whose upload brought no answer is whole; remove what is half.

        Directus may still be busy with what it got: a record appears late, and gets its size later.

        Raises:
            RecordNotUnique: another file stands there.
        """
        whole = source.is_file() and form.sent_bytes == source.stat().st_size
        for pause_s in SETTLE_S if form.sent_bytes else ():
            state = self._steward.standing(key)
            if state == "complete" or (state == "half" and not whole):
                break
            self._http.sleep(pause_s)
        size_bytes = self._steward.size_after_cleaning(key, 0.0)
        if size_bytes not in (None, form.sent_bytes if whole else None):
            raise taken()
        return size_bytes is not None

    def _send_once(self, form: Multipart, source: Path, key: str, call: Call, deadline: Deadline) -> FileInfo:
        with source.open("rb") as content:
            body = form.chunks(content, deadline)
            response = self._http.stream(self._checked_token(call), call, body=body, headers=form.headers())
        with self._token_checked(call):
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

    def _refuse_upload(self, response: Any, call: Call) -> None:
        if response.status in (408, 413):
            response.close()
            raise RecordInvalid(
                "expected Directus to take the whole file, got a refusal of its size or duration; "
                "raise FILES_MAX_UPLOAD_SIZE, or the limit of the proxy before it",
                collection=FILES,
                action="create",
            )
        try:
            self._http.refuse(response, call)
        except ValuesRefused:
            if self._service:
                raise
            raise forbidden(FILES, "create") from None

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
