"""How fast running jobs are: in Redis beside the ledger for some seconds, for whoever looks at a job.

It decides nothing, so nobody is fenced from writing it, and it goes by itself when a job ends or its worker dies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import redis

from geniequeue.jobs.ledger import reachable
from geniequeue.jobs.stored import object_of

KEEP_S = 5
NO_PACE: Mapping[str, float | None] = {"speed": None, "left_s": None}


def pace_key(bull_job_id: str) -> str:
    """String of JSON: `speed` and `left_s` of one job."""
    return f"gq:pace:{bull_job_id}"


def write_pace(client: redis.Redis, bull_job_id: str, *, speed: float | None, left_s: float) -> None:
    """Say how fast a job is.

    Args:
        speed: seconds of video that are done in a second; None where there are none.
        left_s: seconds until its work is done.

    Raises:
        LedgerUnavailable: Redis cannot be reached.
    """
    told = {"speed": None if speed is None else round(speed, 3), "left_s": round(left_s, 1)}
    with reachable():
        client.set(pace_key(bull_job_id), json.dumps(told), ex=KEEP_S)


def read_pace(client: redis.Redis, bull_job_id: str) -> dict[str, Any]:
    """Return `speed` and `left_s` of a job; None for what nobody has said within the last seconds.

    Raises:
        LedgerUnavailable: Redis cannot be reached.
    """
    with reachable():
        told = object_of(str(client.get(pace_key(bull_job_id)) or ""))
    return {name: told.get(name) for name in NO_PACE}
