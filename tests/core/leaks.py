"""What a fan does to his copy before he leaks it."""

from __future__ import annotations

from pathlib import Path

import pyvips


def cropped_half_size(source: Path, target: Path, *, quality: int) -> Path:
    """Crop a tenth off each side, shrink to half size, compress."""
    image = pyvips.Image.new_from_file(str(source))
    left, top = image.width // 10, image.height // 10
    image = image.crop(left, top, image.width - 2 * left, image.height - 2 * top).resize(0.5)
    image.jpegsave(str(target), Q=quality, keep="none")
    return target
