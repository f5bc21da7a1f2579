"""The table of tiers is what the product promises, and a wrong one is named."""

from __future__ import annotations

import pytest

from geniequeue.errors import SettingsError
from geniequeue.operations import OPERATIONS
from geniequeue.quota.tiers import load_tiers, parse_tiers

TIERS = ("starter", "creator", "pro", "studio")


@pytest.mark.parametrize(
    ("feature", "limits"),
    [
        ("media_modifications", (5, 30, 150, -1)),
        ("watermark_ops", (-1, -1, -1, -1)),
        ("ai_clip_ops", (0, 10, 150, -1)),
        ("profile_scrapes", (5, 100, 500, -1)),
        ("posts_published", (5, 90, -1, -1)),
    ],
)
def test_every_tier_has_its_limit(feature: str, limits: tuple[int, ...]) -> None:
    assert tuple(load_tiers().limit(tier, feature) for tier in TIERS) == limits


def test_every_feature_of_an_operation_is_in_the_table() -> None:
    assert {operation.feature for operation in OPERATIONS.values()} - {None} <= set(load_tiers().features)


@pytest.mark.parametrize(
    ("stored", "meant"),
    [("freemium", "starter"), ("elite", "studio"), (" Pro ", "pro"), ("gold", "starter"), (None, "starter")],
)
def test_other_names_are_understood_and_unknown_ones_are_starters(stored: str | None, meant: str) -> None:
    assert load_tiers().name_of(stored) == meant


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("fallback = ", "tiers.toml"),
        ("", "expected a table `features`"),
        ("fallback='a'\n[aliases]\n[features]\nf={a=1.5}", r"features\.f\.a: expected a whole number"),
        ("fallback='a'\n[aliases]\n[features]\nf={a=-2}", r"features\.f\.a: expected a whole number"),
        ("fallback='a'\n[aliases]\n[features]\nf={a=1,b=1}\ng={a=1}", r"features\.g: expected a limit for b"),
        ("fallback='z'\n[aliases]\n[features]\nf={a=1}", "fallback: expected the name"),
        ("fallback='a'\n[aliases]\nx='z'\n[features]\nf={a=1}", "aliases: expected names of tiers, got z"),
    ],
)
def test_a_wrong_table_is_named(text: str, fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        parse_tiers(text)
