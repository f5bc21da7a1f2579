"""The part of the taxonomy cache that all processes share: its generation, and its figures.

The cache itself belongs to the workers. They compare the generation with the one they built from, rebuild when it has
grown, and write the figures; the API reads them and only ever raises the generation.
"""

from __future__ import annotations

from typing import TypedDict, cast

import redis

from geniequeue.jobs import keys
from geniequeue.jobs.ledger import reachable


class Figures(TypedDict):
    """Use of the cache since it was first built; `size` is the number of entries now."""

    hits: int
    misses: int
    size: int


class TaxonomyGeneration:
    """The shared counter.

    Every method raises `LedgerUnavailable` when Redis cannot be reached.

    Args:
        client: connection with decoded responses.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def invalidate(self) -> int:
        """Make every process rebuild its cache before it uses it again; return the new generation."""
        with reachable():
            return self._redis.hincrby(keys.taxonomy(), "generation", 1)

    def figures(self) -> Figures:
        """Return hits, misses and size, summed over all processes."""
        with reachable():
            stored = cast("list[str | None]", self._redis.hmget(keys.taxonomy(), ["hits", "misses", "size"]))
        hits, misses, size = (int(value or 0) for value in stored)
        return Figures(hits=hits, misses=misses, size=size)
