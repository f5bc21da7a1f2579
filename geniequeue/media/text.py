"""Draw text in any script, emoji included, as a small RGBA picture.

Pango shapes the text: font fallback, right-to-left order, ligatures and colour emoji come from there. What the sender
wrote is escaped, so markup, format strings and file references in it are nothing but characters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import pyvips

from geniequeue.errors import InputError

FONT = "Noto Sans Bold"
_REFERENCE_PX = 32.0
_WIDEST_GLYPH_SHARE = 0.4
_WRAP_STEP = 1.5
_WRAPPED_HEIGHT_SHARE = 0.6


@dataclass(frozen=True)
class TextBox:
    """The room a text has.

    Attributes:
        width_px: wished width of the text, at least 1.
        max_width_px, max_height_px: what it never exceeds, at least 1.
        min_font_px: smallest font size that reads well; smaller only where the room forces it.
        align: side that the lines of a wrapped text keep to: low (left), centre or high (right).
    """

    width_px: int
    max_width_px: int
    max_height_px: int
    min_font_px: float
    align: str = "centre"


@dataclass(frozen=True)
class Glyphs:
    """Drawn text.

    Attributes:
        image: RGBA, uchar, sRGB, straight alpha; cropped to its ink.
        font_px: font size it was drawn with.
    """

    image: pyvips.Image
    font_px: float


def draw_text(text: str, colour: str, box: TextBox) -> Glyphs:
    """Draw `text` as wide as the box wishes; wrap it, then shrink it, where that would be too small to read.

    Args:
        colour: `#rgb` or `#rrggbb`; emoji keep their own colours.

    Raises:
        InputError: the text has no visible character.
    """
    natural = _render(text, colour, _REFERENCE_PX, box.align)
    font_px = min(_REFERENCE_PX * box.width_px / natural.width, _WIDEST_GLYPH_SHARE * box.width_px)
    if font_px >= box.min_font_px:
        glyphs = Glyphs(_render(text, colour, font_px, box.align), font_px)
    else:
        glyphs = _wrapped(text, colour, box)
    return _shrunk_to(glyphs, box)


def _wrapped(text: str, colour: str, box: TextBox) -> Glyphs:
    """Wrap at the smallest readable font, in lines as wide as it takes to stay wider than tall."""
    width_px = float(box.width_px)
    while True:
        width_px = min(width_px, box.max_width_px)
        image = _render(text, colour, box.min_font_px, box.align, wrap_px=max(1, int(width_px)))
        if width_px >= box.max_width_px or image.height <= _WRAPPED_HEIGHT_SHARE * image.width:
            return Glyphs(image, box.min_font_px)
        width_px *= _WRAP_STEP


def _shrunk_to(glyphs: Glyphs, box: TextBox) -> Glyphs:
    image = glyphs.image
    share = min(box.max_width_px / image.width, box.max_height_px / image.height)
    if share >= 1:
        return glyphs
    size = {"height": max(1, int(image.height * share)), "size": "force"}
    smaller = image.thumbnail_image(max(1, int(image.width * share)), **size).copy_memory()
    return Glyphs(smaller, glyphs.font_px * share)


def _render(text: str, colour: str, font_px: float, align: str, *, wrap_px: int | None = None) -> pyvips.Image:
    markup = f'<span foreground="{colour}">{escape(text)}</span>'
    options: dict[str, Any] = {"width": wrap_px, "wrap": "word-char"} if wrap_px else {}
    try:
        image = pyvips.Image.text(
            markup, font=f"{FONT} {max(1.0, font_px):.2f}", dpi=72, align=align, rgba=True, **options
        )
        return image.copy_memory()
    except pyvips.Error as error:
        message = "expected text that shows, got none that can be drawn; write at least one visible character"
        raise InputError(message, reason="invisible_text") from error
