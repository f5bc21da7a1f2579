"""The part of the taxonomy cache that all processes share: its generation, and its figures.

The cache itself belongs to the workers. They compare the generation with the one they built from, rebuild when it has
grown, and write the figures; the API reads them and only ever raises the generation.
"""

from __future__ import annotations

import redis

from geniequeue.jobs import keys
from geniequeue.jobs.ledger import reachable


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
