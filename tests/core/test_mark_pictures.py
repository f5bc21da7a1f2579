"""`apply_watermark`: the mark is on the picture, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pyvips

from geniequeue.errors import InputError, PolicyError, VerifyError
from geniequeue.media import verify
from geniequeue.media.draw import Mark
from geniequeue.media.proof import Proof
from geniequeue.media.stamp import stamped
from geniequeue.operations import OPERATIONS
from geniequeue.sandbox.inside import Limits, Work
from tests.core import samples

WRITERS: dict[str, dict[str, Any]] = {
    "jpg": {"Q": 95}, "png": {}, "webp": {"Q": 95}, "avif": {"compression": "av1", "Q": 90}, "tif": {}, "gif": {},
}  # fmt: skip


def source(tmp_path: Path, extension: str = "jpg", size: tuple[int, int] = (640, 480), **photo: Any) -> Path:
    path = tmp_path / f"input.{extension}"
    samples.photo(*size, **photo).write_to_file(str(path), **WRITERS[extension])
    return path


def changed(before: pyvips.Image, after: pyvips.Image) -> pyvips.Image:
    """How far each pixel moved."""
    return (before[:3].cast("float") - after[:3].cast("float")).abs().bandmean()


@pytest.mark.parametrize("extension", sorted(WRITERS))
def test_the_mark_is_in_its_corner_and_nowhere_else(extension: str, tmp_path: Path) -> None:
    path = source(tmp_path, extension)
    made, output = samples.run("apply_watermark", path, tmp_path / "out", watermark_text="@creator", scale=0.3)
    assert made.suffix == path.suffix
    assert (output.width_px, output.height_px) == (640, 480)
    moved = changed(samples.read(path), samples.read(made))
    assert moved.crop(420, 400, 200, 60).max() > 60
    assert moved.crop(0, 0, 400, 480).avg() < 4
    assert moved.crop(0, 0, 640, 360).avg() < 4


@pytest.mark.parametrize(
    ("position", "box"),
    (
        ("tl", (0, 0)), ("tr", (440, 0)), ("bl", (0, 380)), ("br", (440, 380)), ("center", (220, 190)),
    ),
)  # fmt: skip
def test_every_position_marks_its_place(position: str, box: tuple[int, int], tmp_path: Path) -> None:
    path = source(tmp_path, "png")
    made, _ = samples.run(
        "apply_watermark", path, tmp_path / "out", watermark_text="@creator", scale=0.25, position=position
    )
    moved = changed(samples.read(path), samples.read(made)) > 0
    left, top, width, height = moved.find_trim(background=[0], threshold=0.5)
    assert box[0] <= left and left + width <= box[0] + 200
    assert box[1] <= top and top + height <= box[1] + 100


def test_a_tile_marks_the_whole_picture(tmp_path: Path) -> None:
    path = source(tmp_path)
    made, _ = samples.run("apply_watermark", path, tmp_path / "out", watermark_text="@creator", position="tile")
    moved = changed(samples.read(path), samples.read(made))
    assert all(moved.crop(x, y, 213, 240).max() > 50 for x in (0, 213, 427) for y in (0, 240))


@pytest.mark.parametrize("size", ((1, 1), (2, 3), (9, 7), (16, 16), (300, 2), (2, 300)))
@pytest.mark.parametrize("position", ("br", "tile"))
def test_very_small_pictures_are_handled(size: tuple[int, int], position: str, tmp_path: Path) -> None:
    made, output = samples.run(
        "apply_watermark", source(tmp_path, "png", size), tmp_path / "out", watermark_text="@creator", position=position
    )
    assert (output.width_px, output.height_px) == size
    assert samples.read(made).width == size[0]


@pytest.mark.parametrize("extension", ("gif", "webp"))
@pytest.mark.parametrize("position", ("br", "tile"))
def test_each_frame_of_an_animation_carries_the_mark(extension: str, position: str, tmp_path: Path) -> None:
    path = tmp_path / f"input.{extension}"
    samples.animation(5).write_to_file(str(path))
    made, output = samples.run(
        "apply_watermark", path, tmp_path / "out", watermark_text="@creator", scale=0.6, position=position, margin=4
    )
    before, after = samples.read(path, n=-1), samples.read(made, n=-1)
    assert after.get("n-pages") == 5
    assert after.get("delay") == before.get("delay")
    assert output.facts["frames"] == 5
    for index in range(5):
        frame = changed(before, after).crop(0, index * 90, 120, 90)
        assert frame.crop(40, 60, 80, 30).max() > 40


def test_an_overlay_lies_on_the_picture_with_its_transparency(tmp_path: Path) -> None:
    path, overlay = source(tmp_path, "png"), tmp_path / "logo.png"
    logo = pyvips.Image.black(100, 100, bands=4).copy(interpretation="srgb").cast("uchar")
    logo.draw_rect([0, 255, 0, 255], 0, 0, 50, 100, fill=True).write_to_file(str(overlay))
    made, _ = samples.run(
        "apply_watermark", path, tmp_path / "out", overlay=overlay, scale=0.25, position="tl", margin=0, opacity=1
    )
    before, after = samples.read(path), samples.read(made)
    assert after(20, 80) == [0, 255, 0]
    assert after(140, 80) == before(140, 80)
    assert samples.differs(before.crop(170, 0, 470, 480), after.crop(170, 0, 470, 480)) == 0


def test_an_overlay_beyond_the_limits_is_refused(tmp_path: Path) -> None:
    path, overlay = source(tmp_path), source(tmp_path, "png", (400, 300))
    params = OPERATIONS["apply_watermark"].load_params({"watermark_file_id": samples.FILE_ID})
    inputs = {"input": path, "watermark_file_id": overlay}
    with pytest.raises(PolicyError):
        from geniequeue.media.mark import apply_watermark

        apply_watermark(Work(inputs, tmp_path, params, Limits(max_pixels=100_000)))


def test_row_59_an_overlay_that_is_a_drawing_is_refused(tmp_path: Path) -> None:
    overlay = tmp_path / "logo.png"
    overlay.write_text('<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>')
    with pytest.raises(InputError) as refused:
        samples.run("apply_watermark", source(tmp_path), tmp_path / "out", overlay=overlay)
    assert refused.value.reason == "type_not_allowed"


def test_row_64_transparency_sixteen_bits_and_grey_are_marked_in_their_own_way(tmp_path: Path) -> None:
    clear = samples.photo().bandjoin(pyvips.Image.black(320, 240).cast("uchar"))
    deep = samples.photo().colourspace("rgb16")
    grey = samples.photo().colourspace("b-w")
    profiled = samples.photo().icc_transform("p3", input_profile="srgb")
    cmyk = samples.photo().icc_transform("cmyk", input_profile="srgb")
    for index, (image, extension) in enumerate(
        ((clear, "png"), (deep, "png"), (grey, "png"), (profiled, "jpg"), (cmyk, "jpg"), (grey, "jpg"))
    ):
        path = tmp_path / f"{index}.{extension}"
        image.write_to_file(str(path))
        made, _ = samples.run(
            "apply_watermark", path, tmp_path / f"out{index}", watermark_text="@creator", scale=0.8, color="#ff0000",
            position="center", opacity=1,
        )  # fmt: skip
        after = samples.read(made)
        seen = after.icc_transform("srgb") if after.get_typeof("icc-profile-data") else after.colourspace("srgb")
        red = (seen[0] > 230) & (seen[1] < 40) & (seen[2] < 40)
        assert red.avg() > 1, (index, extension)
    assert samples.read(tmp_path / "out0" / "output.png")[3].max() == 255
    assert samples.read(tmp_path / "out1" / "output.png").format == "ushort"


def test_a_turned_picture_is_marked_upright(tmp_path: Path) -> None:
    path = source(tmp_path)
    samples.exiftool("-q", "-overwrite_original", "-Orientation#=6", path)
    made, output = samples.run("apply_watermark", path, tmp_path / "out", watermark_text="@creator", scale=0.4)
    assert (output.width_px, output.height_px) == (480, 640)
    moved = changed(samples.read(path).autorot(), samples.read(made))
    assert moved.crop(280, 580, 190, 50).max() > 60
    assert samples.read(made).get_typeof("orientation") == 0 or samples.read(made).get("orientation") == 1


@pytest.mark.parametrize("extension", ("jpg", "png", "webp", "gif"))
def test_a_mark_that_is_missing_is_noticed(extension: str, tmp_path: Path) -> None:
    path = source(tmp_path, extension)
    patch = pyvips.Image.black(100, 40, bands=4).draw_rect([255, 255, 255, 200], 10, 5, 60, 20, fill=True)
    mark = Mark(patch.cast("uchar").copy(interpretation="srgb"), 500, 400)
    for marked in (True, False):
        image = pyvips.Image.new_from_file(str(path), access="sequential")
        image = image[:3]
        proof = Proof(mark)
        watched = proof.writing(image)
        made = tmp_path / f"made.{extension}"
        (stamped(watched, mark) if marked else watched).write_to_file(str(made))
        kind = {"jpg": "jpeg"}.get(extension, extension)
        promise = verify.Promise(kind, 640, 480)
        if marked:
            verify.verify(made, promise, proof)
        else:
            with pytest.raises(VerifyError) as missing:
                verify.verify(made, promise, proof)
            assert missing.value.reason == "mark_missing"


@pytest.mark.parametrize("opacity", (0, 0.01))
def test_a_mark_that_nobody_can_see_needs_no_proof(opacity: float, tmp_path: Path) -> None:
    made, _ = samples.run(
        "apply_watermark", source(tmp_path, "png"), tmp_path / "out", watermark_text="@creator", opacity=opacity
    )
    assert samples.differs(samples.read(made), samples.read(tmp_path / "input.png")) < 8


def test_a_large_picture_is_marked_as_it_streams_by(tmp_path: Path) -> None:
    path = source(tmp_path, "jpg", (3000, 4000))
    for position in ("tl", "center", "br"):
        made, _ = samples.run(
            "apply_watermark", path, tmp_path / position, watermark_text="@creator", position=position
        )
        assert samples.read(made).height == 4000


def test_another_format_can_be_asked_for(tmp_path: Path) -> None:
    made, output = samples.run(
        "apply_watermark", source(tmp_path), tmp_path / "out", watermark_text="@creator", format="webp"
    )
    assert (made.suffix, output.mime) == (".webp", "image/webp")


def test_a_profile_that_cannot_be_used_does_not_keep_the_mark_away(tmp_path: Path) -> None:
    picture = samples.photo().copy()
    profile = bytearray(samples.photo().icc_transform("p3", input_profile="srgb").get("icc-profile-data"))
    profile[128 + 4 :] = bytes(len(profile) - 132)
    picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", bytes(profile))
    source = tmp_path / "odd.png"
    picture.pngsave(str(source), keep="icc")
    made, output = samples.run("apply_watermark", source, tmp_path / "out", watermark_text="@creator")
    assert output.mime == "image/png"
    assert samples.differs(samples.read(made), samples.read(source)) > 0
