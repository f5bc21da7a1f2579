"""What the system asks of the place where records and files live.

Shaped after the Directus REST API, because that is the production store; the embedded store behaves the same, and one
contract suite (`tests/contract/`) runs on both. Items are plain dicts of JSON values; times are ISO 8601 strings in
UTC with milliseconds and a trailing Z; ids are lower-case UUID strings.

Semantics a caller may rely on, on every store:
    - a missing item and one the caller may not see are the same `RecordForbidden`;
    - `create_item` with an id that exists raises `RecordNotUnique` and changes nothing: the only atomic claim there is;
    - `update_item` is not a compare-and-set; a JSON field is replaced whole;
    - `list_items` has no order unless `sort` gives one;
    - an unknown field raises `RecordInvalid`, a value of the wrong type too;
    - a file is complete or absent, and its content never changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

Item = dict[str, Any]
Filter = Mapping[str, Any]
"""`{"field": value}` for equality, `{"field": {"_in": [..]}}`, `_lt`, `_lte`, `_gt`, `_gte`, `_neq`, `_null`: bool."""


@dataclass(frozen=True)
class FileInfo:
    """A stored file's record.

    Attributes:
        id: UUID.
        filename_download: cleaned name for a download; never used as a path.
        type: media type as the uploader declared it; a hint, not a fact.
        filesize: bytes.
        uploaded_by: id of the owner, or None.
        folder: id of the folder, or None.
    """

    id: str
    filename_download: str
    type: str
    filesize: int
    uploaded_by: str | None
    folder: str | None


@dataclass(frozen=True)
class User:
    """An account.

    Attributes:
        id: UUID.
        status: `active`, `suspended`, `draft`, `invited` or `archived`; only `active` may come in.
        admin: whether the role of the account is an administrator's.
        subscription_tier, subscription_start, subscription_period: what the quota reads; None where never set.
    """

    id: str
    status: str
    admin: bool
    subscription_tier: str | None
    subscription_start: str | None
    subscription_period: str | None


class Records(Protocol):
    """The store as one caller sees it: the service, or one user by token.

    Every method raises `RecordsUnavailable` when the store does not answer, and `RecordForbidden` when the caller may
    not do it.
    """

    def get_item(self, collection: str, item_id: str, fields: Sequence[str] | None = None) -> Item:
        """Return one item, whole or only `fields`."""

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
        """Return the items that match all of `where`; `sort` names fields, `-field` for descending."""

    def count_items(self, collection: str, where: Filter | None = None) -> int:
        """Return how many items match and the caller may see."""

    def create_item(self, collection: str, data: Mapping[str, Any]) -> Item:
        """Create an item under the id in `data`, or a new one; raises `RecordNotUnique`."""

    def create_items(self, collection: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Create many items at once, all of them or none; of a collection that does not note who created an item.

        Raises:
            RecordNotUnique: one of the ids exists; also where an answer was lost and this very call had created them.
        """

    def update_item(self, collection: str, item_id: str, data: Mapping[str, Any]) -> Item:
        """Change the named fields of an existing item and return it."""

    def update_items(self, collection: str, item_ids: Sequence[str], data: Mapping[str, Any]) -> list[str]:
        """Change the named fields of many items alike; return the ids of those changed, in any order.

        Items that are not there are left out; one that the caller may not change has its like refused as well. Of many,
        some may be changed when this raises; doing it again is safe.
        """

    def delete_item(self, collection: str, item_id: str) -> None:
        """Delete an item that exists."""

    def get_file(self, file_id: str) -> FileInfo:
        """Return a file's record."""

    def open_file(self, file_id: str) -> BinaryIO:
        """Open a file's content for streaming; the caller closes it and counts what it reads."""

    def download(self, file_id: str, target: Path, *, max_bytes: int, size_bytes: int | None = None) -> None:
        """Stream a file's content to `target` (a new file) and check its length against the file's record.

        Args:
            size_bytes: what the record said when somebody looked before: where the content has that length, the store
                need not be asked again.

        Raises:
            RecordInvalid: the content is longer than `max_bytes`.
            RecordsUnavailable: cut off, or of another length than on record.
        """

    def location(self, file_id: str) -> str:
        """Return where a file's content is: an address below the store's, or the path of an embedded one."""

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
        """Store `source` under a chosen id.

        Args:
            owner_id: who shall own the file; only the service may name somebody else.

        Raises:
            RecordNotUnique: a file with this id exists; it is left as it is.
            RecordTooLarge: the store does not take a file of this size.
        """

    def delete_file(self, file_id: str) -> None:
        """Delete a file and its content."""

    def get_user(self, user_id: str) -> User:
        """Return an account; the service and the account itself may."""

    def me(self) -> User:
        """Return the caller's own account; raises `RecordForbidden` where the token is not accepted."""


class RecordStore(Protocol):
    """A store before anyone has said who they are."""

    def as_service(self) -> Records:
        """Return the store with the service's rights: everything the system needs."""

    def as_user(self, token: str) -> Records:
        """Return the store with the rights of whoever holds `token`."""

    def ping(self) -> None:
        """Raise `RecordsUnavailable` unless the store answers."""
