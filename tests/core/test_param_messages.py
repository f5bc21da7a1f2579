"""What a person reads whose params are outside what is allowed: what was expected, and what was sent."""

from __future__ import annotations

from typing import Any

import pytest
from marshmallow import ValidationError

from geniequeue.operations import OPERATIONS


@pytest.mark.parametrize(
    ("operation", "params", "message"),
    [
        ("resize_image", {"width": 0}, "expected 1 to 16384, got 0"),
        ("resize_image", {"width": 16385}, "expected 1 to 16384, got 16385"),
        ("compress_video", {"crf": 50}, "expected 18 to 40, got 50"),
        ("compress_video", {"target_size_mb": 0}, "expected more than 0 and at most 4096, got 0.0"),
        ("create_teaser", {"duration": 0.5}, "expected 1 to 300, got 0.5"),
        ("resize_image", {"width": 1, "fit": "wide"}, "expected one of inside, cover, contain, fill, got 'wide'"),
    ],
)
def test_a_message_says_what_was_expected_and_what_came(operation: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        OPERATIONS[operation].load_params(params)
    assert [message] in refusal.value.messages_dict.values()


def test_a_message_repeats_no_more_than_a_line_of_what_was_sent() -> None:
    with pytest.raises(ValidationError) as refusal:
        OPERATIONS["resize_image"].load_params({"width": 10**1000, "fit": "x" * 10_000})
    assert all(len(message) < 200 for [message] in refusal.value.messages_dict.values())
