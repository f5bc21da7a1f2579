"""Our message against the one that Celery's own `send_task` writes to a real Redis."""

from __future__ import annotations

import base64
import json
from typing import Any

import redis

from geniequeue.jobs.broker import TASK_NAMES, Envelopes, broker_list, job_kwargs, make_app
from geniequeue.jobs.job import Run, Spec
from geniequeue.operations import MEDIA_QUEUE

SPEC = Spec("convert_image", "job", "owner", {"watermark_text": "secret"}, priority=40, request_id="req")
RUN = Run("3f0c5d86-0000-4000-8000-000000000001", 1, MEDIA_QUEUE, "bull:media-jobs:7", SPEC, "")


def sent_by_celery(redis_url: str, step: int) -> tuple[str, dict[str, Any]]:
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    client.flushdb()
    app = make_app(redis_url)
    app.send_task(
        TASK_NAMES[MEDIA_QUEUE],
        args=[RUN.id],
        kwargs=job_kwargs(RUN),
        task_id=RUN.id,
        queue=MEDIA_QUEUE,
        priority=step,
        shadow="convert_image",
    )
    lists = list(client.scan_iter("media-jobs*"))
    assert len(lists) == 1
    return lists[0], json.loads(client.lrange(lists[0], 0, -1)[0])


def test_our_message_is_the_one_that_send_task_writes(redis_url: str) -> None:
    key, theirs = sent_by_celery(redis_url, step=32)
    ours = json.loads(Envelopes().message(RUN))
    assert key == broker_list(RUN)
    for message in (ours, theirs):
        assert message["properties"].pop("delivery_tag")
        message["properties"].pop("reply_to")
        message["headers"].pop("origin")
        # the exchange is where it came by, not where it goes
        message["properties"]["delivery_info"].pop("exchange")
        message["body"] = json.loads(base64.b64decode(message["body"]))
    assert ours == theirs


def test_a_message_names_the_run_and_none_of_its_params() -> None:
    message = Envelopes().message(RUN)
    body = base64.b64decode(json.loads(message)["body"]).decode()
    assert RUN.id in body
    assert "secret" not in message + body


def test_two_messages_never_share_a_delivery_tag() -> None:
    envelopes = Envelopes()
    tags = {json.loads(envelopes.message(RUN))["properties"]["delivery_tag"] for _ in range(100)}
    assert len(tags) == 100
