"""Calling scripts on a real Redis, also one that was just lost."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from geniequeue.scripts import Scripts


@pytest.fixture(autouse=True)
def _numbers_begin(redis_client: redis.Redis) -> None:
    """Nothing is on record."""
    for queue in ("media-jobs", "scrape-jobs"):
        redis_client.set(f"gq:largest:{queue}", 0)


@pytest.fixture
def scripts(redis_client: redis.Redis) -> Scripts:
    """The ledger's script that gives numbers."""
    return Scripts(redis_client, "geniequeue.jobs", ("number",))


@contextmanager
def cutting_proxy(redis_url: str) -> Iterator[tuple[str, threading.Event]]:
    """Stand before Redis; once the event is set, hand on questions and keep the answers: the connection is cut."""
    behind, cut = urlsplit(redis_url), threading.Event()

    def serve(listener: socket.socket) -> None:
        front, _ = listener.accept()
        with front, socket.create_connection((behind.hostname, behind.port)) as back:
            while question := front.recv(65536):
                back.sendall(question)
                answer = back.recv(65536)
                if cut.is_set():
                    return
                front.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(serve, listener)
        port = listener.getsockname()[1]
        yield redis_url.replace(f":{behind.port}/", f":{port}/"), cut


def next_number(scripts: Scripts, queue: str = "media-jobs") -> int:
    return int(scripts.call("number", [f"bull:{queue}:id", f"gq:largest:{queue}"], [f"bull:{queue}:"])[0])


def connected(client: redis.Redis) -> set[str]:
    """Return the ids of all other connections."""
    return {entry["id"] for entry in client.client_list()} - {str(client.client_id())}


def test_calls_one_after_another_use_one_connection(redis_client: redis.Redis, scripts: Scripts) -> None:
    next_number(scripts)
    before = connected(redis_client)
    assert [next_number(scripts) for _ in range(5)] == [2, 3, 4, 5, 6]
    assert connected(redis_client) == before


def test_a_connection_that_was_lost_meanwhile_is_made_again(redis_client: redis.Redis, scripts: Scripts) -> None:
    next_number(scripts)
    redis_client.client_kill_filter(_type="normal", skipme=True)
    assert next_number(scripts) == 2
    assert next_number(scripts) == 3


def test_a_server_that_forgot_the_script_is_taught_it(redis_client: redis.Redis, scripts: Scripts) -> None:
    next_number(scripts)
    redis_client.script_flush()
    assert next_number(scripts) == 2


def test_threads_that_call_at_once_get_their_own_answers(scripts: Scripts) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda _: next_number(scripts), range(200)))
    assert sorted(numbers) == list(range(1, 201))


def test_what_redis_refuses_is_raised_and_the_next_call_works(redis_client: redis.Redis, scripts: Scripts) -> None:
    next_number(scripts)
    before = connected(redis_client)
    redis_client.lpush("bull:scrape-jobs:id", "no number")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        next_number(scripts, "scrape-jobs")
    assert next_number(scripts) == 2
    assert connected(redis_client) == before


def test_a_call_whose_answer_was_lost_is_not_made_again(redis_client: redis.Redis, redis_url: str) -> None:
    with cutting_proxy(redis_url) as (address, cut):
        client = redis.Redis.from_url(address, decode_responses=True, retry=None)
        scripts = Scripts(client, "geniequeue.jobs", ("number",))
        next_number(scripts)
        cut.set()
        with pytest.raises(redis.ConnectionError):
            next_number(scripts)
        assert redis_client.get("bull:media-jobs:id") == "2"


def test_who_makes_the_same_scripts_again_uses_the_same_connections(
    redis_client: redis.Redis, scripts: Scripts
) -> None:
    next_number(scripts)
    before = redis_client.info("stats")["total_connections_received"]
    for _ in range(10):
        next_number(Scripts(redis_client, "geniequeue.jobs", ("number",)))
    assert redis_client.info("stats")["total_connections_received"] == before


def test_no_answer_in_time_is_told_at_once_and_its_answer_reaches_nobody_else(
    redis_client: redis.Redis, redis_url: str
) -> None:
    impatient = redis.Redis.from_url(redis_url, decode_responses=True, socket_timeout=0.2)
    scripts = Scripts(impatient, "geniequeue.jobs", ("number",))
    next_number(scripts)
    redis_client.client_pause(1000)
    with pytest.raises(redis.TimeoutError):
        next_number(scripts)
    redis_client.client_unpause()
    assert next_number(scripts, "scrape-jobs") == 1


def test_a_forked_process_uses_no_connection_of_its_parent(redis_client: redis.Redis, scripts: Scripts) -> None:
    next_number(scripts)
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if next_number(scripts) == 2 else 1
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert next_number(scripts) == 3


def test_without_a_server_the_call_fails_as_a_lost_connection(tmp_path: Path) -> None:
    nobody = redis.Redis(unix_socket_path=str(tmp_path / "nobody"), retry=None)
    with pytest.raises(redis.ConnectionError):
        next_number(Scripts(nobody, "geniequeue.jobs", ("number",)))
