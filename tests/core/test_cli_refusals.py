"""What `submit` does about a refusal and an interrupt, against an API that answers as a test says."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from geniequeue.cli.exits import EXIT_CODES
from geniequeue.config import load_settings
from geniequeue.records.embedded import EmbeddedStore
from tests.core.test_cli_exit_codes import environ, picture, run  # noqa: F401 - fixtures
from tests.service import BIN, REPOSITORY

QUOTA = {"error": "tier_limit_reached", "reason": "not_in_tier", "message": "Your plan does not include this feature."}
Answer = Callable[[str, Any], tuple[int, dict[str, Any]]]


@pytest.fixture
def api(environ: dict[str, str]) -> Iterator[list[Answer]]:  # noqa: F811 - the fixture
    """An API whose answer is the last of the list."""
    answers: list[Answer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(*answers[-1](self.path, sent))

        def do_GET(self) -> None:
            self._answer(*answers[-1](self.path, None))

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environ["API_URL"] = f"http://127.0.0.1:{server.server_port}"
    yield answers
    server.shutdown()
    server.server_close()


def stored(environ: dict[str, str]) -> EmbeddedStore:  # noqa: F811 - not the fixture
    settings = load_settings(environ)
    return EmbeddedStore(settings.var_dir / "records", settings.directus_secret)


def test_a_refused_job_leaves_no_item_and_no_file_and_names_the_remedy(
    environ: dict[str, str],  # noqa: F811 - the fixture
    picture: Path,  # noqa: F811 - the fixture
    api: list[Answer],
) -> None:
    seen: list[Any] = []

    def refuse(_: str, sent: Any) -> tuple[int, dict[str, Any]]:
        seen.append(sent)
        return 403, QUOTA

    api.append(refuse)
    done = run(environ, "submit", "create_teaser", str(picture), "--user", "mia", "--param", "duration=4")
    assert done.returncode == 2
    assert QUOTA["message"] in done.stderr
    assert "geniequeue token --user mia --tier studio" in done.stderr
    records = stored(environ).as_service()
    assert records.count_items("media_jobs") == 0
    with pytest.raises(Exception, match="file"):
        records.get_file(seen[0]["input_file_id"])


def test_several_files_of_join_videos_become_one_job_in_their_order(
    environ: dict[str, str],  # noqa: F811 - the fixture
    picture: Path,  # noqa: F811 - the fixture
) -> None:
    second = picture.with_name("second.mp4")
    second.write_bytes(b"another")
    done = run(environ, "submit", "join_videos", str(picture), str(second), "--item-only")
    assert done.returncode == 0, done.stderr
    records = stored(environ).as_service()
    item = records.get_item("media_jobs", done.stdout.strip())
    names = [records.get_file(file_id).filename_download for file_id in item["params"]["input_file_ids"]]
    assert names == [picture.name, second.name]


def test_one_file_is_not_joined_with_nothing(
    environ: dict[str, str],  # noqa: F811 - the fixture
    picture: Path,  # noqa: F811 - the fixture
) -> None:
    done = run(environ, "submit", "join_videos", str(picture), "--item-only")
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected at least 2 files, got 1" in done.stderr


def test_an_interrupted_wait_says_that_the_job_goes_on_and_is_130(
    environ: dict[str, str],  # noqa: F811 - the fixture
    picture: Path,  # noqa: F811 - the fixture
    api: list[Answer],
) -> None:
    asked = threading.Event()

    def wait(path: str, sent: Any) -> tuple[int, dict[str, Any]]:
        if sent is not None:
            return 200, {"ok": True, "jobId": sent["jobId"], "bullJobId": "bull:media-jobs:1"}
        asked.set()
        return 200, {"ok": True, "jobId": path.rpartition("/")[2], "state": "active", "message": None}

    api.append(wait)
    process = subprocess.Popen(
        [str(BIN / "geniequeue"), "submit", "strip_metadata", str(picture), "--wait"],
        env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert asked.wait(60)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(r"job (\S+) goes on: `geniequeue status \1` shows it, `geniequeue cancel \1` stops it\n", told)


def test_help_and_readme_tell_the_same_exit_codes(environ: dict[str, str]) -> None:  # noqa: F811 - the fixture
    assert EXIT_CODES in " ".join(run(environ, "--help").stdout.split())
    assert EXIT_CODES in (REPOSITORY / "README.md").read_text(encoding="utf-8")
