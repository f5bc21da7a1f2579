"""Colour: keep a profile where the target can carry it, go to sRGB where it cannot, never just drop one."""

from __future__ import annotations

from typing import Any

import pyvips

# Formats that carry a profile for RGB, and for one channel of grey.
_CARRY_RGB = frozenset({"jpeg", "png", "webp", "avif", "tiff"})
_CARRY_GREY = frozenset({"jpeg", "png", "tiff"})
_SIXTEEN_BITS = frozenset({"png", "tiff"})
_GREY = ("b-w", "grey16")
_PROFILE = "icc-profile-data"
_MAX_PROFILE_BYTES = 4 << 20
# Four-letter colour space at byte 16 of a profile, by colour channels (ICC.1:2010, 7.2.6).
_SPACES = {b"GRAY": 1, b"RGB ": 3, b"CMYK": 4}


def has_profile(image: pyvips.Image) -> bool:
    """Whether a profile is there that belongs to these channels."""
    return _usable(image)


def tagged(image: pyvips.Image, profile: bytes | None, *, display_p3: bool = False) -> pyvips.Image:
    """Attach the profile that the container names, where the decoder did not."""
    if image.get_typeof(_PROFILE) != 0 or not (profile or display_p3):
        return image
    image = image.copy()
    blob = profile or pyvips.Operation.call("profile_load", "p3")
    image.set_type(pyvips.GValue.blob_type, _PROFILE, blob)
    return image


def for_target(image: pyvips.Image, format: str) -> pyvips.Image:
    """Bring colours and bit depth to what `format` can carry.

    RGB and grey profiles stay in the file where the format has a place for them; CMYK always becomes sRGB, by its own
    profile or else by libvips' standard one, because browsers show CMYK wrongly.
    """
    image = eight_or_sixteen(image)
    if image.format == "ushort" and format not in _SIXTEEN_BITS:
        image = _eight(image)
    carried = _CARRY_GREY if _channels(image) == 1 else _CARRY_RGB
    if _usable(image) and format not in carried:
        image = _to_srgb(image)
    if not _usable(image) and image.get_typeof(_PROFILE) != 0:
        image = _without_profile(image)
    return image


def eight_or_sixteen(image: pyvips.Image) -> pyvips.Image:
    """Bring any decoded image to grey or RGB of 8 or 16 bits, with or without transparency."""
    if image.coding != "none":
        image = image.rad2float() if image.coding == "rad" else image.colourspace("srgb")
    if image.interpretation == "cmyk":
        return _cmyk_to_srgb(image)
    if image.bands > 4:
        image = image.extract_band(0, n=4)
    if image.interpretation in ("srgb", "rgb16", *_GREY) and image.format in ("uchar", "ushort"):
        return image
    return image.colourspace("srgb")


def flattened(image: pyvips.Image, background: str) -> pyvips.Image:
    """Lay the picture on `background`, an sRGB colour, in the picture's own colour space."""
    image = _coloured(image, background)
    return image.flatten(background=ink(image, background), max_alpha=full_scale(image))


def ink(image: pyvips.Image, background: str) -> list[float]:
    """The sRGB colour `background` as pixel values of `image`, without alpha."""
    red, green, blue = rgb(background)
    if red == green == blue and red in (0, 255):
        return [red / 255 * full_scale(image)] * _channels(image)
    dot = pyvips.Image.black(1, 1, bands=3).linear(1, [red, green, blue]).cast("uchar").copy(interpretation="srgb")
    if _usable(image):
        dot = _in_profile(dot, image)
    elif _channels(image) == 1:
        dot = dot.colourspace("b-w")
    return [value * full_scale(image) / full_scale(dot) for value in dot(0, 0)]


def full_scale(image: pyvips.Image) -> float:
    """The largest pixel value, 255 or 65535."""
    return 65535.0 if image.format == "ushort" else 255.0


def rgb(colour: str) -> tuple[int, int, int]:
    """Parse #rgb or #rrggbb into red, green, blue from 0 to 255."""
    digits = colour.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def _coloured(image: pyvips.Image, background: str) -> pyvips.Image:
    """Give a grey picture colour channels if the background needs them."""
    red, green, blue = rgb(background)
    if _channels(image) > 1 or red == green == blue:
        return image
    image = _to_srgb(image) if _usable(image) else image
    return image.colourspace("rgb16" if image.format == "ushort" else "srgb")


def _in_profile(dot: pyvips.Image, image: pyvips.Image) -> pyvips.Image:
    connection = dot.icc_import(input_profile="srgb", embedded=False).copy()
    connection.set_type(pyvips.GValue.blob_type, _PROFILE, image.get(_PROFILE))
    return connection.icc_export(depth=8)


def _usable(image: pyvips.Image) -> bool:
    if image.get_typeof(_PROFILE) == 0:
        return False
    profile: Any = image.get(_PROFILE)
    if not 128 <= len(profile) <= _MAX_PROFILE_BYTES or profile[36:40] != b"acsp":
        return False
    return _SPACES.get(bytes(profile[16:20])) == _channels(image)


def _channels(image: pyvips.Image) -> int:
    return int(image.bands) - int(image.hasalpha())


def _to_srgb(image: pyvips.Image) -> pyvips.Image:
    depth = 16 if image.format == "ushort" else 8
    return _without_profile(image.icc_transform("srgb", embedded=True, intent="relative", depth=depth))


def _cmyk_to_srgb(image: pyvips.Image) -> pyvips.Image:
    depth = 16 if image.format == "ushort" else 8
    own = {"embedded": True} if _usable(image) else {"input_profile": "cmyk", "embedded": False}
    return _without_profile(image.icc_transform("srgb", intent="relative", depth=depth, **own))


def _without_profile(image: pyvips.Image) -> pyvips.Image:
    image = image.copy()
    image.remove(_PROFILE)
    return image


def _eight(image: pyvips.Image) -> pyvips.Image:
    grey = _channels(image) == 1
    return (image >> 8).cast("uchar").copy(interpretation="b-w" if grey else "srgb")
