"""The `params` of every operation as marshmallow schemas, checked by the API and again by the worker.

Numbers are strict: `"100"`, `1.5` for an integer, `true` and NaN are refused, so that what was accepted is what runs.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema

IMAGE_FORMATS = ("jpeg", "png", "webp", "avif", "gif", "tiff")
POSITIONS = ("tl", "tr", "bl", "br", "center", "tile")
GRAVITIES = ("center", "north", "south", "east", "west", "northeast", "northwest", "southeast", "southwest")
FITS = ("inside", "cover", "contain", "fill")
MAX_SIDE_PX = 16384
MAX_TEXT_CHARS = 500
MAX_FAN_CHARS = 200

# control characters, halves of surrogates, what is not assigned, separators of lines and paragraphs
_INVISIBLE = frozenset({"Cc", "Cs", "Cn", "Zl", "Zp"})
_COLOUR = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})\Z")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_ASPECT = re.compile(r"([1-9][0-9]{0,4}):([1-9][0-9]{0,4})\Z")


class StrictInteger(fields.Integer):
    """A JSON integer: no string, no fraction, no boolean."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError(f"expected a whole number, got {_shown(value)}")
        return value


class StrictFloat(fields.Float):
    """A finite JSON number: no string, no boolean, no NaN."""

    def _validated(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
            raise ValidationError(f"expected a number, got {_shown(value)}")
        return float(value)


class Text(fields.String):
    """Printable text of bounded length; NUL and other control characters but newline and tab are refused."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:  # noqa: ARG002
        if not isinstance(value, str):
            raise ValidationError(f"expected text, got {_shown(value)}")
        if any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 for c in value):
            raise ValidationError("control characters are not allowed")
        if any(0xD800 <= ord(c) <= 0xDFFF for c in value):
            raise ValidationError("not valid Unicode text")
        return value


class UuidText(fields.String):
    """A UUID in its 36 characters; lower-cased."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not isinstance(text, str) or not _UUID.match(text):
            raise ValidationError("expected a UUID")
        return text.lower()


def _shown(value: Any) -> str:
    return repr(value) if len(repr(value)) <= 40 else f"{repr(value)[:40]}…"


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


class Between(validate.Range):
    """A range whose message says what was expected, and what was sent."""

    def __call__(self, value: Any) -> Any:
        """Check a number."""
        try:
            return super().__call__(value)
        except ValidationError:
            raise ValidationError(f"expected {self.words}, got {_shown(value)}") from None

    @property
    def words(self) -> str:
        """The range for a person: `1 to 100`."""
        return f"{f'{self.min} to' if self.min_inclusive else f'more than {self.min} and at most'} {self.max}"


class OneOf(validate.OneOf):
    """Words whose message says what was expected, and what was sent."""

    def __call__(self, value: Any) -> Any:
        """Check a word."""
        try:
            return super().__call__(value)
        except ValidationError:
            raise ValidationError(f"expected one of {self.choices_text}, got {_shown(value)}") from None


def side() -> StrictInteger:
    """Width or height of a picture in pixels, 1 to 16384."""
    return StrictInteger(validate=Between(1, MAX_SIDE_PX))


def quality(default: int = 85) -> StrictInteger:
    """Encoder quality, 1 (small) to 100 (best)."""
    return StrictInteger(load_default=default, validate=Between(1, 100))


def colour(default: str) -> fields.String:
    """A colour as #rgb or #rrggbb."""
    message = "expected a colour as #rgb or #rrggbb"
    return fields.String(load_default=default, validate=validate.Regexp(_COLOUR, error=message))


class ParamsSchema(Schema):
    """Base: an unknown member is an error that names it. Every field loads plain JSON, for that is what is stored."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "unknown parameter"}  # noqa: RUF012 (marshmallow reads it from the instance)


class ConvertImageParams(ParamsSchema):
    """`background` shows through where the target format has no transparency."""

    format = fields.String(required=True, validate=OneOf(IMAGE_FORMATS))
    quality = quality()
    background = colour("#ffffff")


class ResizeImageParams(ParamsSchema):
    """One side or both; without `upscale` nothing becomes larger than it was."""

    width = side()
    height = side()
    fit = fields.String(load_default="inside", validate=OneOf(FITS))
    upscale = fields.Boolean(load_default=False, truthy={True}, falsy={False})
    format = fields.String(validate=OneOf(IMAGE_FORMATS))
    quality = quality()
    background = colour("#ffffff")

    @validates_schema
    def _needs_a_side(self, data: Mapping[str, Any], **_: Any) -> None:
        if "width" not in data and "height" not in data:
            raise ValidationError("give width, height or both", "width")


class CropImageParams(ParamsSchema):
    """A box (`x, y, width, height`), or `aspect`, or `width, height` placed by `gravity`."""

    x = StrictInteger(validate=Between(0, MAX_SIDE_PX))
    y = StrictInteger(validate=Between(0, MAX_SIDE_PX))
    width = side()
    height = side()
    aspect = fields.String(validate=validate.Regexp(_ASPECT, error='expected an aspect such as "4:5"'))
    gravity = fields.String(load_default="center", validate=OneOf(GRAVITIES))

    @validates_schema
    def _one_way_to_say_it(self, data: Mapping[str, Any], **_: Any) -> None:
        if "aspect" in data:
            for name in ("x", "y", "width", "height"):
                if name in data:
                    raise ValidationError("give either aspect or a box, not both", name)
            return
        for name in ("width", "height"):
            if name not in data:
                raise ValidationError("required unless aspect is given", name)
        if ("x" in data) != ("y" in data):
            raise ValidationError("x and y go together", "x" if "x" not in data else "y")


class StripMetadataParams(ParamsSchema):
    """`keep_icc` keeps the colour profile, without which wide-gamut pictures look wrong."""

    keep_icc = fields.Boolean(load_default=True, truthy={True}, falsy={False})


class ApplyWatermarkParams(ParamsSchema):
    """`opacity` 0 to 1; above 1 it is read as percent, as the original system's clients send it."""

    watermark_text = Text(validate=validate.Length(1, MAX_TEXT_CHARS))
    watermark_file_id = UuidText(metadata={"format": "uuid"})
    position = fields.String(load_default="br", validate=OneOf(POSITIONS))
    opacity = StrictFloat(load_default=0.7, validate=Between(0, 100))
    margin = StrictInteger(load_default=20, validate=Between(0, 4096))
    scale = StrictFloat(load_default=0.15, validate=Between(0, 1, min_inclusive=False))
    color = colour("#ffffff")
    format = fields.String(load_default="auto", validate=OneOf(("auto", *IMAGE_FORMATS)))

    @validates_schema
    def _text_or_file(self, data: Mapping[str, Any], **_: Any) -> None:
        if ("watermark_text" in data) == ("watermark_file_id" in data):
            raise ValidationError("give either watermark_text or watermark_file_id", "watermark_text")
        if "watermark_text" in data and not data["watermark_text"].strip():
            raise ValidationError("expected text that shows, got only blanks", "watermark_text")


class FanText(fields.String):
    """What the web app calls a fan: bounded text on one line, without a control character or an invisible one."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        del attr, data, kwargs
        # what was sent is not repeated: the name of a fan stands in no answer and no log
        if not isinstance(value, str):
            raise ValidationError("expected text")
        if not value.strip() or len(value) > MAX_FAN_CHARS:
            raise ValidationError(f"expected 1 to {MAX_FAN_CHARS} characters that are not all blanks")
        if any(unicodedata.category(c) in _INVISIBLE for c in value):
            raise ValidationError("control characters are not allowed")
        return value


class FanMarkParams(ParamsSchema):
    """`strength` 1 is the strongest that is not seen; `allow_marked` lets a copy be marked once more."""

    fan_id = FanText(required=True)
    strength = StrictFloat(load_default=1.0, validate=Between(0.5, 2))
    allow_marked = fields.Boolean(load_default=False, truthy={True}, falsy={False})
    format = fields.String(load_default="auto", validate=OneOf(("auto", *IMAGE_FORMATS)))
    quality = quality(90)
    background = colour("#ffffff")


class TraceLeakParams(ParamsSchema):
    """`asset_file_id` is the file whose copies are compared; without it the system looks for it."""

    asset_file_id = UuidText(metadata={"format": "uuid"})
