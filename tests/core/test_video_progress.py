"""Progress over several steps: never back, and with the time that is really left."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from geniequeue.cli.show import pace
from geniequeue.media.progress import Progress
from geniequeue.pace import KEEP_S, pace_key, read_pace, write_pace
from geniequeue.sandbox.inside import Limits, Pace, Work


class Desk:
    """A clock that the test sets, and what was told by it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.shares: list[float] = []
        self.paces: list[Pace] = []
        nowhere = Path("/nowhere")
        work = Work({}, nowhere, {}, Limits(), report=self.shares.append, pace=self.paces.append)
        self.progress = Progress(work, lambda: self.now)


def test_two_passes_are_one_whole_with_one_pace() -> None:
    desk = Desk()
    first = desk.progress.part(0.0, 0.4, 60)
    for second in range(1, 21):
        desk.now += 1
        first(3.0 * second)
    assert desk.shares == pytest.approx([0.02 * second for second in range(1, 21)])
    assert desk.paces[9].speed == pytest.approx(3.0)
    assert desk.paces[9].left_s == pytest.approx(40)  # ten seconds made a fifth of the whole
    second_pass = desk.progress.part(0.4, 1.0, 60)
    desk.now += 15
    second_pass(30)
    assert desk.shares[-1] == pytest.approx(0.7)
    assert desk.paces[-1] == Pace(pytest.approx(2.0), pytest.approx(15))


def test_a_pass_that_is_done_again_does_not_go_back_and_says_how_long_it_takes() -> None:
    desk = Desk()
    for _ in range(2):
        again = desk.progress.part(0.4, 0.9, 10)
        for second in range(1, 11):
            desk.now += 1
            again(second)
    assert desk.shares == sorted(set(desk.shares)) and desk.shares[-1] == pytest.approx(0.9)
    assert desk.paces[9].left_s == pytest.approx(2)
    assert desk.paces[11].left_s == pytest.approx(10)  # two seconds of the second time are over


def test_a_share_is_told_ten_times_a_second_at_most_and_the_end_always() -> None:
    desk = Desk()
    step = desk.progress.part(0.0, 1.0, 10_000, in_time=False)
    for packet in range(10_000):
        desk.now += 0.0001
        step(packet)
    desk.progress.tell(1.0)
    assert 8 <= len(desk.shares) <= 12 and desk.shares[-1] == 1.0
    assert {each.speed for each in desk.paces} == {None}


@pytest.mark.parametrize("whole", [0.0, 0.03])
def test_a_video_of_one_frame_has_progress_too(whole: float) -> None:
    desk = Desk()
    step = desk.progress.part(0.02, 0.9, whole)
    for amount in (-0.02, 0.0, 0.04):
        desk.now += 0.2
        step(amount)
    assert desk.shares == pytest.approx([0.02, 0.9])


def test_a_pace_is_there_for_some_seconds(redis_client: redis.Redis) -> None:
    assert read_pace(redis_client, "bull:media-jobs:1") == {"speed": None, "left_s": None}
    write_pace(redis_client, "bull:media-jobs:1", speed=1.23456, left_s=71.44)
    assert read_pace(redis_client, "bull:media-jobs:1") == {"speed": 1.235, "left_s": 71.4}
    assert 0 < redis_client.ttl(pace_key("bull:media-jobs:1")) <= KEEP_S
    write_pace(redis_client, "bull:media-jobs:1", speed=None, left_s=3)
    assert read_pace(redis_client, "bull:media-jobs:1") == {"speed": None, "left_s": 3}


@pytest.mark.parametrize(
    ("speed", "left_s", "shown"),
    [
        (1.44, 12.4, "1.4× · 0:12 left"),
        (0.06, 3725, "0.1× · 1:02:05 left"),
        (None, 59.6, "1:00 left"),
        (None, None, ""),
    ],
)
def test_the_command_line_tells_speed_and_time_left(speed: float | None, left_s: float | None, shown: str) -> None:
    assert pace({"speed": speed, "left_s": left_s, "progress": 5}) == shown
    assert "left" not in pace({"speed": speed, "left_s": left_s, "progress": 4.9})
