"""The mark as it is drawn: any script, no markup, within the frame."""

from __future__ import annotations

from typing import Any

import pytest
import pyvips

from geniequeue.errors import InputError
from geniequeue.media.draw import Mark, draw_mark, opacity
from geniequeue.operations import OPERATIONS

WIDTH, HEIGHT = 1200, 800


def mark_of(text: str, frame: tuple[int, int] = (WIDTH, HEIGHT), **params: Any) -> Mark:
    given = OPERATIONS["apply_watermark"].load_params({"watermark_text": text, **params})
    return draw_mark(given, *frame)


def ink(mark: Mark) -> float:
    """Share of the mark that is not transparent, in percent."""
    return float(mark.image[3].avg()) / 2.55


def same(first: Mark, second: Mark) -> bool:
    if (first.image.width, first.image.height) != (second.image.width, second.image.height):
        return False
    return bytes(first.image.write_to_memory()) == bytes(second.image.write_to_memory())


@pytest.mark.parametrize(
    "text",
    (
        "@creator",
        "Ω é ß",
        "مرحبا",
        "שלום",
        "你好",
        "こんにちは",
        "한국어",
        "हिन्दी",
        "ไทย",
        "❤️🔥",
        "👩‍👩‍👧",
        "\u202eevil",
    ),
)
def test_row_25_every_script_is_drawn_with_glyphs_of_its_own(text: str) -> None:
    drawn = mark_of(text, scale=0.4, opacity=1)
    missing = mark_of("\U0001aaaa" * len(text), scale=0.4, opacity=1)
    assert ink(drawn) > 5
    assert not same(drawn, missing)


def test_emoji_keep_their_colours_and_text_takes_the_colour_asked_for() -> None:
    heart = mark_of("❤️", color="#ffffff", opacity=1).image
    opaque = heart[3] > 250
    red, green = ((heart[band] * (opaque / 255)).avg() for band in (0, 1))
    assert red > 2 * green
    blue = mark_of("I", color="#0000ff", opacity=1).image
    assert (blue[2] - blue[0]).max() == 255


@pytest.mark.parametrize(
    "text",
    (
        "%{metadata:exif:GPS}",
        "@/etc/passwd",
        "<b>bold</b>",
        "&amp; &",
        "':textfile=/etc/passwd",
        '"<span size="',
        "%s%n",
    ),
)
def test_row_26_every_character_is_drawn_as_it_is(text: str) -> None:
    plain = mark_of(text, scale=0.5)
    for changed in (text[1:], text[:-1], "b" if "<b>" in text else "x"):
        assert not same(plain, mark_of(changed, scale=0.5))
    spaced = mark_of("\u2060".join(text), scale=0.5)
    assert abs(ink(plain) - ink(spaced)) < 3


def test_markup_does_not_make_letters_bold_or_vanish() -> None:
    marked_up, letter = (mark_of(text, scale=0.5).image for text in ("<b>x</b>", "x"))
    assert marked_up.width / marked_up.height > 3 * letter.width / letter.height


def test_a_newline_makes_a_second_line() -> None:
    one, two = mark_of("creator", scale=0.3), mark_of("creator\ncreator", scale=0.3)
    assert two.image.height > 1.6 * one.image.height
    assert abs(two.image.width - one.image.width) <= 4


def test_row_25_five_hundred_characters_are_wrapped_inside_the_frame() -> None:
    mark = mark_of("All rights reserved, " * 23)
    assert mark.image.width <= WIDTH - 40
    assert mark.image.height <= HEIGHT - 40
    assert ink(mark) > 10


@pytest.mark.parametrize("text", ("\u200b", "\u2060\u200d", "\ufeff"))
def test_text_without_a_visible_character_is_refused(text: str) -> None:
    with pytest.raises(InputError) as refused:
        mark_of(text)
    assert refused.value.reason == "invisible_text"


@pytest.mark.parametrize("position", ("tl", "tr", "bl", "br", "center", "tile"))
@pytest.mark.parametrize("frame", ((1, 1), (1, 400), (400, 1), (7, 5), (64, 64), (3000, 40), (40, 3000), (1200, 800)))
@pytest.mark.parametrize("text", ("@creator", "long words " * 40, "©"))
def test_the_mark_never_leaves_the_frame(position: str, frame: tuple[int, int], text: str) -> None:
    for scale, margin in ((0.15, 20), (1.0, 0), (1.0, 4096), (0.001, 4096)):
        mark = mark_of(text, frame, position=position, scale=scale, margin=margin)
        assert mark.left_px >= 0
        assert mark.top_px >= 0
        assert mark.left_px + mark.image.width <= frame[0]
        assert mark.top_px + mark.image.height <= frame[1]


def test_the_corners_keep_the_margin() -> None:
    left_top, right_bottom = mark_of("@creator", position="tl", margin=33), mark_of("@creator", margin=33)
    assert (left_top.left_px, left_top.top_px) == (33, 33)
    assert right_bottom.left_px + right_bottom.image.width == WIDTH - 33
    assert right_bottom.top_px + right_bottom.image.height == HEIGHT - 33


@pytest.mark.parametrize("scale", (0.15, 0.3, 0.8))
def test_the_text_is_as_wide_as_the_scale_says(scale: float) -> None:
    mark = mark_of("@creator", scale=scale)
    assert abs(mark.image.width - scale * WIDTH) < 0.15 * scale * WIDTH


def test_opacity_above_one_is_percent() -> None:
    assert (opacity(0.4), opacity(1), opacity(40), opacity(100)) == (0.4, 1, 0.4, 1)
    assert same(mark_of("@creator", opacity=0.4), mark_of("@creator", opacity=40))
    assert mark_of("@creator", opacity=0).image[3].max() == 0


@pytest.mark.parametrize("colour", ("#fff", "#000000", "#ff3366"))
@pytest.mark.parametrize("ground", (0, 128, 255))
def test_a_mark_can_be_read_on_any_ground(colour: str, ground: int) -> None:
    mark = mark_of("@creator", color=colour)
    shown = mark.image.flatten(background=[ground] * 3)
    assert (shown - ground).abs().max() > 80


def test_an_overlay_keeps_its_shape_and_its_transparency() -> None:
    logo = pyvips.Image.black(200, 100, bands=4).copy(interpretation="srgb").cast("uchar")
    logo = logo.draw_rect([255, 0, 0, 255], 0, 0, 100, 100, fill=True)
    given = {"position": "br", "opacity": 1.0, "margin": 20, "scale": 0.15, "color": "#ffffff"}
    mark = draw_mark(given, WIDTH, HEIGHT, logo)
    assert (mark.image.width, mark.image.height) == (180, 90)
    assert mark.image(10, 45) == [255, 0, 0, 255]
    assert mark.image(170, 45)[3] == 0


def test_a_tiled_mark_covers_the_frame_without_seams() -> None:
    mark = mark_of("@creator", position="tile")
    assert (mark.image.width, mark.image.height) == (WIDTH, HEIGHT)
    for left in (0, 400, 800):
        for top in (0, 400):
            assert mark.image.crop(left, top, 400, 400)[3].max() > 100
