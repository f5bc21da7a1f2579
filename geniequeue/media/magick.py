"""Decode what libvips does not (HEIC, BMP, PSD) with ImageMagick, under the project's own policy."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pyvips
import wand.exceptions
import wand.image
from wand.api import library

from geniequeue.errors import InputError, PolicyError

_CHAR_PIXEL, _SHORT_PIXEL = 1, 7  # StorageType of ImageMagick 6


def decode(path: Path, format: str) -> pyvips.Image:
    """Decode the first picture in `path` into memory, its colour profile attached.

    Args:
        format: the coder to use, whatever the file claims: heic, bmp or psd.

    Raises:
        InputError: the file is damaged (reason `corrupt_file`).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # By descriptor, because ImageMagick gives `%`, `[` and `:` in a name a meaning of their own.
        with wand.image.Image(filename=f"{format}:/proc/self/fd/{descriptor}[0]") as picture:
            return _to_vips(picture)
    except (wand.exceptions.ResourceLimitError, wand.exceptions.ResourceLimitFatalError) as error:
        raise PolicyError(
            "expected a picture within the limits of this service, got one that needs more; send a smaller one",
            reason="too_many_pixels",
        ) from error
    except (wand.exceptions.WandException, wand.exceptions.WandLibraryVersionError) as error:
        raise InputError(
            f"expected a {format.upper()} picture that can be decoded, got one that is damaged or of a kind that is "
            "not supported; convert it to JPEG or PNG first",
            reason="corrupt_file",
        ) from error
    finally:
        os.close(descriptor)


def _to_vips(picture: wand.image.Image) -> pyvips.Image:
    if picture.colorspace not in ("srgb", "gray", "cmyk", "rgb"):
        picture.transform_colorspace("srgb")
    cmyk = picture.colorspace == "cmyk"
    channels = "CMYK" if cmyk else "RGBA" if picture.alpha_channel else "RGB"
    deep = picture.depth > 8
    image = _pixels(picture, channels, deep)
    image = image.copy(interpretation="cmyk" if cmyk else "rgb16" if deep else "srgb")
    profile = picture.profiles.get("icc")
    if profile:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", bytes(profile))
    return image


def _pixels(picture: wand.image.Image, channels: str, deep: bool) -> pyvips.Image:
    """Copy the pixels in one call; Wand's own `export_pixels` makes a Python integer of each."""
    width_px, height_px = picture.size
    count = width_px * height_px * len(channels)
    buffer = ((ctypes.c_uint16 if deep else ctypes.c_uint8) * count)()
    storage = _SHORT_PIXEL if deep else _CHAR_PIXEL
    done = library.MagickExportImagePixels(
        picture.wand, 0, 0, width_px, height_px, channels.encode(), storage, ctypes.byref(buffer)
    )
    if not done:
        picture.raise_exception()
    return pyvips.Image.new_from_memory(buffer, width_px, height_px, len(channels), "ushort" if deep else "uchar")
