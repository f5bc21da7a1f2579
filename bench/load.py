"""A small load generator: keep-alive connections in threads of a process of its own."""

from __future__ import annotations

import http.client
import multiprocessing
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

Request = tuple[str, str, bytes | None]


@dataclass(frozen=True)
class Load:
    """What a load came to.

    Attributes:
        per_s: requests answered per second.
        p50_ms, p99_ms: latency.
        statuses: how often each status came.
    """

    per_s: float
    p50_ms: float
    p99_ms: float
    statuses: dict[int, int]


def _connection(port: int, token: str, requests: Sequence[Request], out: list[tuple[float, int]]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    for method, path, body in requests:
        began = time.perf_counter()
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        reply.read()
        out.append((time.perf_counter() - began, reply.status))
    connection.close()


def _send(port: int, token: str, requests: Sequence[Request], connections: int, pipe: object) -> None:
    out: list[tuple[float, int]] = []
    shares = [requests[number::connections] for number in range(connections)]
    threads = [threading.Thread(target=_connection, args=(port, token, share, out)) for share in shares]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send((time.perf_counter() - began, out))  # type: ignore[attr-defined]


def load(port: int, token: str, requests: Sequence[Request], connections: int) -> Load:
    """Send `requests` over `connections` and measure each.

    Args:
        port: loopback port of the API.
        token: bearer token.
        requests: method, path and body of each.
        connections: keep-alive connections that share them.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_send, args=(port, token, requests, connections, theirs)
    )
    process.start()
    took_s, answers = ours.recv()
    process.join()
    latencies = sorted(latency for latency, _ in answers)
    statuses = [status for _, status in answers]
    return Load(
        per_s=len(answers) / took_s,
        p50_ms=statistics.median(latencies) * 1000,
        p99_ms=latencies[int(0.99 * (len(latencies) - 1))] * 1000,
        statuses={status: statuses.count(status) for status in set(statuses)},
    )
