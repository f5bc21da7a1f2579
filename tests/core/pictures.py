"""Make the pictures that the tests of the media functions work on."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyvips
import wand.image

PATCH_PX = 48
# L*, a*, b* inside sRGB: skin, foliage, sky, primaries, greys.
PATCHES: tuple[tuple[float, float, float], ...] = (
    (38, 13, 14), (65, 18, 17), (50, -5, -22), (43, -13, 22), (55, 9, -24), (70, -32, 0),
    (62, 33, 55), (40, 10, -43), (51, 46, 15), (31, 22, -21), (72, -22, 55), (71, 18, 65),
    (30, 15, -48), (55, -37, 32), (42, 50, 26), (81, 3, 76), (51, 46, -13), (52, -24, -22),
    (95, 0, 1), (81, 0, 0), (66, 0, 0), (50, 0, 0), (35, 0, 0), (21, 0, 0),
)  # fmt: skip
# Outside sRGB, inside Display P3.
WIDE_PATCHES: tuple[tuple[float, float, float], ...] = (
    (60, 85, 72), (80, -85, 70), (86, -78, 20), (58, 90, 60), (75, 40, 95), (90, -60, 85),
)  # fmt: skip
COLUMNS = 6


def chart(patches: Sequence[tuple[float, float, float]] = PATCHES) -> pyvips.Image:
    """Flat patches, six in a row, in CIELAB."""
    squares = [
        pyvips.Image.black(PATCH_PX, PATCH_PX, bands=3).linear(1, list(lab)).cast("float").copy(interpretation="lab")
        for lab in patches
    ]
    return pyvips.Image.arrayjoin(squares, across=COLUMNS).copy(interpretation="lab")


def coded(image: pyvips.Image, profile: str, depth: int = 8) -> pyvips.Image:
    """Turn CIELAB into pixels of `profile` (srgb, p3, cmyk or a file), the profile attached."""
    return image.icc_export(output_profile=profile, depth=depth, intent="relative")


def lab_of(path: Path) -> pyvips.Image:
    """Read the file as a colour-managed viewer does: by its own profile, else as sRGB."""
    image = pyvips.Image.new_from_file(str(path))
    if image.hasalpha():
        image = image.extract_band(0, n=image.bands - 1)
    if image.get_typeof("icc-profile-data") == 0:
        return image.colourspace("srgb" if image.format == "uchar" else "rgb16").icc_import(
            input_profile="srgb", embedded=False, intent="relative"
        )
    return image.icc_import(embedded=True, intent="relative")


def worst_difference(got: pyvips.Image, expected: pyvips.Image) -> float:
    """The largest CIEDE2000 difference between the middles of the patches of two charts."""
    worst = 0.0
    for row in range(expected.height // PATCH_PX):
        for column in range(COLUMNS):
            box = column * PATCH_PX + 16, row * PATCH_PX + 16, 16, 16
            means = [_mean(image.crop(*box)) for image in (got, expected)]
            worst = max(worst, means[0].dE00(means[1])(0, 0)[0])
    return worst


def _mean(image: pyvips.Image) -> pyvips.Image:
    return image.cast("float").shrink(image.width, image.height).copy(interpretation="lab")


def photo(width_px: int = 320, height_px: int = 240, *, bands: int = 3) -> pyvips.Image:
    """Smooth colour and some noise, as a photograph has."""
    place = pyvips.Image.xyz(width_px, height_px)
    noise = pyvips.Image.gaussnoise(width_px, height_px, sigma=12, seed=7)
    red, green = place[0] / width_px * 200 + noise, place[1] / height_px * 200 + noise
    blue = (red + green) / 2 + 20
    image = red.bandjoin([green, blue])[0:bands] if bands > 1 else red
    return image.cast("uchar").copy(interpretation="srgb" if bands > 1 else "b-w").copy_memory()


def corners() -> pyvips.Image:
    """64 x 32: top left red, top right green, bottom left blue, bottom right white."""
    tiles = [
        (pyvips.Image.black(32, 16, bands=3) + colour).cast("uchar").copy(interpretation="srgb")
        for colour in ([255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255])
    ]
    return pyvips.Image.arrayjoin(tiles, across=2).copy(interpretation="srgb")


def with_alpha(image: pyvips.Image) -> pyvips.Image:
    """The left half opaque, the right half transparent."""
    full = 65535 if image.format == "ushort" else 255
    mask = (pyvips.Image.xyz(image.width, image.height)[0] < image.width // 2).ifthenelse(full, 0)
    return image.bandjoin(mask.cast(image.format)).copy(interpretation=image.interpretation)


def animation(frames: int = 5, width_px: int = 60, height_px: int = 40, delay_ms: int = 80) -> pyvips.Image:
    """Frames of one flat colour each, from dark to light, that loop three times."""
    pages = [
        pyvips.Image.black(width_px, height_px, bands=3).linear(1, [40 + 30 * n, 200 - 20 * n, 90]).cast("uchar")
        for n in range(frames)
    ]
    image = pyvips.Image.arrayjoin(pages, across=1).copy(interpretation="srgb")
    image.set_type(pyvips.GValue.gint_type, "page-height", height_px)
    image.set_type(pyvips.GValue.array_int_type, "delay", [delay_ms + n for n in range(frames)])
    image.set_type(pyvips.GValue.gint_type, "loop", 3)
    return image


def by_magick(image: pyvips.Image, path: Path, format: str, **settings: Any) -> Path:
    """Write a format that libvips does not, with ImageMagick."""
    with wand.image.Image(blob=image.pngsave_buffer(), format="png") as picture:
        picture.format = format
        for name, value in settings.items():
            setattr(picture, name, value)
        picture.save(filename=f"{format}:{path}")
    return path


def heic_with(data: bytes, kind: bytes, payload: bytes) -> bytes:
    """Give the main item of a HEIC file, as ImageMagick writes it, one more property."""
    box = struct.pack(">I4s", 8 + len(payload), kind) + payload
    ipco, ipma, iprp, meta, iloc = (data.index(name) - 4 for name in (b"ipco", b"ipma", b"iprp", b"meta", b"iloc"))
    ipma_end = ipma + _size(data, ipma)
    count, at = 0, ipco + 8
    while at < ipma:
        count, at = count + 1, at + _size(data, at)
    main = data.index(b"pitm") + 8
    entry = data.rindex(data[main : main + 2], ipma, ipma_end)
    changed = bytearray(data)
    changed[entry + 2] += 1
    for start, more in ((ipco, len(box)), (ipma, 1), (iprp, len(box) + 1), (meta, len(box) + 1)):
        changed[start : start + 4] = struct.pack(">I", _size(data, start) + more)
    first_offset = iloc + (22 if data[iloc + 8] else 20)
    changed[first_offset : first_offset + 4] = struct.pack(">I", _size(data, first_offset) + len(box) + 1)
    changed[ipma_end:ipma_end] = bytes([0x80 | (count + 1)])
    changed[ipma:ipma] = box
    return bytes(changed)


def _size(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def png_header(width_px: int, height_px: int, *chunks: bytes) -> bytes:
    """A PNG that claims a size and holds one byte of pixels."""
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 6, 0, 0, 0)
    parts = [_chunk(b"IHDR", header), *chunks, _chunk(b"IDAT", zlib.compress(b"\0")), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_bomb(side_px: int) -> bytes:
    """A grey PNG of zeros: `side_px` squared pixels in a few kilobytes."""
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + side_px // 8)
    data = b"".join(packer.compress(row) for _ in range(side_px)) + packer.flush()
    header = struct.pack(">IIBBBBB", side_px, side_px, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def apng(frames: int) -> bytes:
    """An animated PNG of 1 x 1 frames."""
    control = b"".join(_chunk(b"fcTL", struct.pack(">IIIIIHHBB", n, 1, 1, 0, 0, 0, 100, 0, 0)) for n in range(frames))
    return png_header(1, 1, _chunk(b"acTL", struct.pack(">II", frames, 0)), control)


def gif_bomb(frames: int) -> bytes:
    """A GIF of 1 x 1 frames without delay."""
    frame = b"\x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0\1\0\1\0\0\x02\x02\x44\x01\0"
    return b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + frame * frames + b"\x3b"


def webp_bomb(frames: int) -> bytes:
    """An animated WebP of 1 x 1 frames."""
    still: bytes = pyvips.Image.black(1, 1, bands=3).cast("uchar").webpsave_buffer()
    payload = b"\0" * 15 + b"\0" + still[12:]
    frame = b"ANMF" + struct.pack("<I", len(payload)) + payload
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02" + b"\0" * 9 + b"ANIM" + struct.pack("<I", 6) + b"\0" * 6
    return b"RIFF" + struct.pack("<I", len(body) + len(frame) * frames) + body + frame * frames


def jpeg_claiming(width_px: int, height_px: int) -> bytes:
    """A small JPEG whose frame header claims another size."""
    data = bytearray(photo(64, 64).jpegsave_buffer(Q=50))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height_px, width_px)
    return bytes(data)


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))
