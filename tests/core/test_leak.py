"""`trace_leak` inside the sandbox: scores of the copies that are in a leak, and none for anything else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import pyvips

from geniequeue.errors import PolicyError
from geniequeue.marks.answer import Bound
from geniequeue.media import leak as leak_module
from geniequeue.watermark.reading import lay
from tests.core import samples
from tests.core.leaks import KEY, OTHER_KEY, Marked, cropped_half_size, mark, small_sample, trace
from tests.core.pictures import png_bomb

FIRST, SECOND, THIRD = 0x0101_0101_0101_0101, 0xF202_0202_0202_0202, 0x0303_0303_0303_0303
ALL = (FIRST, SECOND, THIRD)
SIZE = (800, 450)
THRESHOLD = Bound(3, 1, 10_000).threshold


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_sample(tmp_path_factory.mktemp("photo") / "photo.png", SIZE[0])


@pytest.fixture(scope="module")
def copies(photo: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Marked]:
    folder = tmp_path_factory.mktemp("copies")
    return [mark(photo, folder / str(n), trace_id, format="jpeg") for n, trace_id in enumerate((FIRST, SECOND))]


def named(facts: object) -> list[str]:
    assert isinstance(facts, dict)
    return [trace_id for trace_id, score in facts["hits"] if score >= THRESHOLD]


def test_a_copy_that_was_cropped_shrunk_and_compressed_is_told_apart(copies: list[Marked], tmp_path: Path) -> None:
    leak = cropped_half_size(copies[0].path, tmp_path / "leak.jpg", quality=50)
    facts, outputs = trace(leak, copies[0].plane, tmp_path / "out", ALL, SIZE)
    assert named(facts) == [f"{FIRST:016x}"]
    assert facts["registration"]["accepted"]
    assert facts["registration"]["overlap"] == pytest.approx(0.64, abs=0.04)
    assert facts["plane_sha256"] == copies[0].kept.facts["sha256"]
    shown = samples.read(tmp_path / "out" / outputs[1].name)
    assert (shown.width, shown.height) == (outputs[1].width_px, outputs[1].height_px)
    assert shown.crop(20, 70, 520, 520).deviate() > 20


def test_the_leak_is_laid_over_the_asset_once_for_all_keys(
    copies: list[Marked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid = []
    monkeypatch.setattr(leak_module, "lay", lambda *given, **how: laid.append(lay(*given, **how)) or laid[-1])
    facts, _ = trace(copies[0].path, copies[0].plane, tmp_path / "out", ALL, SIZE, keys=[OTHER_KEY, KEY])
    assert named(facts) == [f"{FIRST:016x}"]
    assert len(laid) == 1


def test_a_mirrored_copy_is_told_apart(copies: list[Marked], tmp_path: Path) -> None:
    leak = tmp_path / "leak.jpg"
    pyvips.Image.new_from_file(str(copies[1].path)).fliphor().jpegsave(str(leak), Q=80)
    facts, outputs = trace(leak, copies[0].plane, tmp_path / "out", ALL, SIZE)
    assert named(facts) == [f"{SECOND:016x}"]
    assert facts["registration"]["mirrored"]
    assert [output.role for output in outputs] == ["reading", "evidence_picture"]


def test_row_67_the_unmarked_original_names_nobody(photo: Path, copies: list[Marked], tmp_path: Path) -> None:
    facts, _ = trace(photo, copies[0].plane, tmp_path / "out", ALL, SIZE)
    assert facts["registration"]["accepted"]
    assert named(facts) == []


def test_row_67_a_copy_against_the_wrong_asset_names_nobody(copies: list[Marked], tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    samples.photo(900, 700).pngsave(str(other))
    kept = mark(other, tmp_path / "other", THIRD)
    facts, outputs = trace(copies[0].path, kept.plane, tmp_path / "out", ALL, (900, 700))
    assert named(facts) == []
    assert len(outputs) == (2 if facts["registration"]["accepted"] else 1)


@pytest.mark.parametrize("side_px", [1, 20, 32])
def test_row_67_an_icon_names_nobody(copies: list[Marked], tmp_path: Path, side_px: int) -> None:
    icon = tmp_path / "icon.png"
    image = pyvips.Image.new_from_file(str(copies[0].path))
    image.thumbnail_image(side_px, height=side_px, size="force").pngsave(str(icon))
    facts, _ = trace(icon, copies[0].plane, tmp_path / "out", ALL, SIZE)
    assert named(facts) == []


def test_row_68_the_average_of_two_copies_names_both_and_no_third(copies: list[Marked], tmp_path: Path) -> None:
    first, second = (samples.read(each.path).cast("float") for each in copies)
    leak = tmp_path / "leak.jpg"
    ((first + second) / 2).cast("uchar").copy(interpretation="srgb").jpegsave(str(leak), Q=80)
    facts, _ = trace(leak, copies[0].plane, tmp_path / "out", ALL, SIZE)
    assert set(named(facts)) == {f"{FIRST:016x}", f"{SECOND:016x}"}


def test_a_bomb_of_60_megapixels_is_shrunk_and_one_beyond_the_limit_refused(
    copies: list[Marked], tmp_path: Path
) -> None:
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png_bomb(7744))
    facts, _ = trace(bomb, copies[0].plane, tmp_path / "out", ALL, SIZE)
    assert (facts["width_in_px"], named(facts)) == (7744, [])
    with pytest.raises(PolicyError) as caught:
        trace(bomb, copies[0].plane, tmp_path / "out", ALL, SIZE, max_pixels=50_000_000)
    assert caught.value.reason == "too_many_pixels"


def test_a_hundred_thousand_copies_are_compared_in_bounded_memory(copies: list[Marked], tmp_path: Path) -> None:
    program = (
        "import json, re, sys; from pathlib import Path; from tests.core.leaks import trace; "
        "leak, plane, out = map(Path, sys.argv[1:4]); "
        f"facts, _ = trace(leak, plane, out, [*range(1, 100_000), {FIRST}], {SIZE}); "
        "peak_kb = re.search('VmHWM:\\s+([0-9]+)', Path('/proc/self/status').read_text())[1]; "
        "print(json.dumps([facts['hits'], int(peak_kb)]))"
    )
    arguments = [str(copies[0].path), str(copies[0].plane), str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120, check=True
    )
    hits, peak_kb = json.loads(done.stdout)
    assert [trace_id for trace_id, score in hits if score >= THRESHOLD] == [f"{FIRST:016x}"]
    assert peak_kb < 600_000
