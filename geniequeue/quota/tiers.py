"""Tiers and their limits, read from `tiers.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from geniequeue.errors import SettingsError

UNLIMITED = -1
NOT_IN_TIER = 0


@dataclass(frozen=True)
class Tiers:
    """The table of tiers.

    Attributes:
        features: units per billing cycle, by feature and tier; -1 is unlimited, 0 is not in the tier.
        aliases: other names of tiers.
        fallback: the tier of whoever has none, or one that is not in the table.
    """

    features: Mapping[str, Mapping[str, int]]
    aliases: Mapping[str, str]
    fallback: str

    def name_of(self, stored: str | None) -> str:
        """Return the tier that a stored word means."""
        word = (stored or "").strip().lower()
        word = self.aliases.get(word, word)
        return word if any(word in limits for limits in self.features.values()) else self.fallback

    def limit(self, stored: str | None, feature: str) -> int:
        """Return how many units of a feature a tier has in one billing cycle."""
        return self.features[feature][self.name_of(stored)]


@cache
def load_tiers() -> Tiers:
    """Read the table that ships with the project."""
    return parse_tiers(resources.files("geniequeue.quota").joinpath("tiers.toml").read_text(encoding="utf-8"))


def parse_tiers(text: str) -> Tiers:
    """Read a table.

    Raises:
        SettingsError: names every fault.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"tiers.toml: {error}"]) from None
    if faults := [f"tiers.toml: {fault}" for fault in _faults(table)]:
        raise SettingsError(faults)
    return Tiers(table["features"], table["aliases"], table["fallback"])


def _faults(table: Mapping[str, Any]) -> Iterator[str]:
    features, aliases, fallback = table.get("features"), table.get("aliases"), table.get("fallback")
    if not isinstance(features, dict) or not features or not all(isinstance(row, dict) for row in features.values()):
        yield "expected a table `features` with a table of limits for each feature"
        return
    tiers = set().union(*features.values())
    for feature, limits in features.items():
        yield from (
            f"features.{feature}: expected a limit for {tier}, got none" for tier in sorted(tiers - set(limits))
        )
        for tier, limit in limits.items():
            if type(limit) is not int or limit < UNLIMITED:
                yield f"features.{feature}.{tier}: expected a whole number from -1, got {limit!r}"
    if not isinstance(aliases, dict):
        yield "expected a table `aliases`"
    elif unknown := sorted(str(tier) for tier in aliases.values() if tier not in tiers):
        yield f"aliases: expected names of tiers, got {', '.join(unknown)}"
    if fallback not in tiers:
        yield f"fallback: expected the name of a tier, got {fallback!r}"
