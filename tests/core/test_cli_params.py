"""Params on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from geniequeue.cli.exits import WrongUsage
from geniequeue.cli.params import read_params, upload_file_params


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("width=1080", 1080),
        ("opacity=0.4", 0.4),
        ("upscale=true", True),
        ("format=webp", "webp"),
        ("watermark_text=@creator", "@creator"),
        ('watermark_text="123"', "123"),
        ("watermark_text=a=b", "a=b"),
        ("watermark_text=", ""),
        ("color=#ffffff", "#ffffff"),
        ("width=NaN", "NaN"),
        ("segments=[[0, 1]]", [[0, 1]]),
    ],
)
def test_a_value_is_json_where_it_parses_and_text_elsewhere(text: str, value: object) -> None:
    assert list(read_params(None, [text]).values()) == [value]


def test_a_single_param_wins_over_the_whole_object() -> None:
    assert read_params('{"width": 1, "height": 2}', ["width=3"]) == {"width": 3, "height": 2}


@pytest.mark.parametrize("text", ["width", "=3", ""])
def test_a_param_without_a_name_or_value_is_wrong_usage(text: str) -> None:
    with pytest.raises(WrongUsage, match="expected name=value"):
        read_params(None, [text])


@pytest.mark.parametrize("text", ["[1]", "{", "3", "null"])
def test_params_that_are_no_json_object_are_wrong_usage(text: str) -> None:
    with pytest.raises(WrongUsage, match="expected a JSON object"):
        read_params(text, [])


def test_a_file_behind_an_at_sign_is_uploaded_where_the_param_takes_one(tmp_path: Path) -> None:
    logo = tmp_path / "logo.png"
    logo.touch()
    given = {"watermark_file_id": f"@{logo}", "watermark_text": f"@{logo}"}
    sent = upload_file_params(given, ["watermark_file_id"], lambda path: f"id of {path.name}")
    assert sent == {"watermark_file_id": "id of logo.png", "watermark_text": f"@{logo}"}


def test_each_file_of_a_list_is_uploaded(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    given = {"input_file_ids": [f"@{tmp_path}/a.mp4", "0f8fad5b", f"@{tmp_path}/b.mp4"]}
    sent = upload_file_params(given, ["input_file_ids"], lambda path: f"id of {path.name}")
    assert sent == {"input_file_ids": ["id of a.mp4", "0f8fad5b", "id of b.mp4"]}


def test_an_at_sign_before_no_file_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="expected a file"):
        upload_file_params({"watermark_file_id": f"@{tmp_path}/none.png"}, ["watermark_file_id"], str)
