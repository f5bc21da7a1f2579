"""What happens to a picture between its delivery and the leak: functions from (H, W, 3) uint8 to the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Attack = Callable[[Picture], Picture]


def as_picture(values: NDArray[np.floating]) -> Picture:
    """Rounded and clipped."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def after(*steps: Attack) -> Attack:
    """One attack after the other."""
    return lambda picture: reduce(lambda so_far, step: step(so_far), steps, picture)


def coded(suffix: str, quality: int) -> Attack:
    """Encoded and decoded; JPEG with halved chroma, as everywhere."""
    option = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".webp": cv2.IMWRITE_WEBP_QUALITY}[suffix]

    def attack(picture: Picture) -> Picture:
        done, data = cv2.imencode(suffix, picture[..., ::-1], [option, quality])
        assert done
        return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])

    return attack


def jpeg(quality: int) -> Attack:
    return coded(".jpg", quality)


def webp(quality: int) -> Attack:
    return coded(".webp", quality)


def scaled(x: float, y: float | None = None) -> Attack:
    """Both sides by a factor, or each by its own."""

    def attack(picture: Picture) -> Picture:
        size = max(1, round(picture.shape[1] * x)), max(1, round(picture.shape[0] * (x if y is None else y)))
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if x < 1 else cv2.INTER_CUBIC)

    return attack


def fitted(longest_px: int) -> Attack:
    """The longest side at so many pixels."""
    return lambda picture: scaled(longest_px / max(picture.shape[:2]))(picture)


def area(share: float, down: float = 0.37, right: float = 0.61) -> Attack:
    """Only this share of the area is left, off the middle."""

    def attack(picture: Picture) -> Picture:
        factor = np.sqrt(share)
        height, width = (int(n * factor) for n in picture.shape[:2])
        top, left = int((picture.shape[0] - height) * down), int((picture.shape[1] - width) * right)
        return picture[top : top + height, left : left + width].copy()

    return attack


def turned(degrees: float, *, cut: bool = True) -> Attack:
    """Turned around the middle; the black corners are cut off or stay."""

    def attack(picture: Picture) -> Picture:
        height, width = picture.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
        result = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_CUBIC)
        if not cut:
            return result
        margin = int(min(height, width) * min(0.28, abs(np.sin(np.deg2rad(degrees))) * 0.55)) + 2
        return result[margin : height - margin, margin : width - margin].copy()

    return attack


def mirrored(picture: Picture) -> Picture:
    return picture[:, ::-1].copy()


def upended(picture: Picture) -> Picture:
    return np.rot90(picture).copy()


def light(brightness: float, contrast: float) -> Attack:
    return lambda picture: as_picture((picture.astype(np.float32) - 128) * contrast + 128 + brightness)


def noise(deviation: float) -> Attack:
    def attack(picture: Picture) -> Picture:
        return as_picture(picture + np.random.default_rng(1).normal(0, deviation, picture.shape))

    return attack


def blurred(sigma: float) -> Attack:
    return lambda picture: cv2.GaussianBlur(picture, (0, 0), sigma)


def grey(picture: Picture) -> Picture:
    return np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)


def written_over(picture: Picture) -> Picture:
    """Three lines of large text."""
    result, (height, width) = picture.copy(), picture.shape[:2]
    for line, down in enumerate((0.2, 0.55, 0.9)):
        colour = (255, 255, 255) if line % 2 else (255, 40, 40)
        place, size = (int(width * 0.08), int(height * down)), width / 400
        cv2.putText(result, "LEAKED CONTENT", place, cv2.FONT_HERSHEY_DUPLEX, size, colour, max(2, width // 200))
    return result


def on_a_phone(picture: Picture) -> Picture:
    """A screenshot: the picture in the middle of a dark screen of 1080x2340 with bars above and below."""
    screen = np.full((2340, 1080, 3), 13, np.uint8)
    shown = scaled(min(1080 / picture.shape[1], 1900 / picture.shape[0]))(picture)
    top, left = (2340 - shown.shape[0]) // 2, (1080 - shown.shape[1]) // 2
    screen[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    cv2.putText(screen, "12:41   LTE 84%", (40, 70), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (255, 255, 255), 3)
    cv2.putText(screen, "Like   Comment   Share", (60, 2260), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (255, 255, 255), 3)
    return jpeg(80)(screen)


def photographed(picture: Picture) -> Picture:
    """A camera before a screen: perspective, blur, gamma, noise, JPEG 75."""
    small = fitted(1280)(picture)
    height, width = small.shape[:2]
    corners = np.float32([(0, 0), (width, 0), (width, height), (0, height)])
    seen = np.float32([(0.03, 0.02), (0.97, 0.05), (0.99, 0.97), (0.01, 0.93)]) * np.float32([width, height])
    matrix = cv2.getPerspectiveTransform(corners, seen)
    values = cv2.warpPerspective(small, matrix, (width, height), flags=cv2.INTER_CUBIC)
    values = 255 * (cv2.GaussianBlur(values, (0, 0), 0.8).astype(np.float32) / 255) ** 1.15
    values = values * 0.92 + 6 + np.random.default_rng(2).normal(0, 4, values.shape)
    return jpeg(75)(as_picture(values))


def through_a_lens(picture: Picture) -> Picture:
    """Barrel distortion of 3 % at the corners."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    u, v = (x - width / 2) / (width / 2), (y - height / 2) / (width / 2)
    bend = 1 + 0.03 * (u * u + v * v)
    to_x, to_y = u * bend * width / 2 + width / 2, v * bend * width / 2 + height / 2
    return cv2.remap(picture, to_x.astype(np.float32), to_y.astype(np.float32), cv2.INTER_CUBIC)


def inside_another(picture: Picture) -> Picture:
    """At 40 % of its width over noise of another kind."""
    rng = np.random.default_rng(4)
    coarse = rng.integers(0, 256, (18, 32, 3), np.uint8)
    stage = as_picture(
        cv2.resize(coarse, (1600, 900), interpolation=cv2.INTER_CUBIC) * 0.8 + rng.normal(20, 8, (900, 1600, 3))
    )
    shown = scaled(min(640 / picture.shape[1], 760 / picture.shape[0]))(picture)
    stage[90 : 90 + shown.shape[0], 880 : 880 + shown.shape[1]] = shown[:, : 1600 - 880]
    return jpeg(80)(stage)


BASIC: dict[str, Attack] = {
    "none": lambda picture: picture,
    "JPEG 95": jpeg(95),
    "JPEG 75": jpeg(75),
    "JPEG 50": jpeg(50),
    "JPEG 30": jpeg(30),
    "WebP 50": webp(50),
    "half size": scaled(0.5),
    "quarter size": scaled(0.25),
    "10 % cut off": area(0.9),
    "30 % cut off": area(0.7),
    "50 % cut off": area(0.5),
    "turned 2°": turned(2),
    "turned 2°, black corners": turned(2, cut=False),
    "screenshot 0.43x, JPEG 80": after(scaled(0.43), light(4, 1.03), jpeg(80)),
    "screenshot of a phone": on_a_phone,
    "brighter by 20": light(20, 1),
    "contrast x1.2": light(0, 1.2),
    "noise of 10": noise(10),
    "blur of 2 px": blurred(2),
    "text over it": written_over,
    "10 % cut off, 1080 px, JPEG 70": after(area(0.9), fitted(1080), jpeg(70)),
    "50 % cut off, half size, JPEG 50": after(area(0.5), scaled(0.5), jpeg(50)),
    "grey, JPEG 60": after(grey, jpeg(60)),
}
HARD: dict[str, Attack] = {
    "mirrored": mirrored,
    "turned 7°": turned(7),
    "turned 15°": turned(15),
    "turned 30°": turned(30),
    "turned 90°": upended,
    "60 % x 50 %": scaled(0.6, 0.5),
    "3 % barrel": through_a_lens,
    "thumbnail 320 px, JPEG 70": after(fitted(320), jpeg(70)),
    "thumbnail 320 px, JPEG 50": after(fitted(320), jpeg(50)),
    "thumbnail 320 px, WebP 60": after(fitted(320), webp(60)),
    "10 % of the area": area(0.1),
    "5 % of the area": area(0.05),
    "2 % of the area": area(0.02),
    "photo of a screen": photographed,
    "picture in picture, 40 %": inside_another,
    "10 % of the area, half size, JPEG 60": after(area(0.1), scaled(0.5), jpeg(60)),
}
