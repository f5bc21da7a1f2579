"""The HTTP rows again, as bytes on a socket, through the production server as the Procfile starts it."""

from __future__ import annotations

import json
import socket
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from geniequeue.jobs.ledger import Ledger, connect
from tests.api.conftest import Server, read_answer

JSON = "Content-Type: application/json"
STATS = "/api/queue/stats"
MEDIA = "/api/queue/media"


@pytest.fixture(autouse=True)
def _empty_redis(redis_url: str) -> None:
    connect(redis_url).flushdb()


def get(server: Server, path: str, *lines: str) -> tuple[int, dict[str, str], bytes]:
    return server.exchange(server.head("GET", path, *lines) + b"\r\n")


def send(server: Server, body: bytes, *lines: str) -> tuple[int, dict[str, str], bytes]:
    return server.exchange(server.head("POST", MEDIA, JSON, *lines) + b"\r\n" + body)


def anonymous(server: Server, *lines: bytes) -> tuple[int, dict[str, str], bytes]:
    head = b"".join(line + b"\r\n" for line in (b"GET /api/queue/stats HTTP/1.1", b"Host: localhost", *lines))
    return server.exchange(head + b"\r\n")


def test_row_01_no_token(server: Server) -> None:
    status, headers, body = anonymous(server)
    assert (status, json.loads(body)["error"]) == (401, "missing_token")
    assert headers["www-authenticate"].startswith("Bearer")


def test_row_02_two_authorization_headers(server: Server) -> None:
    token = f"Authorization: Bearer {server.person.token}"
    assert get(server, STATS)[0] == 200
    for second in (token, "Authorization: Bearer x", "Authorization: Basic dXNlcjpwYXNz"):
        assert get(server, STATS, second)[0] == 401


@pytest.mark.parametrize(
    "token",
    [
        b"a" * 65_536,
        b"a." * 32_768,
        "tökén".encode(),
        "tökén".encode("latin-1"),
        b"eyJhbGciOiJub25lIn0.e30.",
        b"..",
        b"\x80" * 100,
    ],
)
def test_row_06_a_monstrous_token_is_refused_within_10_ms(server: Server, token: bytes) -> None:
    def took_ms() -> float:
        began = time.perf_counter()
        assert anonymous(server, b"Authorization: Bearer " + token)[0] == 401
        return (time.perf_counter() - began) * 1000

    assert min(took_ms() for _ in range(5)) < 10


@pytest.mark.parametrize("raw", [b"", b"{", b"\xef\xbb\xbf{}", '{"a": 1}'.encode("utf-16")])
def test_row_12_a_body_that_is_no_json(server: Server, raw: bytes) -> None:
    status, _, body = send(server, raw, f"Content-Length: {len(raw)}")
    assert (status, json.loads(body)["error"]) == (400, "malformed")


def test_row_14_50_mb_are_refused_before_they_are_read(server: Server) -> None:
    status, _, body = send(server, b"", "Content-Length: 50000000")
    assert (status, json.loads(body)["error"]) == (413, "too_large")
    assert (
        server.exchange(server.head("POST", "/api/queue/taxonomy/invalidate", "Content-Length: 50000000") + b"\r\n")[0]
        == 413
    )


def test_row_14_50_mb_without_a_length_are_cut_off(server: Server) -> None:
    sent = 0
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(server.head("POST", MEDIA, JSON, "Transfer-Encoding: chunked") + b"\r\n")
        try:
            for _ in range(800):
                connection.sendall(chunk)
                sent += 65_536
        except OSError:  # the server hung up
            pass
        status, _, body = read_answer(connection)
    assert (status, json.loads(body)["error"]) == (413, "too_large")
    assert sent < 20_000_000


def test_row_14_the_server_goes_on_after_a_body_that_never_came(server: Server) -> None:
    for _ in range(100):
        send(server, b"", "Content-Length: 50000000")
    assert get(server, STATS)[0] == 200


def test_row_15_a_megabyte_of_brackets(server: Server) -> None:
    raw = b"[" * 10_000
    status, _, body = send(server, raw, f"Content-Length: {len(raw)}")
    assert (status, json.loads(body)["error"]) == (400, "malformed")


def test_row_44_a_hundred_equal_posts_at_once_make_one_job(server: Server, redis_url: str) -> None:
    job_id = server.person.create_job()

    def post(_: int) -> tuple[int, str]:
        answer = requests.post(
            server.url + MEDIA,
            json={"jobId": job_id, "operation": "resize_image"},
            headers=server.person.headers,
            timeout=30,
        )
        return answer.status_code, answer.json().get("bullJobId")

    with ThreadPoolExecutor(100) as pool:
        answers = set(pool.map(post, range(100)))
    assert len(answers) == 1
    assert next(iter(answers))[0] == 200
    client = connect(redis_url)
    assert Ledger(client, "bull").counts()["media-jobs"].waiting == 1
    assert sum(client.llen(key) for key in client.scan_iter("media-jobs*", _type="list")) == 1


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "TRACE", "FOO"])
@pytest.mark.parametrize(
    ("path", "taken"),
    [
        (STATS, "GET"),
        (MEDIA, "POST"),
        ("/api/queue/jobs", "GET"),
        ("/api/queue/operations", "GET"),
        ("/api/queue/taxonomy/invalidate", "POST"),
        ("/api/queue/retry/e4b0f1c2-3d45-6789-abcd-ef0123456789", "POST"),
        ("/api/queue/jobs/e4b0f1c2-3d45-6789-abcd-ef0123456789", "GET"),
        ("/api/queue/jobs/e4b0f1c2-3d45-6789-abcd-ef0123456789/cancel", "POST"),
        ("/healthz", "GET"),
    ],
)
def test_row_47_a_method_that_is_not_taken(server: Server, method: str, path: str, taken: str) -> None:
    for other in (method, "POST" if taken == "GET" else "GET"):
        status, headers, body = server.exchange(server.head(other, path, "Content-Length: 0") + b"\r\n")
        assert (status, json.loads(body)["error"]) == (405, "method_not_allowed")
        assert taken in headers["allow"].split(", ")


@pytest.mark.parametrize(
    "path", ["/api/queue/stats/", "//api/queue/stats", "/api//queue/stats", "/api/queue/./stats", "*"]
)
def test_row_47_an_address_that_is_not_spelt_right(server: Server, path: str) -> None:
    status, _, body = get(server, path)
    assert (status, json.loads(body)["error"]) == (404, "not_found")


@pytest.mark.parametrize(
    "path", ["/api/queue/retry/%00", "/api/queue/retry/%ff%fe", "/api/queue/retry/" + "x" * 10_240]
)
def test_row_11_a_retry_of_nothing(server: Server, path: str) -> None:
    assert server.exchange(server.head("POST", path, "Content-Length: 0") + b"\r\n")[0] == 404


def test_row_48_a_header_cannot_be_injected(server: Server) -> None:
    for value in ("a\r\nb", "a\r\n b", "a%0d%0aX-Evil: 1", "a" * 8192):
        status, headers, _ = get(server, "/healthz", f"X-Request-ID: {value}")
        assert status in (200, 400)  # the server hangs up on what is no header line
        assert "x-evil" not in headers
        assert "b" not in headers
        assert headers.get("x-request-id") not in (value, "a")


@pytest.mark.parametrize("value", ["a" * 65, "a" * 8192, "a%0d%0ab", "a b", "a\tb", "ü", "../../etc", "{}", '"'])
def test_row_48_an_id_that_is_not_safe_is_replaced(server: Server, value: str) -> None:
    status, headers, _ = get(server, STATS, f"X-Request-ID: {value}")
    assert status == 200
    assert str(uuid.UUID(headers["x-request-id"])) == headers["x-request-id"]


def test_row_48_two_ids_are_as_good_as_none(server: Server) -> None:
    _, headers, _ = get(server, STATS, "X-Request-ID: a", "X-Request-ID: b")
    assert str(uuid.UUID(headers["x-request-id"])) == headers["x-request-id"]


@pytest.mark.parametrize("accept", ["text/xml", "application/xml;q=1, */*;q=0", "", ";;;", "x" * 8192])
def test_row_49_a_client_that_wants_something_else_gets_json(server: Server, accept: str) -> None:
    for path, expected in ((STATS, 200), ("/api/queue/nothing", 404)):
        status, headers, _ = get(server, path, f"Accept: {accept}")
        assert (status, headers["content-type"]) == (expected, "application/json")


def test_every_process_logs_requests_as_structured_lines_with_their_id(server: Server) -> None:
    get(server, STATS, "X-Request-ID: find-me")
    lines = (Path(server.person.scratch) / "web.log").read_text().splitlines()
    logged = [json.loads(line) for line in lines if "find-me" in line]
    assert [(line["event"], line["status"], line["path"], line["process"]) for line in logged] == [
        ("request", 200, STATS, "web")
    ]


@pytest.mark.parametrize(
    "lines",
    [
        [b"GET /api/queue/stats HTTP/1.1"],
        [b"GET /api/queue/stats HTTP/1.0"],
        [b"GET /api/queue/stats HTTP/1.1", b"Host:"],
        [b"GET /api/queue/stats HTTP/1.1", b"Host: a b"],
        [b"GET /api/queue/stats HTTP/1.1", b"Host: [::1"],
        [b"GET /api/queue/stats HTTP/1.1", b"Host: x:99999999"],
        [b"GET /api/queue/stats HTTP/1.1", "Host: ü".encode()],
        [b"GET /api/queue/stats HTTP/1.1", b"Host: ../../etc"],
        [b"GET http://[/api/queue/stats HTTP/1.1", b"Host: a"],
        [b"GET /api/queue/stats?%ff=%00&&&=;# HTTP/1.1", b"Host: a", b"Cookie: \x01=;;;="],
        [b"GET /api/queue/jobs?page=%00&state=%ff HTTP/1.1", b"Host: a"],
        [b"POST /api/queue/media HTTP/1.1", b"Host: a", b"Content-Type: ;;;==", b"Content-Length: 2"],
        [
            b"POST /api/queue/media HTTP/1.1",
            b"Host: a",
            b"Content-Type: application/json; charset",
            b"Content-Length: 0",
        ],
        [b"POST /api/queue/media HTTP/1.1", b"Host: a", b"Content-Length: 0", b"Content-Encoding: gzip"],
        [b"POST /api/queue/media HTTP/1.1", b"Host: a", b"Transfer-Encoding: gzip"],
        [b"POST /api/queue/media HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked", b"Content-Length: 5"],
    ],
)
def test_an_odd_request_is_never_the_servers_fault(server: Server, lines: list[bytes]) -> None:
    head = [*lines, b"Authorization: Bearer " + server.person.token.encode(), b"Connection: close", b"", b""]
    with suppress(ConnectionError, IndexError):  # the server may hang up without an answer
        assert server.exchange(b"\r\n".join(head))[0] < 500
    assert get(server, STATS)[0] == 200
