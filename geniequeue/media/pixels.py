"""Between pictures of libvips and arrays of numpy."""

from __future__ import annotations

import numpy as np
import pyvips
from numpy.typing import NDArray

from geniequeue.media import colour

Bytes = NDArray[np.uint8]
PAPER = "#ffffff"


def rgb_of(image: pyvips.Image) -> Bytes:
    """Return one frame as it is seen on white: (H, W, 3) uint8, in the picture's own colour space."""
    image = colour.eight_or_sixteen(image)
    if image.hasalpha():
        image = colour.flattened(image, PAPER)
    if image.format == "ushort":
        image = (image >> 8).cast("uchar")
    image = image.bandjoin([image, image]) if image.bands == 1 else image
    return np.ascontiguousarray(image.numpy())


def changed(image: pyvips.Image, before: Bytes, after: Bytes) -> pyvips.Image:
    """Add the difference of two arrays to the colours of a picture, whatever its depth; transparency stays.

    Args:
        image: in colour, 8 or 16 bits a channel, with or without transparency, of the arrays' size.
        before, after: (H, W, 3) uint8.
    """
    if image.format == "uchar" and not image.hasalpha():
        return image.insert(pyvips.Image.new_from_array(after), 0, 0)  # which keeps the picture's profile
    step = 257 if image.format == "ushort" else 1
    difference = (after.astype(np.int16) - before) * np.int32(step) if step > 1 else after.astype(np.int16) - before
    colours = image.extract_band(0, n=3) + pyvips.Image.new_from_array(difference)
    # a cast to fewer bits clips, it does not wrap
    marked = colours.cast(image.format)
    return marked.bandjoin(image.extract_band(3)) if image.hasalpha() else marked


def grey(values: Bytes) -> pyvips.Image:
    """Return (h, w) uint8 as a picture."""
    return pyvips.Image.new_from_array(values).copy(interpretation="b-w")
