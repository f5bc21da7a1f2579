"""Plain Celery on Redis, set as its documentation says for work that must not be lost, for `bench/chaos`.

Environment: REDIS_URL; LINES, a file that gets a line when a task begins and one when it has ended.
"""

import os
import time

import redis
from celery import Celery

app = Celery("plain", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)
client = redis.Redis.from_url(os.environ["REDIS_URL"])


@app.task(name="work")
def work(job: str, lasts_s: float) -> None:
    """Take some time."""
    tell("begin", job)
    time.sleep(lasts_s)
    tell("end", job)


@app.task(name="nothing")
def nothing() -> None:
    """Say that it ran."""
    client.lpush("done", 1)


def tell(what: str, job: str) -> None:
    """Add a line to the file; short ones are written in one piece."""
    with open(os.environ["LINES"], "a") as lines:  # noqa: PTH123 - the peer stays plain
        lines.write(f"{what} {job}\n")
