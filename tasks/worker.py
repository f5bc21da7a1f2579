"""What a worker does besides tasks: heartbeats from its main process, the sandbox of its pool child."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import redis
from celery import Celery, bootsteps, signals

from geniequeue.config import Settings
from geniequeue.errors import LedgerUnavailable
from geniequeue.jobs import fitness
from geniequeue.jobs.keys import QueueKeys
from geniequeue.jobs.ledger import connect
from geniequeue.jobs.workers import BEAT_S, Workers
from geniequeue.log import get_logger
from geniequeue.operations import MEDIA_QUEUE
from geniequeue.sandbox import client as sandbox_client
from geniequeue.sandbox import jail
from tasks import last_words
from tasks.keeper import KeeperStep

JOB_FOLDER_PREFIX = "job-"
PR_SET_PDEATHSIG = 1

log = get_logger(__name__)


class Heartbeats(bootsteps.StartStopStep):  # type: ignore[misc]  # celery is untyped
    """A thread of the main process that says every 2 s that the worker lives."""

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        settings: Settings = parent.app.conf.geniequeue
        self._node = parent.hostname
        self._queues = sorted(parent.app.amqp.queues.consume_from)
        # BullMQ's clients count the connections of this name as the queue's workers
        name = QueueKeys(settings.ledger_prefix, self._queues[0]).connection_name(self._node)
        self._workers = Workers(connect(settings.redis_url, name=name))
        self._stopped = threading.Event()

    def start(self, parent: Any) -> None:
        """Start beating."""
        del parent
        threading.Thread(target=self._beat, name="heartbeats", daemon=True).start()

    def stop(self, parent: Any) -> None:
        """Say goodbye, so that nobody waits for the heartbeat to run out."""
        del parent
        self._stopped.set()
        try:
            self._workers.leave(self._node, self._queues)
        except LedgerUnavailable as error:
            log.warning("goodbye not said", error=str(error))

    def _beat(self) -> None:
        in_trouble = False
        while not self._stopped.is_set():
            try:
                self._workers.beat(self._node, self._queues)
                in_trouble = False
            except LedgerUnavailable as error:
                if not in_trouble:
                    log.warning("no heartbeat", error=str(error))
                in_trouble = True
            self._stopped.wait(BEAT_S)


class FitRedis(bootsteps.Step):  # type: ignore[misc]  # celery is untyped
    """Refuse to serve a queue that Redis may throw away."""

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        refuse_eviction(parent.app.conf.geniequeue)


def refuse_eviction(settings: Settings) -> None:
    """End the process with a sentence where Redis drops keys when it is full; one that does not answer may yet come."""
    try:
        policy = fitness.evicting(connect(settings.redis_url))
    except redis.RedisError as error:
        log.error("Redis does not tell its eviction policy", why=fitness.sentence(error), error=str(error))
        return
    if policy and settings.may_evict:
        log.warning("REDIS_EVICTION=allow: Redis may throw jobs and leases away", policy=policy)
    elif policy:
        sys.exit(f"geniequeue: the worker does not start: {fitness.evicts(policy)} REDIS_EVICTION=allow overrides.")


class MediaHost(bootsteps.Step):  # type: ignore[misc]  # celery is untyped
    """Refuse to serve media without a sandbox, and remove what a killed worker left.

    A step and not a signal handler, because Celery goes on when a handler breaks.
    """

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        if serves_media(parent.app):
            settings: Settings = parent.app.conf.geniequeue
            refuse_without_sandbox(settings)
            remove_leftovers(settings.media_tmp_dir)


def refuse_without_sandbox(settings: Settings) -> None:
    """End the process with a sentence where outside bytes could only be decoded without a jail."""
    if not settings.sandbox:
        log.warning("SANDBOX=off: outside bytes are decoded without a jail")
        return
    why_not = jail.available()
    if why_not:
        sys.exit(f"geniequeue: the media worker does not start without its sandbox: {why_not}. SANDBOX=off overrides.")


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left; only one media worker uses a folder, and nobody else may look into it."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for left in folder.glob(f"{JOB_FOLDER_PREFIX}*"):
        log.warning("removing what a killed process left", folder=left.name)
    empty_folder(folder)


def empty_folder(folder: Path) -> None:
    """Remove everything in a folder."""
    for left in folder.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def install(app: Celery) -> None:
    """Add the worker's own steps to an app."""
    app.steps["worker"].update((FitRedis, Heartbeats, MediaHost, KeeperStep))


def serves_media(app: Celery) -> bool:
    """Tell whether this worker consumes the media queue."""
    return MEDIA_QUEUE in app.amqp.queues.consume_from


@signals.worker_process_init.connect
def _tie_to_parent(**_: Any) -> None:
    """Let this pool child die with its worker's main process, whose lease nobody would renew."""
    die_with_parent()
    last_words.listen()


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that started it ends; see prctl(2)."""
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended in between
        os.kill(os.getpid(), signal.SIGKILL)


@signals.worker_process_init.connect
def _warm_sandbox(**_: Any) -> None:
    """Start the sandbox with the pool child, in its main thread, to which its life is tied.

    What the pool child before this one left is removed: its job may have ended with it, so nobody else would do that.
    """
    from tasks.celery_app import app

    if serves_media(app):
        remove_leftovers(app.conf.geniequeue.media_tmp_dir)
        media_sandbox(app.conf.geniequeue)


@signals.worker_process_shutdown.connect
def _close_sandbox(**_: Any) -> None:
    from tasks.celery_app import app

    if serves_media(app):
        media_sandbox(app.conf.geniequeue).close()


def media_sandbox(settings: Settings) -> sandbox_client.Sandbox:
    """Return the sandbox of this pool child, started on first use."""
    return _sandbox_of(settings.media_tmp_dir, settings.sandbox, settings.ffmpeg_binary, os.getpid())


@cache
def _sandbox_of(root: Path, enabled: bool, ffmpeg: Path | None, pid: int) -> sandbox_client.Sandbox:
    del pid
    sandbox = sandbox_client.Sandbox(root, enabled=enabled, ffmpeg=ffmpeg)
    sandbox.start()
    return sandbox
