"""Celery's settings and the message of a job, in one place for those who publish and those who consume."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from geniequeue.jobs import delivery, keys
from geniequeue.jobs.job import Run
from geniequeue.jobs.priorities import STEPS, step_of
from geniequeue.operations import MEDIA_QUEUE, ONBOARDING_QUEUE, QUEUES, SCRAPE_QUEUE

TASK_NAMES: Mapping[str, str] = {
    MEDIA_QUEUE: "media.run",
    SCRAPE_QUEUE: "scrape.run",
    ONBOARDING_QUEUE: "onboarding.run",
}
"""Celery task that serves each queue; stored in messages, so never reused for something else."""

MESSAGE_VERSION = 1


def celery_settings(redis_url: str) -> dict[str, Any]:
    """Return the settings of every Celery app of the project."""
    return {
        "broker_url": redis_url,
        "broker_connection_retry_on_startup": True,
        # an outage may last as long as it likes, and Redis may refuse instead of being away
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_transport_options": {
            "queue_order_strategy": "priority",
            "priority_steps": list(range(STEPS)),
            "sep": ":",
            "visibility_timeout": delivery.VISIBILITY_TIMEOUT_S,
            "socket_keepalive": True,
            "socket_connect_timeout": 5,
            "health_check_interval": 10,
        },
        "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        "task_default_queue": ONBOARDING_QUEUE,
        "task_create_missing_queues": False,
        "task_routes": {task: {"queue": queue} for queue, task in TASK_NAMES.items()},
        # a message is acknowledged when its job has reached a state, not when it is fetched
        "task_acks_late": True,
        "task_reject_on_worker_lost": False,
        "worker_prefetch_multiplier": 1,
        # the records hold the results; a result backend would hold them a second time
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "worker_send_task_events": True,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # an encode must not be cut off because the broker went away; the lease decides who may write
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_max_tasks_per_child": 20,
        "enable_utc": True,
        "timezone": "UTC",
    }


def make_app(redis_url: str, *, current: bool = True) -> Celery:
    """Return a Celery app with the project's settings.

    Args:
        current: whether it is the one that Celery's own code falls back to in this thread.
    """
    delivery.install(STEPS)
    app = Celery("geniequeue", set_as_current=current)
    app.conf.update(celery_settings(redis_url))
    return app


class Envelopes:
    """Builds the messages of jobs as Celery's own `send_task` would.

    Celery's serializer makes one message per queue; each job's message is that one with its own ids filled in. The
    ledger's script pushes it in the same step that writes the ledger, which `send_task` could not.
    """

    def __init__(self) -> None:
        self._templates = {queue: _template(queue) for queue in QUEUES}

    def message(self, run: Run) -> str:
        """Return the broker message of a run."""
        template, embed = self._templates[run.queue]
        args, kwargs = [run.id], job_kwargs(run)
        headers = {
            "id": run.id,
            "root_id": run.id,
            "shadow": run.spec.operation,
            "argsrepr": repr(args),
            "kwargsrepr": repr(kwargs),
        }
        properties = {
            "correlation_id": run.id,
            "delivery_tag": str(uuid.uuid4()),
            "priority": step_of(run.spec.priority),
        }
        envelope = {
            "body": base64.b64encode(json.dumps([args, kwargs, embed]).encode()).decode(),
            "headers": template["headers"] | headers,
            "properties": template["properties"] | properties,
        }
        return json.dumps(template | envelope)


def job_kwargs(run: Run) -> dict[str, Any]:
    """Return the keyword arguments of a job's task: names only, never params."""
    return {"bull_job_id": run.bull_job_id, "request_id": run.spec.request_id, "version": MESSAGE_VERSION}


def broker_list(run: Run) -> str:
    """Return the Redis list that the run's message goes to."""
    return keys.broker_list(run.queue, step_of(run.spec.priority))


def _template(queue: str) -> tuple[dict[str, Any], Any]:
    """Let Celery send one task to kombu's in-memory transport, which keeps messages as the Redis one does.

    Returns:
        the message, and the last part of its body, which is the same for every job.
    """
    app = make_app("memory://", current=False)
    app.conf.broker_transport_options = {}
    with app.connection_for_write() as connection:
        app.send_task(TASK_NAMES[queue], args=["-"], kwargs={}, queue=queue, priority=0, connection=connection)
        channel = connection.default_channel
        message: dict[str, Any] = channel._get(queue)
    app.close()
    _, _, embed = json.loads(base64.b64decode(message["body"]))
    return message, embed
