"""The project's own ImageMagick policy, asked through the real library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import geniequeue.sandbox
from tests.core import pictures

POLICY = Path(geniequeue.sandbox.__file__).parent / "imagemagick"
_ASK = """
import json, sys
from wand.image import Image
answers = {}
for name in json.loads(sys.argv[1]):
    try:
        with Image(filename=name) as image:
            answers[name] = "read"
    except Exception as error:
        answers[name] = type(error).__name__
print(json.dumps(answers))
"""
CONTENTS = {
    "svg": '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="/etc/passwd"/></svg>',
    "mvg": "viewbox 0 0 9 9 rectangle 1,1 5,5",
    "msl": '<?xml version="1.0"?><image><read filename="xc:red[4x4]"/></image>',
    "ps": "%!PS\nshowpage\n",
    "eps": "%!PS-Adobe-3.0 EPSF-3.0\nshowpage\n",
    "pdf": "%PDF-1.4\n",
    "xps": "PK\x03\x04",
    "txt": "hello",
}


def ask(names: list[str]) -> dict[str, str]:
    """Let ImageMagick open each name under the policy, in a process of its own."""
    environment = {**os.environ, "MAGICK_CONFIGURE_PATH": str(POLICY)}
    done = subprocess.run(
        [sys.executable, "-c", _ASK, json.dumps(names)], env=environment, capture_output=True, text=True, check=True
    )
    answers: dict[str, str] = json.loads(done.stdout)
    return answers


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    for kind, text in CONTENTS.items():
        (folder / f"a.{kind}").write_text(text)
        (folder / f"{kind}.png").write_text(text)
    for kind in ("bmp", "psd", "png", "heic", "jpg", "gif"):
        pictures.by_magick(pictures.photo(64, 48), folder / f"x.{kind}", kind)
    return folder


def test_row_59_documents_and_scripts_are_refused_under_any_name(samples: Path) -> None:
    names = [str(samples / f"a.{kind}") for kind in CONTENTS]
    names += [f"{kind}:{samples}/a.{kind}" for kind in CONTENTS]
    names += [f"{samples}/{kind}.png" for kind in CONTENTS]
    assert "read" not in ask(names).values()


def test_pseudo_pictures_that_open_files_or_the_network_are_refused(samples: Path) -> None:
    text = samples / "a.txt"
    names = [
        "url:file:///etc/passwd", "https://127.0.0.1/x.png", f"@{text}", f"ephemeral:{text}", f"text:{text}",
        f"caption:@{text}", f"label:@{text}", "pango:hello", "xc:red", "fd:0", "|id", "inline:data:image/png;base64,",
        "clipboard:", "x:", "screenshot:", "plasma:", "gradient:", f"msl:{samples}/a.msl", "vid:*.png",
    ]  # fmt: skip
    assert "read" not in ask(names).values()


def test_what_libvips_decodes_is_left_to_libvips(samples: Path) -> None:
    assert ask([f"jpeg:{samples}/x.jpg"]) == {f"jpeg:{samples}/x.jpg": "PolicyError"}
    assert ask([f"gif:{samples}/x.gif"]) == {f"gif:{samples}/x.gif": "PolicyError"}


def test_bmp_psd_heic_and_png_are_read(samples: Path) -> None:
    names = [f"{kind}:{samples}/x.{kind}" for kind in ("bmp", "psd", "heic", "png")]
    assert set(ask(names).values()) == {"read"}


def test_the_limits_are_the_ones_of_phone_pictures() -> None:
    code = "import json, wand.resource as r; print(json.dumps({k: r.limits[k] for k in ('width','height','time')}))"
    environment = {**os.environ, "MAGICK_CONFIGURE_PATH": str(POLICY)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"width": 16384, "height": 16384, "time": 120}
