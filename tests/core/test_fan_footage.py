"""Videos for fans: marked by the encode, read back, and told apart after what leaks do to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geniequeue.errors import InputError
from geniequeue.marks.answer import Bound
from geniequeue.media import footage_leak
from geniequeue.media.clip import probe
from geniequeue.media.fan_footage import READ_BACK_SCORE, mark_inside
from geniequeue.media.fan_kept import check_pictures
from geniequeue.media.leak import read_bits, trace_leak
from geniequeue.sandbox.inside import Limits, Work
from geniequeue.watermark.video import lay_video
from tests.core import videos
from tests.core.leaks import ASSET, KEY, OTHER_KEY, Marked, mark, small_sample, trace

TRACE_ID, OTHERS = 0x0101_0101_0101_0101, (2, 0xFFFF_0000_FFFF_0000)
THRESHOLD = Bound(3, 1, 10_000).threshold
SIZE = (480, 270)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds that go into the sample photograph, with sound."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    small = small_sample(path.with_name("photo.png"), 1200)
    zoom = f"zoompan=z='1.2+0.004*on':x='3*on':y='2*on':d=1:s={SIZE[0]}x{SIZE[1]}:fps=25,format=yuv420p"
    picture = ["-loop", "1", "-framerate", "25", "-t", "3", "-i", str(small)]
    videos.ffmpeg(*picture, *videos.tone(3), "-vf", zoom, "-c:v", "libx264", "-crf", "18", "-preset", "veryfast", path)
    return path


@pytest.fixture(scope="module")
def marked(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Marked:
    return mark(clip, tmp_path_factory.mktemp("marked"), TRACE_ID)


def traced(leak: Path, original: Path, plane: Path, folder: Path, *earlier: bytes) -> list[str]:
    """Trace a leak with the key that marked it, after `earlier` ones; return who reaches the threshold."""
    folder.mkdir()
    copies = folder / "copies"
    copies.write_bytes(np.array([TRACE_ID, *OTHERS], ">u8").tobytes())
    params = {"asset": ASSET, "width_px": SIZE[0], "height_px": SIZE[1], "thorough": False}
    by_id = {f"k{number}": key.hex() for number, key in enumerate((*earlier, KEY))}
    inputs = {"input": leak, "plane": plane, "original": original, **{f"copies.{key_id}": copies for key_id in by_id}}
    facts = trace_leak(Work(inputs, folder, {**params, "keys": by_id}))[0].facts
    return [trace_id for trace_id, score in facts["hits"] if score >= THRESHOLD]


def test_a_video_comes_out_marked_and_is_what_it_was(clip: Path, marked: Marked) -> None:
    assert marked.copy.facts["mark_score"] >= READ_BACK_SCORE
    assert (marked.copy.mime, marked.copy.width_px, marked.copy.height_px) == ("video/mp4", *SIZE)
    assert marked.copy.facts["frames"] == 75
    assert marked.copy.facts["sound"] == "aac"
    assert videos.psnr(clip, marked.path) > 39
    with np.load(marked.plane, allow_pickle=False) as kept:
        assert kept["pictures"].shape == (15, 36, 64)


def test_row_67_the_unmarked_video_names_nobody(clip: Path, marked: Marked, tmp_path: Path) -> None:
    assert traced(clip, clip, marked.plane, tmp_path / "out") == []


def test_the_leak_is_laid_over_the_video_once_for_all_keys(
    clip: Path, marked: Marked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid = []
    monkeypatch.setattr(footage_leak, "lay_video", lambda *given: laid.append(lay_video(*given)) or laid[-1])
    assert traced(marked.path, clip, marked.plane, tmp_path / "out", OTHER_KEY) == [f"{TRACE_ID:016x}"]
    assert len(laid) == 1


def test_the_bits_of_a_video_are_read_without_its_original(marked: Marked, tmp_path: Path) -> None:
    facts = read_bits(Work({"input": marked.path}, tmp_path, {"keys": {"k": KEY.hex()}}))[0].facts
    assert (facts["kind"], facts["payload"]) == ("video", f"{TRACE_ID >> 16:012x}")


@pytest.mark.parametrize(("key_frame_every", "crf"), [(10, 24), (250, 16)])
def test_row_66_a_mark_that_is_there_already_is_seen_through_recompression(
    clip: Path, marked: Marked, tmp_path: Path, key_frame_every: int, crf: int
) -> None:
    again = tmp_path / "again.mp4"
    coded = ["-c:v", "libx264", "-crf", str(crf), "-g", str(key_frame_every), "-an"]
    videos.ffmpeg("-i", marked.path, *coded, again)
    assert mark_inside(probe(again, Limits()), [KEY.hex()], tmp_path) == f"{TRACE_ID >> 16:012x}"
    assert mark_inside(probe(clip, Limits()), [KEY.hex()], tmp_path) is None


def test_a_video_asked_against_a_picture_is_refused_and_the_other_way_round(
    clip: Path, marked: Marked, tmp_path: Path
) -> None:
    still = small_sample(tmp_path / "still.png", 400)
    with pytest.raises(InputError, match="got a video") as caught:
        trace(clip, still, tmp_path / "one", [TRACE_ID], (400, 225))
    assert caught.value.reason == "type_not_allowed"
    with pytest.raises(InputError, match="got a picture"):
        traced(still, clip, marked.plane, tmp_path / "two")


def test_a_video_that_cannot_carry_a_mark_is_refused_with_a_sentence(tmp_path: Path) -> None:
    small = videos.numbered(tmp_path / "small.mp4", 5, size=(320, 180))
    with pytest.raises(InputError, match="200 pixels") as caught:
        mark(small, tmp_path / "out", TRACE_ID)
    assert caught.value.reason == "cannot_carry_mark"


def test_a_format_is_refused_for_a_video(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no format"):
        mark(clip, tmp_path / "out", TRACE_ID, format="webp")


def test_a_further_copy_of_another_video_is_refused() -> None:
    kept = np.random.default_rng(1).integers(0, 256, (15, 36, 64)).astype(np.uint8)
    # another decoder may round otherwise, and see one thumbnail more
    check_pictures(np.clip(kept[:14], 1, 254), kept)
    for other in (kept[:12], kept[:, :, ::-1], kept[:, :30], kept[:0]):
        with pytest.raises(InputError) as caught:
            check_pictures(other, kept)
        assert caught.value.reason == "asset_changed"
