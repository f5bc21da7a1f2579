"""A leaked video names its copy, wherever its frames lie in time and place."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import cv2
import numpy as np
import pytest

from bench.watermark.attacks import Picture, as_picture
from geniequeue.watermark.embedding import CannotCarry
from geniequeue.watermark.plane import luma_of
from geniequeue.watermark.scoring import scores
from geniequeue.watermark.statistics import threshold
from geniequeue.watermark.timeline import Thumbnails, pieces_of, thumbnail
from geniequeue.watermark.video import Frame, chips_of_video, group_of, lay_video, mark_pictures, moments_in, read_video
from tests.watermark.pictures import FANS, KEY, landscape

WIDTH, HEIGHT, RATE, SECONDS = 480, 270, 8, 12
NAMED_FROM = threshold(1000, 1, 10_000)


@cache
def scene(number: int) -> Picture:
    return luma_of(landscape(6 + number, 720, 405))


@cache
def shown_at(time_s: float) -> Picture:
    """Luma: three scenes of four seconds, over each a pan and a zoom."""
    t = time_s % 4
    left, top, zoom = 20 + 12 * t, 30 + 20 * np.sin(t / 2), 1 + 0.05 * t
    matrix = np.float32([[zoom, 0, left], [0, zoom, top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(scene(int(time_s / 4)), matrix, (WIDTH, HEIGHT), flags=flags)


def between(start_s: float, end_s: float) -> Iterator[Frame]:
    for number in range(max(0, int(np.ceil(start_s * RATE))), min(SECONDS * RATE, int(end_s * RATE) + 1)):
        yield Frame(number / RATE, shown_at(number / RATE))


@pytest.fixture(scope="module")
def marks() -> list[Picture]:
    return list(mark_pictures((WIDTH, HEIGHT), KEY, "clip", FANS[0]))


@pytest.fixture(scope="module")
def stored() -> Thumbnails:
    times = [number / 5 for number in range(SECONDS * 5)]
    return Thumbnails(times, np.stack([thumbnail(shown_at(time_s)) for time_s in times]))


def delivered(marks: list[Picture], time_s: float) -> Picture:
    """As ffmpeg lays the mark over a frame, and as JPEG 60 leaves it."""
    frame = as_picture(shown_at(time_s) + marks[group_of(time_s)].astype(np.float32) - 128)
    return cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_GRAYSCALE)


def cropped(frame: Picture) -> Picture:
    return np.ascontiguousarray(frame[22:248, 45:450])


def trimmed_by_little(frame: Picture) -> Picture:
    """So little that it is first taken for the whole frame."""
    return np.ascontiguousarray(frame[4:268, 6:475])


def flipped(frame: Picture) -> Picture:
    return np.ascontiguousarray(frame[:, ::-1])


@pytest.mark.parametrize("change", [lambda frame: frame, cropped, trimmed_by_little, flipped])
def test_a_trimmed_faster_leak_names_its_copy(stored: Thumbnails, marks: list[Picture], change) -> None:
    start_s, speed = 3.0, 1.1
    leak = [
        Frame(t, change(delivered(marks, round((start_s + speed * t) * RATE) / RATE))) for t in np.arange(0, 7, 1.2)
    ]
    reading = read_video(stored, between, leak, KEY, "clip")
    assert reading.registration.accepted
    found = scores(reading.chips, KEY, "clip", np.array(FANS, np.uint64))
    assert found[0] > NAMED_FROM
    assert max(found[1:]) < 6
    for leak_s, original_s in reading.seen_s:
        assert original_s == pytest.approx(start_s + speed * leak_s, abs=0.26)


def test_a_steady_pan_over_a_still_scene_is_not_taken_for_another_crop(marks: list[Picture]) -> None:
    def shown(time_s: float) -> Picture:
        left = int(40 + 20 * time_s)
        return np.ascontiguousarray(scene(0)[60 : 60 + HEIGHT, left : left + WIDTH])

    def panned(start_s: float, end_s: float) -> list[Frame]:
        numbers = range(max(0, int(np.ceil(start_s * RATE))), min(4 * RATE, int(end_s * RATE) + 1))
        return [Frame(number / RATE, shown(number / RATE)) for number in numbers]

    times = [number / 5 for number in range(20)]
    stored = Thumbnails(times, np.stack([thumbnail(shown(time_s)) for time_s in times]))
    leak = [Frame(t, as_picture(shown(t) + marks[0].astype(np.float32) - 128)) for t in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)]
    reading = read_video(stored, panned, leak, KEY, "clip")
    assert scores(reading.chips, KEY, "clip", np.array(FANS, np.uint64))[0] > NAMED_FROM
    for leak_s, original_s in reading.seen_s:
        assert original_s == pytest.approx(leak_s, abs=0.01)


def test_a_leak_that_is_laid_once_for_two_keys_reads_as_with_each_alone(
    stored: Thumbnails, marks: list[Picture]
) -> None:
    leak = [Frame(float(t), delivered(marks, float(t))) for t in range(5)]
    laid, keys = lay_video(stored, between, leak), [b"o" * 32, KEY]
    for key, chips in zip(keys, chips_of_video(laid, keys, "clip"), strict=True):
        alone = read_video(stored, between, leak, key, "clip")
        assert np.array_equal(chips, alone.chips)
        assert np.array_equal(laid.registration.matrix, alone.registration.matrix)
        assert laid.seen_s == alone.seen_s
        found = scores(chips, key, "clip", np.array(FANS, np.uint64))
        assert (found[0] > NAMED_FROM) == (key == KEY)


def test_an_unmarked_video_names_nobody(stored: Thumbnails) -> None:
    leak = [Frame(float(t), shown_at(float(t))) for t in range(4)]
    reading = read_video(stored, between, leak, KEY, "clip")
    assert max(scores(reading.chips, KEY, "clip", np.array(FANS, np.uint64))) < 6


def test_an_unrelated_video_is_not_registered(stored: Thumbnails) -> None:
    leak = [Frame(float(t), luma_of(landscape(70 + t, WIDTH, HEIGHT))) for t in range(2)]
    reading = read_video(stored, between, leak, KEY, "clip")
    assert not reading.registration.accepted
    assert not reading.chips.any()


@pytest.mark.parametrize("times_s", [[1.0], [0.0, 0.125, 1.0, 1.125, 2.0, 2.125]])
def test_a_leak_of_too_few_moments_is_not_registered(
    stored: Thumbnails, marks: list[Picture], times_s: list[float]
) -> None:
    leak = [Frame(time_s, delivered(marks, time_s)) for time_s in times_s]
    laid = lay_video(stored, between, leak)
    assert not laid.registration.accepted
    assert laid.seen_s == ()
    assert not any(chips.any() for chips in chips_of_video(laid, [KEY], "clip"))


def test_frames_beside_each_other_are_one_moment() -> None:
    assert moments_in([]) == 0
    assert moments_in([3.04, 0.0, 0.04, 3.0, 0.25, 5.0]) == 4


def test_an_edit_of_two_pieces_is_told_apart() -> None:
    leak_s = [0.0, 1, 2, 3, 4, 5, 6, 7, 8]
    original_s = [10.0, 11, 12, 13, 3.1, 30, 31, 32, 33]
    first, second = sorted(pieces_of(leak_s, original_s), key=lambda piece: piece.frames)
    assert (first.frames, second.frames) == ((0, 1, 2, 3), (5, 6, 7, 8))
    assert first.original_time(1.5) == pytest.approx(11.5)
    assert second.original_time(5.5) == pytest.approx(30.5)


def test_a_mark_picture_changes_a_frame_by_little(marks: list[Picture]) -> None:
    assert len(marks) == 4
    for picture in marks:
        assert picture.shape == (HEIGHT, WIDTH)
        assert picture.mean() == pytest.approx(128, abs=0.2)
        assert 1.0 < picture.std() < 2.0


def test_a_small_video_is_refused() -> None:
    with pytest.raises(CannotCarry, match="160x90"):
        next(mark_pictures((160, 90), KEY, "clip", 1))
