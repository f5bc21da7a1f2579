"""A contact sheet: pictures before and after, side by side, with captions.

Called inside the sandbox as `function(work)`. `params`: `title`, `subtitle`, and `cards`, each with `title` and the
panels `before` and `after`; a panel has a `caption` and either `picture`, the role of an input, or `text`, in red with
`alarm`. Of a video four frames are shown. The facts of the output say under `pictures` what each input was found to be,
so that the sheet is a second opinion too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

import pyvips

from geniequeue.errors import InputError, ToolError
from geniequeue.media import clip, colour, footage
from geniequeue.media.decode import load
from geniequeue.media.stills import stills
from geniequeue.sandbox.inside import Output, Work

PANEL_PX = (440, 300)
PAD_PX, GAP_PX = 20, 16
TITLE_PX, CAPTION_PX = 36, 38
CARD_PX = (2 * PANEL_PX[0] + 2 * PAD_PX + GAP_PX, PANEL_PX[1] + 2 * PAD_PX + TITLE_PX + CAPTION_PX)
HEADER_PX = 96
COLUMNS = 2
PAPER, CARD, FRAME = (236, 238, 241), (255, 255, 255), (246, 247, 249)
INK, FAINT, ALARM = "#1d2430", "#667085", "#b42318"
# Drawn all but invisibly behind each line, so that all lines are as high and keep one baseline.
STRUT = '<span alpha="1"> |Ég</span>'
FRAMES_GAP_PX = 4
CHECKS, CHECK_PX = ((255, 255, 255), (214, 218, 224)), 12


def contact_sheet(work: Work) -> list[Output]:
    """Draw the cards in a grid, under a header, as one PNG."""
    params = work.params
    found = {role: _facts(work, role) for role in work.inputs}
    cards = [_card(work, card) for card in params["cards"]]
    rows = -(-len(cards) // COLUMNS)
    width_px = COLUMNS * (CARD_PX[0] + PAD_PX) + PAD_PX
    height_px = HEADER_PX + rows * (CARD_PX[1] + PAD_PX)
    sheet = plain(width_px, height_px, PAPER)
    sheet = written(sheet, str(params["title"]), (PAD_PX + 4, 20), 30, INK, bold=True)
    sheet = written(sheet, str(params["subtitle"]), (PAD_PX + 4, 62), 17, FAINT)
    for number, card in enumerate(cards):
        row, column = divmod(number, COLUMNS)
        left_px = PAD_PX + column * (CARD_PX[0] + PAD_PX)
        sheet = sheet.insert(card, left_px, HEADER_PX + row * (CARD_PX[1] + PAD_PX))
        work.report((number + 1) / len(cards))
    sheet.copy_memory().pngsave(str(work.out_dir / "contact-sheet.png"), compression=6)
    return [Output("contact-sheet.png", "image/png", width_px, height_px, facts={"pictures": found})]


def _facts(work: Work, role: str) -> dict[str, Any]:
    """Say what an input is by its content; nothing where it cannot be decoded to the last pixel."""
    if footage.is_footage(work.inputs[role]):
        return dict(clip.probe(work.inputs[role], work.limits).facts)
    try:
        picture = load(work.inputs[role], work.limits, animated=False)
        picture.image.avg()
    except (InputError, ToolError, pyvips.Error):
        return {}
    return dict(picture.facts)


def _card(work: Work, card: Mapping[str, Any]) -> pyvips.Image:
    image = plain(*CARD_PX, CARD)
    image = written(image, str(card["title"]), (PAD_PX, PAD_PX - 4), 20, INK, bold=True)
    for number, panel in enumerate((card["before"], card["after"])):
        left_px, top_px = PAD_PX + number * (PANEL_PX[0] + GAP_PX), PAD_PX + TITLE_PX
        image = image.insert(_panel(work, panel), left_px, top_px)
        image = written(image, str(panel["caption"]), (left_px, top_px + PANEL_PX[1] + 10), 16, FAINT)
    return image.copy_memory()


def _panel(work: Work, panel: Mapping[str, Any]) -> pyvips.Image:
    """Draw a picture, or a text in its place, in the middle of a frame."""
    frame = plain(*PANEL_PX, FRAME)
    if panel.get("picture"):
        try:
            picture = _preview(work, str(panel["picture"]))
        except (InputError, ToolError):
            return _note(frame, "no preview: the file cannot be decoded", FAINT)
        left_px, top_px = (PANEL_PX[0] - picture.width) // 2, (PANEL_PX[1] - picture.height) // 2
        return frame.insert(picture, left_px, top_px).copy_memory()
    return _note(frame, str(panel.get("text", "")), ALARM if panel.get("alarm") else FAINT)


def _note(frame: pyvips.Image, text: str, ink: str) -> pyvips.Image:
    glyphs = _glyphs(text, 20, ink, width_px=PANEL_PX[0] - 4 * PAD_PX)
    place = max(0, (PANEL_PX[0] - glyphs.width) // 2), max(0, (PANEL_PX[1] - glyphs.height) // 2)
    return frame.composite2(glyphs, "over", x=place[0], y=place[1]).flatten().copy_memory()


def _preview(work: Work, role: str) -> pyvips.Image:
    return _frames(work, role) if footage.is_footage(work.inputs[role]) else _thumbnail(work, role)


def _frames(work: Work, role: str) -> pyvips.Image:
    """Decode frames of a video and lay them out in a square, the first one at its upper left."""
    box = tuple((side - FRAMES_GAP_PX) // 2 for side in PANEL_PX)
    frames = stills(clip.probe(work.inputs[role], work.limits), 4, (box[0], box[1]), work.out_dir)
    return pyvips.Image.arrayjoin(frames, across=2, shim=FRAMES_GAP_PX, background=list(FRAME)).copy_memory()


def _thumbnail(work: Work, role: str) -> pyvips.Image:
    """Decode a picture as large as the panel allows; what is transparent shows a checkerboard."""
    picture = load(work.inputs[role], work.limits, shrink_to=_fitted, animated=False)
    image = colour.for_target(picture.image, "gif").colourspace("srgb")
    if image.hasalpha():
        board = _checkerboard(image.width, image.height)
        image = board.composite2(image, "over").flatten()
    return image.cast("uchar").copy_memory()


def _fitted(width_px: int, height_px: int) -> tuple[int, int]:
    """Fit into the panel without enlarging."""
    share = min(1.0, PANEL_PX[0] / width_px, PANEL_PX[1] / height_px)
    return max(1, round(width_px * share)), max(1, round(height_px * share))


def _checkerboard(width_px: int, height_px: int) -> pyvips.Image:
    places = pyvips.Image.xyz(width_px, height_px) / CHECK_PX
    odd = (places[0].floor() + places[1].floor()) % 2 == 1
    return odd.ifthenelse(list(CHECKS[1]), list(CHECKS[0])).cast("uchar").copy(interpretation="srgb")


def plain(width_px: int, height_px: int, rgb: Sequence[int]) -> pyvips.Image:
    """Return an sRGB picture of one colour, 0 to 255 each."""
    return (
        pyvips.Image.black(width_px, height_px, bands=3).linear(1, list(rgb)).cast("uchar").copy(interpretation="srgb")
    )


def written(
    image: pyvips.Image, text: str, place: tuple[int, int], font_px: int, ink: str, *, bold: bool = False
) -> pyvips.Image:
    """Write one line, cut off at the right edge of the picture."""
    if not text.strip():
        return image
    glyphs = _glyphs(text, font_px, ink, bold=bold)
    glyphs = glyphs.crop(0, 0, min(glyphs.width, image.width - place[0]), glyphs.height)
    return image.composite2(glyphs, "over", x=place[0], y=place[1]).flatten().copy_memory()


def _glyphs(text: str, font_px: int, ink: str, *, bold: bool = False, width_px: int | None = None) -> pyvips.Image:
    markup = f'<span foreground="{ink}">{escape(text)}</span>{"" if width_px else STRUT}'
    font = f"Noto Sans {'Bold ' if bold else ''}{font_px}"
    wrapped = {"width": width_px, "wrap": "word-char", "align": "centre"} if width_px else {}
    return pyvips.Image.text(markup, font=font, dpi=72, rgba=True, **wrapped)
