"""The demo's own functions, as the demo runs them: a film of a photograph, and a sheet that shows frames of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from geniequeue.cli.demo.walled import walled
from geniequeue.config import Settings
from tests.core import samples, videos


@pytest.fixture
def film(tmp_path: Path, settings: Settings) -> Path:
    photo = tmp_path / "photo.jpg"
    samples.photo(600, 300).jpegsave(str(photo))
    with walled("geniequeue.media.pan:pan", {"input": photo}, {"seconds": 1}, tmp_path, settings) as (told, made):
        assert (told.mime, told.width_px, told.height_px) == ("video/mp4", 1280, 720)
        shutil.copyfile(made, tmp_path / "film.mp4")
    return tmp_path / "film.mp4"


def test_a_photograph_becomes_a_film_in_motion_with_sound(film: Path) -> None:
    frames = videos.frames_of(film, "-vf", "scale=1280:720")
    assert len(frames) == 30
    assert samples.differs(frames[0], frames[-1]) > 10
    assert "Audio: aac" in videos.info(film)
    assert not (film.parent / "sandbox").exists()


def test_a_sheet_shows_four_frames_of_a_film_and_says_what_it_is(tmp_path: Path, settings: Settings) -> None:
    film = videos.numbered(tmp_path / "film.mp4", 24)
    panel = {"picture": "film", "caption": "a film"}
    card = {"title": "operation", "before": panel, "after": {"text": "nothing", "caption": ""}}
    params = {"title": "sheet", "subtitle": "", "cards": [card]}
    sheet = "geniequeue.media.contact:contact_sheet"
    with walled(sheet, {"film": film}, params, tmp_path, settings) as (told, made):
        facts, picture = told.facts["pictures"]["film"], samples.read(made)
    assert (facts["format_in"], facts["width_in_px"], facts["frames_in"]) == ("mp4", 320, 24)
    # four frames of 16:9 with 218 x 122 each, in the middle of a panel of 440 x 300 at (40, 152)
    left, top = 40 + (440 - 2 * 218 - 4) // 2, 152 + (300 - 2 * 122 - 4) // 2
    places = [(left, top), (left + 222, top), (left, top + 126), (left + 222, top + 126)]
    scale = 218 / 320
    seen = [videos.number_of(picture.crop(x, y, 218, 122), scale=scale) for x, y in places]
    assert seen == [3, 9, 15, 21]
