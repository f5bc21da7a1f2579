"""Use the image library once on a picture of our own, so that the first real one does not pay for it."""

from __future__ import annotations

import os

import pyvips

from geniequeue.media import dress, text

# Their argument lists are looked up on first use.
_OPERATIONS = ("thumbnail", "thumbnail_image", "crop", "copy", "avg", "autorot", "icc_transform", "webpsave", "pngsave")
_SIDE_PX = 256


def warm_up() -> None:
    """Write a JPEG to memory, read it back and let the operations of a usual job be looked up."""
    for name in _OPERATIONS:
        pyvips.voperation.Introspect.get(name)
    descriptor = os.memfd_create("picture")
    try:
        path = f"/proc/self/fd/{descriptor}"
        picture = pyvips.Image.black(_SIDE_PX, _SIDE_PX, bands=3).copy(interpretation="srgb")
        picture.jpegsave(path, Q=85, keep="icc")
        pyvips.Image.jpegload(path, access="sequential", fail_on="error").avg()
    finally:
        os.close(descriptor)
    _draw()


def _draw() -> None:
    """Draw a mark, which loads the fonts and ImageMagick; text starts a thread, so never before a fork."""
    glyphs = text.draw_text("@ab1", "#ffffff", text.TextBox(64, 256, 64, 8.0))
    dress.outlined(glyphs.image, glyphs.font_px, "#ffffff")
