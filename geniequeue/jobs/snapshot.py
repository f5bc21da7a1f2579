"""What the workers answer to Celery's `inspect`, kept fresh in the background: no request waits for a broadcast."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter

import redis
from celery import Celery

from geniequeue.jobs import keys
from geniequeue.jobs.broker import TASK_NAMES
from geniequeue.jobs.ledger import reachable
from geniequeue.jobs.workers import Workers
from geniequeue.log import get_logger

REFRESH_S = 0.8
STALE_AFTER_S = 3.0
INSPECT_TIMEOUT_S = 0.6

log = get_logger(__name__)


class Snapshot:
    """The number of active tasks per queue, as the workers last said; `Ledger.overview` reads it.

    Args:
        client: connection with decoded responses.
        app: Celery app to broadcast with.
        workers: who is expected to answer.
    """

    def __init__(self, client: redis.Redis, app: Celery, workers: Workers) -> None:
        self._redis = client
        self._app = app
        self._workers = workers

    def refresh(self) -> None:
        """Ask the live workers, unless another process just did."""
        with reachable():
            if not self._redis.set(keys.snapshot_lock(), "1", nx=True, px=int(REFRESH_S * 1000)):
                return
        answered = self._ask()
        with reachable():
            self._redis.set(keys.snapshot(), json.dumps(answered), px=int(STALE_AFTER_S * 1000))

    def refresh_until(self, stopped: threading.Event) -> None:
        """Refresh in a loop; trouble with Redis is logged once and waited out."""
        in_trouble = False
        while not stopped.wait(REFRESH_S / 2):
            try:
                self.refresh()
                in_trouble = False
            except Exception as error:  # kombu lets through what its transport raises, and the thread must live on
                if not in_trouble:
                    log.warning("no snapshot of the workers", error=str(error))
                in_trouble = True

    def _ask(self) -> dict[str, int]:
        live = self._workers.live()
        nodes = sorted({node for queue_nodes in live.values() for node in queue_nodes})
        if not nodes:
            return {}
        started = time.monotonic()
        answers = (
            self._app.control.inspect(destination=nodes, timeout=INSPECT_TIMEOUT_S, limit=len(nodes)).active() or {}
        )
        log.debug("workers answered", nodes=len(answers), took_s=round(time.monotonic() - started, 3))
        jobs = Counter(
            task["delivery_info"]["routing_key"]
            for tasks in answers.values()
            for task in tasks
            if task["type"] in TASK_NAMES.values()
        )
        return {queue: jobs[queue] for queue, expected in live.items() if set(expected) & set(answers)}
