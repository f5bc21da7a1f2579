"""What is kept of a marked asset, fetched for the sandbox; whoever needs it learns that it is lost."""

from __future__ import annotations

from pathlib import Path

from geniequeue.errors import RecordForbidden, ToolError
from geniequeue.log import get_logger
from geniequeue.marks.assets import Asset
from tasks.attempt import Attempt

MAX_PLANE_BYTES = 250_000_000

log = get_logger(__name__)


class AssetLost(ToolError):
    """What is kept of a marked asset is not as it was; `how` says it."""

    def __init__(self, how: str) -> None:
        log.error("what is kept of a marked asset is not as it was", how=how)
        message = f"What is kept of the marked asset is {how}, so nothing can be laid over it; the operators must look."
        super().__init__(message, reason="plane_lost")


def plane_of(attempt: Attempt, folder: Path, asset: Asset) -> Path:
    """Fetch the plane of an asset into the job's folder.

    Raises:
        AssetLost: it is gone.
    """
    return fetched(attempt, asset.plane_file_id, folder / "in" / "plane", MAX_PLANE_BYTES)


def original_of(attempt: Attempt, folder: Path, asset: Asset) -> Path:
    """Fetch a video itself, for its thumbnails only say where to look in it.

    Raises:
        AssetLost: it is gone.
    """
    return fetched(attempt, asset.file_id, folder / "in" / "original", attempt.services.settings.max_input_bytes)


def fetched(attempt: Attempt, file_id: str, path: Path, max_bytes: int) -> Path:
    """Fetch a file that must be there, in the place of an earlier one."""
    path.unlink(missing_ok=True)
    try:
        attempt.patiently(lambda: attempt.services.records.download(file_id, path, max_bytes=max_bytes))
    except RecordForbidden:
        raise AssetLost("gone") from None
    return path
