"""What is kept of an asset, so that a leak can be laid over it: a small picture of its luma, and its size.

The picture is a file of the asset's owner, kept once for each asset, whatever becomes of the asset's own file.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from geniequeue.errors import RecordForbidden, RecordNotUnique
from geniequeue.records.protocol import Item, Records

ASSETS = "watermark_assets"
AT_ONCE = 50
PLANE_VERSION = 1

_NAMESPACE = uuid.UUID("3d5a1a0e-0a3f-5a55-8d2c-7f0f4d9b6a21")


def asset_id_of(asset_file_id: str) -> str:
    """Return the id of what is kept of a file."""
    return str(uuid.uuid5(_NAMESPACE, f"asset:{asset_file_id}"))


def plane_file_id_of(secret: str, asset_file_id: str, plane_sha256: str) -> str:
    """Return the id of the file with an asset's luma.

    Args:
        secret: keeps others from taking the id first; users may choose the ids of their files.
        plane_sha256: of the luma, so that what a job left that died before the row is in nobody's way.
    """
    return _file_id_of(secret, f"plane:{asset_file_id}:{plane_sha256}")


def teaser_file_id_of(secret: str, job_id: str) -> str:
    """Return the id of the file with the unmarked teaser of a job, which its marked one is laid over."""
    return _file_id_of(secret, f"plane:teaser {job_id}")


def _file_id_of(secret: str, name: str) -> str:
    digest = hmac.digest(secret.encode(), name.encode(), "sha256")
    return str(uuid.UUID(bytes=digest[:16], version=5))


@dataclass(frozen=True)
class Asset:
    """What is kept of an asset.

    Attributes:
        file_id: what was marked.
        owner_id: of the job that marked it first.
        plane_file_id: the stored luma.
        plane_sha256: of the luma's pixels, row by row.
        width_px, height_px: of the asset, upright.
    """

    file_id: str
    owner_id: str
    plane_file_id: str
    plane_sha256: str
    width_px: int
    height_px: int
    kind: str = "picture"
    version: int = PLANE_VERSION

    def as_row(self) -> dict[str, Any]:
        """Return the row."""
        members = dict(vars(self))
        return {"id": asset_id_of(self.file_id), "asset_file_id": members.pop("file_id"), **members}

    @classmethod
    def from_row(cls, row: Item) -> Asset:
        """Read the row back."""
        members = {name: row[name] for name in cls.__dataclass_fields__ if name in row}
        return cls(file_id=row["asset_file_id"], **members)


class Assets:
    """The assets on record.

    Args:
        service: records with the service's rights.
    """

    def __init__(self, service: Records) -> None:
        self._service = service

    def get(self, asset_file_id: str) -> Asset | None:
        """Return what is kept of a file, None where no copy of it was ever marked."""
        try:
            return Asset.from_row(self._service.get_item(ASSETS, asset_id_of(asset_file_id)))
        except RecordForbidden:
            return None

    def record(self, asset: Asset) -> Asset:
        """Put an asset on record, and return what stands there; its file must be stored already."""
        try:
            self._service.create_item(ASSETS, asset.as_row())
        except RecordNotUnique:
            return self.get(asset.file_id) or asset
        return asset

    def count(self) -> int:
        """Return how many assets there are."""
        return self._service.count_items(ASSETS)

    def newest_first(self) -> Iterator[Asset]:
        """Yield everybody's assets."""
        seen = 0
        while True:
            rows = self._service.list_items(ASSETS, sort=("-created_at", "id"), limit=AT_ONCE, offset=seen)
            yield from map(Asset.from_row, rows)
            seen += len(rows)
            if len(rows) < AT_ONCE:
                return
