"""What kombu's Redis transport does differently here: it delivers no message a second time by itself.

A message is a hint, the ledger and its leases decide; whoever finds out that a job has lost its worker sends a new one.
So kombu gives nothing back when a connection breaks or an hour has passed, and what is rejected goes to the front.

Everything here rests on kombu's inside. `check` tells what of it is not as it was read.
"""

from __future__ import annotations

import inspect
from typing import Any

import kombu
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from geniequeue.faults import reach
from geniequeue.log import get_logger

KOMBU = (5, 7)
VISIBILITY_TIMEOUT_S = 10 * 365 * 86_400
"""Never: the scan for messages that are not acknowledged finds nothing."""


log = get_logger(__name__)


class Kept(kombu_redis.QoS):
    """Messages that a worker has taken: one that is rejected goes back to the front, where it came from."""

    restore_at_shutdown = False

    def ack(self, delivery_tag: str) -> None:
        """Forget a message: its job is done, put off or put back."""
        reach("broker.ack")
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except BaseException:
            # what lies in `unacked` is forgotten later; one that counted as unacknowledged would be the last one taken
            virtual.QoS.ack(self, delivery_tag)
            raise

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back, or drop it."""
        if requeue:
            try:
                # RPUSH: the end that BRPOP takes from
                self.restore_by_tag(delivery_tag, leftmost=False)  # type: ignore[no-untyped-call]
            finally:
                virtual.QoS.ack(self, delivery_tag)
        else:
            super().reject(delivery_tag)  # type: ignore[no-untyped-call]


class Channel(kombu_redis.Channel):
    """A channel that drops what is no message; Celery would end the worker for it."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            log.exception("something that is no message was dropped from a broker list")
            return None


def install(steps: int) -> None:
    """Change kombu's Redis transport, in this process.

    Args:
        steps: of priority; kombu clamps to ten on a class attribute that no option reaches.

    Raises:
        RuntimeError: this kombu is another one than this was written for.
    """
    faults = check()
    if faults:
        raise RuntimeError(f"expected kombu {KOMBU[0]}.{KOMBU[1]} as it was read, got {kombu.__version__}: {faults}")
    Channel.max_priority = steps - 1
    Channel.do_restore = False
    Channel.QoS = Kept
    # what names the class itself in kombu, and what asks it for the number of steps
    kombu_redis.Channel.max_priority = steps - 1
    kombu_redis.Transport.Channel = Channel


def check() -> list[str]:
    """Return what of kombu's inside is not what this module relies on."""
    faults = []
    if kombu.VERSION[:2] != KOMBU:
        faults.append("version")
    for method, words in (
        (virtual.QoS.restore_unacked_once, ("self.channel.do_restore",)),
        (kombu_redis.QoS.restore_by_tag, ("leftmost=False", "_remove_from_indices(tag, pipe)")),
        (kombu_redis.QoS.restore_visible, ("time() - self.visibility_timeout",)),
        (kombu_redis.Channel._do_restore_message, ("pipe.lpush if leftmost else pipe.rpush",)),
        (kombu_redis.Channel._put, ("lpush(key, dumps(message))",)),
        (kombu_redis.Channel._brpop_start, ("'BRPOP'",)),
        (virtual.base.Channel.close, ("self._qos.restore_unacked_once()",)),
    ):
        source = inspect.getsource(method)
        faults += [f"{method.__qualname__}: {word}" for word in words if word not in source]
    return faults


def adopt(channel: Any, requests: list[Any]) -> int:
    """Let a new channel have the messages of running requests, whose own was lost with its connection.

    Returns:
        how many there are; they count for the prefetch again, and can be acknowledged.
    """
    for request in requests:
        request.message.channel = channel
        channel.qos._quick_append(request.message.delivery_tag, request.message)
    return len(requests)
