"""Checks of the running service: Redis, records, workers, API, Flower."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

import redis
import requests

from geniequeue.cli.checks_directus import clock_finding, directus_findings
from geniequeue.cli.checks_marks import traces_finding
from geniequeue.cli.embedded import REDIS_FOLDER
from geniequeue.cli.finding import Finding
from geniequeue.cli.ports import LOOPBACK
from geniequeue.config import Settings
from geniequeue.errors import LedgerUnavailable, RecordsError, SettingsError
from geniequeue.jobs import fitness
from geniequeue.jobs.ledger import Ledger, connect, reachable
from geniequeue.jobs.workers import HANGS, Workers
from geniequeue.log import redact
from geniequeue.operations import QUEUES
from geniequeue.records import open_store

CURRENT_REDIS = 7
START = "start the service with `geniequeue up`"


def service_findings(settings: Settings) -> Iterator[Finding]:
    """Look at the service."""
    client = connect(settings.redis_url)
    yield from _redis(client, settings)
    if settings.directus_url is None:
        yield from _embedded_records(settings)
    else:
        yield from directus_findings(settings, settings.directus_url)
    yield from _workers(client)
    yield from _paused(Ledger(client, settings.ledger_prefix))
    yield _http("API", f"{settings.api_url}/healthz")
    yield _http("Flower", f"http://{LOOPBACK}:{settings.flower_port}/healthcheck")


def _redis(client: redis.Redis, settings: Settings) -> Iterator[Finding]:
    try:
        info = client.info()
    except redis.RedisError as error:
        said = fitness.sentence(error)
        yield Finding(
            "Redis", "problem", redact(str(error)), f"{START}, or check REDIS_URL" if said == fitness.AWAY else said
        )
        return
    yield _version(str(info.get("redis_version", "unknown")), settings)
    why_not = fitness.unfit(Ledger(client, settings.ledger_prefix))
    if why_not:
        yield Finding("Redis writes", "problem", "it refuses them", why_not)
    yield _policy(str(info.get("maxmemory_policy", "unknown")), settings)
    if info.get("aof_enabled"):
        yield Finding("Redis disk", "ok", "append-only file on")
    else:
        yield Finding("Redis disk", "warning", "no append-only file", "set appendonly yes, appendfsync everysec")
    yield _redis_clock(client)


def _version(version: str, settings: Settings) -> Finding:
    major = version.partition(".")[0]
    embedded = (settings.var_dir / REDIS_FOLDER).is_dir()
    if major.isdigit() and int(major) < CURRENT_REDIS:
        advice = "fine for development; in production run a current server and set REDIS_URL"
        return Finding("Redis", "warning", f"{version}{', embedded' if embedded else ''}", advice)
    return Finding("Redis", "ok", version)


def _policy(policy: str, settings: Settings) -> Finding:
    if policy == fitness.SAFE_POLICY:
        return Finding("Redis memory", "ok", f"maxmemory-policy {policy}")
    verdict: Literal["warning", "problem"] = "warning" if settings.may_evict else "problem"
    return Finding("Redis memory", verdict, f"maxmemory-policy {policy}", "jobs get lost: set it to noeviction")


def _redis_clock(client: redis.Redis) -> Finding:
    began_s = time.time()
    seconds, microseconds = client.time()
    told_s = seconds + microseconds / 1e6
    return clock_finding("Redis", told_s - time.time(), told_s - began_s)


def _embedded_records(settings: Settings) -> Iterator[Finding]:
    try:
        store = open_store(settings)
        store.ping()
        yield Finding("records", "ok", "embedded, they answer")
        yield traces_finding(store.as_service(), settings.watermark_traces)
    except (RecordsError, SettingsError) as error:
        yield Finding("records", "problem", str(error), "check VAR_DIR")


def _workers(client: redis.Redis) -> Iterator[Finding]:
    try:
        live, silent = Workers(client).live(), Workers(client).silent()
    except LedgerUnavailable:
        live, silent = {}, {}
    for queue in QUEUES:
        nodes = live.get(queue, [])
        if nodes:
            yield Finding(f"worker {queue}", "ok", ", ".join(nodes))
        elif silent.get(queue):
            yield Finding(f"worker {queue}", "problem", ", ".join(silent[queue]), f"{HANGS}; otherwise {START}")
        else:
            yield Finding(f"worker {queue}", "problem", "none", START)


def _paused(ledger: Ledger) -> Iterator[Finding]:
    """Tell of queues that somebody has paused; nothing of them runs."""
    for queue in QUEUES:
        try:
            with reachable():
                paused = ledger.client.hexists(ledger.queue_keys(queue).meta(), "paused")
        except LedgerUnavailable:
            return
        if paused:
            advice = "nothing of it runs: resume it with the tool that paused it (BullMQ: queue.resume())"
            yield Finding(f"queue {queue}", "warning", "paused", advice)


def _http(name: str, url: str) -> Finding:
    """Ask an address whether somebody answers there."""
    status, place = _status(url), url.rpartition("/")[0]
    if status == 200:
        return Finding(name, "ok", f"answers at {place}")
    return Finding(name, "problem", f"HTTP {status} at {place}" if status else f"nothing answers at {place}", START)


def _status(url: str) -> int | None:
    try:
        return requests.get(url, timeout=5, allow_redirects=False).status_code
    except requests.RequestException:
        return None
