"""What is kept of an asset already, beside what a further copy of it is made of.

A trace lays leaks over what was kept with the first copy. So a further copy is proved with that one, and where the
picture or video marked now is another one than then, nothing is marked.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from geniequeue.errors import InputError, ToolError
from geniequeue.media import pixels
from geniequeue.media.decode import load
from geniequeue.sandbox.inside import Work

ROLE = "plane"
LEAST_SHARE = 0.6
"""Of the score that a copy has by its own plane, what it must have by the kept one.

Rounding that differs from one decoder to the next costs little, and so does a background that shines through evenly
(0.84). One behind half a picture costs half of the score, one behind a cut-out all of it.
"""
MOST_APART = 4.0
"""Mean difference of thumbnails, in steps of luma, up to which two decoders may see the same video."""


def plane_kept(work: Work) -> pixels.Bytes:
    """Decode the asset's luma: (h, w) uint8."""
    image = load(work.inputs[ROLE], work.limits, animated=False).image
    if image.bands != 1 or image.format != "uchar":
        raise ToolError("what is kept of the asset is not what it was; its operators have to look", reason="plane")
    return np.ascontiguousarray(image.numpy()).reshape(image.height, image.width)


def pictures_kept(path: Path) -> pixels.Bytes:
    """Read the thumbnails of a video: (n, h, w) uint8."""
    with np.load(path, allow_pickle=False) as kept:
        return np.asarray(kept["pictures"], np.uint8)


def sha256_of(values: pixels.Bytes) -> str:
    """Return the hash of pixels, row by row, as hex."""
    return hashlib.sha256(values.tobytes()).hexdigest()


def check_pictures(made: pixels.Bytes, kept: pixels.Bytes) -> None:
    """Refuse a video whose thumbnails are not those that are kept; a last one more or less is none of another video.

    Raises:
        InputError: reason `asset_changed`.
    """
    count = min(len(made), len(kept))
    if made.shape[1:] == kept.shape[1:] and abs(len(made) - len(kept)) <= 1 and count:
        apart = np.abs(made[:count].astype(np.int16) - kept[:count])
        if float(apart.mean()) <= MOST_APART:
            return
    message = "the video is not the one any more of which copies were marked before; upload it as a new file"
    raise InputError(message, reason="asset_changed")


def another_picture() -> InputError:
    """Return the refusal of a picture that is not the one that is kept."""
    message = (
        "the picture is not the one any more of which copies were marked before: its file was replaced, or background "
        "shows through it in another colour; send the background of those copies, or upload it as a new file"
    )
    return InputError(message, reason="asset_changed")
