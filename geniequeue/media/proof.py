"""Prove that a mark is in the file that was made, and that the rest of the picture is as it was.

A few boxes of the picture are remembered while it streams into the encoder, so the proof needs no second decode of the
input. Reading back, a change by the mark is told from noise of the encoder by projection on the change expected.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyvips

from geniequeue.errors import VerifyError
from geniequeue.media.draw import Mark
from geniequeue.media.frames import frame_count, frame_height
from geniequeue.media.stamp import blended, held_open

# Largest reduction of the JPEG decoder; boxes lie on multiples of it.
_GRID_PX = 8
_SAMPLE_PX = 1024
_ELSEWHERE_PX = 64
# Change that an encoder can be expected to keep: mean square in levels of 0 to 255. Below it nobody sees the mark.
_VISIBLE = 1.0
_PRESENT_SHARE = 0.4
_UNTOUCHED_LEVELS = 12.0

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Sample:
    """A box of one frame as it was before the mark.

    Attributes:
        before: its pixels, at hand once the picture has been read.
        box: left, top, width, height in pixels of the frame.
        last: it is of the last frame, not of the first.
        mark: the piece of the mark over it, RGBA; None where no mark is.
    """

    before: pyvips.Image
    box: Box
    last: bool
    mark: pyvips.Image | None


class Proof:
    """Remember parts of the picture as it is written, and again as it is read back, and compare them."""

    def __init__(self, mark: Mark) -> None:
        self._mark = mark
        self._samples: list[Sample] = []
        self._found: list[pyvips.Image] = []
        self._reduction = 1

    def writing(self, image: pyvips.Image) -> pyvips.Image:
        """Return the picture without its mark so that the samples are taken when it is read."""
        image = held_open(image)
        frame = image.width, frame_height(image)
        marked = _marked_box(self._mark, frame)
        for last in (False, True)[: frame_count(image)]:
            frame_top = image.height - frame[1] if last else 0
            for box in (marked, *_elsewhere(self._mark, frame)):
                left, top, width, height = box
                before = _remembered(image.crop(left, frame_top + top, width, height))
                image = image.insert(before, left, frame_top + top)
                self._samples.append(Sample(before, box, last, _piece(self._mark, box) if box is marked else None))
        return image

    def reading(self, image: pyvips.Image, reduction: int) -> pyvips.Image:
        """Return the file's picture so that the same boxes are taken when it is read.

        Args:
            reduction: how many times smaller than the file it was decoded: 1, 2, 4 or 8.
        """
        image = held_open(image)
        self._found, self._reduction = [], reduction
        for sample in self._samples:
            left, top, width, height = (value // reduction for value in sample.box)
            frame_top = image.height - frame_height(image) if sample.last else 0
            piece = _remembered(image.crop(left, frame_top + top, max(1, width), max(1, height)))
            image = image.insert(piece, left, frame_top + top)
            self._found.append(piece)
        return image

    def check(self) -> None:
        """Compare what was written with what was read back.

        A mark too faint to change the picture by one level, such as one of opacity 0, has nothing to prove.

        Raises:
            VerifyError: the mark is not there, or the picture changed where no mark is.
        """
        for sample, after in zip(self._samples, self._found, strict=True):
            _compare(sample, _plain(after), self._reduction)

    def reduction(self) -> int:
        """Largest reduction that leaves the mark 16 pixels a side."""
        least = min(min(sample.box[2:]) for sample in self._samples if sample.mark is not None)
        return next(reduction for reduction in (8, 4, 2, 1) if least // reduction >= 16 or reduction == 1)


def check_frame(mark: Mark, before: pyvips.Image, after: pyvips.Image) -> None:
    """Compare a frame of a video with the same frame without its mark; both RGB uchar.

    Raises:
        VerifyError: as `Proof.check`.
    """
    frame = before.width, before.height
    if min(mark.image.width, mark.image.height) < _GRID_PX:
        return  # a video has one colour for four pixels, which such a mark does not survive
    marked = _marked_box(mark, frame)
    for box in (marked, *_elsewhere(mark, frame)):
        piece = _piece(mark, box) if box is marked else None
        _compare(Sample(before.crop(*box), box, False, piece), _plain(after.crop(*box)), 1)


def _compare(sample: Sample, after: pyvips.Image, reduction: int) -> None:
    before = _reduced(_plain(sample.before), reduction)
    if sample.mark is None:
        if abs(after.avg() - before.avg()) > _UNTOUCHED_LEVELS:
            raise VerifyError("the picture changed where the mark is not; try again", reason="changed_elsewhere")
        return
    before = before.copy_memory()
    change = (_reduced(_plain(blended(sample.before, sample.mark)), reduction) - before).copy_memory()
    energy = (change * change).avg()
    if energy >= _VISIBLE and ((after - before) * change).avg() < _PRESENT_SHARE * energy:
        raise VerifyError("the mark is not in the picture that was made; try again", reason="mark_missing")


def _reduced(image: pyvips.Image, reduction: int) -> pyvips.Image:
    return image.shrink(reduction, reduction) if reduction > 1 else image


def _remembered(region: pyvips.Image) -> pyvips.Image:
    """Keep what is read of `region`, a strip at a time."""
    return region.tilecache(tile_width=region.width, tile_height=16, max_tiles=-1, threaded=True, persistent=True)


def _plain(image: pyvips.Image) -> pyvips.Image:
    """Bring pixels to levels of 0 to 255 in three bands without transparency."""
    full = 65535.0 if image.format == "ushort" else 255.0
    if image.hasalpha():
        image = image.flatten(background=[full / 2], max_alpha=full)
    return image.cast("float") * (255.0 / full) if full != 255.0 else image.cast("float")


def _marked_box(mark: Mark, frame: tuple[int, int]) -> Box:
    """Box of at most 1024 pixels a side over the mark, its middle where the mark is larger, on the grid."""
    left, width = _span(mark.left_px, mark.image.width, frame[0])
    top, height = _span(mark.top_px, mark.image.height, frame[1])
    return left, top, width, height


def _span(start: int, length: int, side: int) -> tuple[int, int]:
    if length > _SAMPLE_PX:
        start, length = start + (length - _SAMPLE_PX) // 2, _SAMPLE_PX
    first = start // _GRID_PX * _GRID_PX
    end = min(-(-(start + length) // _GRID_PX) * _GRID_PX, side)
    whole = (end - first) // _GRID_PX * _GRID_PX
    return first, whole or end - first


def _elsewhere(mark: Mark, frame: tuple[int, int]) -> list[Box]:
    """Up to two boxes that the mark does not touch, from opposite corners."""
    side = _ELSEWHERE_PX
    far = (frame[0] - side) // _GRID_PX * _GRID_PX, (frame[1] - side) // _GRID_PX * _GRID_PX
    corners = [(0, 0), far, (far[0], 0), (0, far[1])]
    boxes: list[Box] = [(left, top, side, side) for left, top in corners if min(left, top) >= 0 and min(far) >= 0]
    return [box for box in boxes if not _overlap(box, mark)][:2]


def _overlap(box: Box, mark: Mark) -> bool:
    apart_x = box[0] + box[2] + _GRID_PX <= mark.left_px or mark.left_px + mark.image.width + _GRID_PX <= box[0]
    apart_y = box[1] + box[3] + _GRID_PX <= mark.top_px or mark.top_px + mark.image.height + _GRID_PX <= box[1]
    return not (apart_x or apart_y)


def _piece(mark: Mark, box: Box) -> pyvips.Image:
    left, top, width, height = box
    return mark.image.embed(mark.left_px - left, mark.top_px - top, width, height)
