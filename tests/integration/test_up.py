"""`geniequeue up`: what dies comes back, and when it ends, all of it ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from geniequeue.config import embedded_values
from geniequeue.sandbox.processes import descendants
from tests.service import Service, await_true, make_service, oldest_first

STOP_WITHIN_S = 30


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An instance of this module's own, in a folder that needs quoting."""
    folder = tmp_path_factory.mktemp("up") / "a 'folder' with spaces; # and 100%" / ("deep" * 30)
    running = make_service(folder)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Service]:
    """An instance that the test ends itself."""
    running = make_service(tmp_path / "var")
    running.start()
    yield running
    if running.process is not None and running.process.poll() is None:
        running.stop()


def arguments_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ").split()
    except OSError:
        return []


def pids(service: Service, *words: str) -> list[int]:
    """Return the processes of an instance, oldest first, whose command line has all of `words`."""
    assert service.process is not None
    found = [pid for pid in descendants(service.process.pid) if set(words) <= {*map(last_part, arguments_of(pid))}]
    return oldest_first(found)


def last_part(argument: str) -> str:
    return argument.rsplit("/", 1)[-1]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def everything_of(service: Service) -> list[int]:
    assert service.process is not None
    found = descendants(service.process.pid)
    assert len(found) > 10
    return found


def test_it_says_in_one_line_where_everything_is_and_tells_no_secret(instance: Service) -> None:
    await_true(lambda: "ready: " in instance.log(), 10, instance.log)
    [line] = [line for line in instance.log().splitlines() if line.startswith("ready: ")]
    assert instance.url in line
    assert f"{instance.url}/api/docs" in line
    assert f"http://127.0.0.1:{instance.environ['FLOWER_PORT']}" in line
    assert str(instance.folder / "embedded.env") in line
    assert embedded_values(instance.folder)["FLOWER_PASSWORD"] not in instance.log()


def test_what_it_generated_is_private_and_on_no_command_line(instance: Service) -> None:
    for name in ("embedded.env", "redis/redis.conf"):
        assert stat.S_IMODE((instance.folder / name).stat().st_mode) == 0o600
    values = embedded_values(instance.folder)
    secrets = [values["DIRECTUS_SECRET"], values["FLOWER_PASSWORD"], str(urlsplit(values["REDIS_URL"]).password)]
    shown = (instance.folder / "supervisord.conf").read_text()
    shown += " ".join(word for pid in everything_of(instance) for word in arguments_of(pid))
    assert not [secret for secret in secrets if secret in shown]


def test_every_line_of_the_log_is_whole(instance: Service) -> None:
    lines = [line for line in instance.log().splitlines() if not line.startswith("ready: ")]
    assert lines
    assert not [line for line in lines if not (line.startswith("{") and line.endswith("}"))]


def test_a_second_one_in_the_same_folder_is_refused(instance: Service) -> None:
    done = instance.cli("up")
    assert done.returncode == 2
    assert "an instance runs already" in done.stderr
    assert instance.cli("redis").returncode == 2


def test_a_port_in_use_is_named_before_anything_starts(instance: Service, tmp_path: Path) -> None:
    other = make_service(tmp_path / "other")
    other.environ["PORT"] = instance.environ["PORT"]
    done = subprocess.run(
        ["geniequeue", "up"], env=other.environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert f"PORT: expected a free port, but something listens on 127.0.0.1:{instance.environ['PORT']}" in done.stderr


@pytest.mark.parametrize(
    "words",
    [["granian"], ["celery", "media-jobs"], ["celery", "beat"], ["celery", "flower"], ["redis-server"]],
    ids=lambda words: words[-1],
)
def test_a_process_that_dies_is_started_again(instance: Service, photo: Path, words: list[str]) -> None:
    before = pids(instance, *words)
    os.kill(before[0], signal.SIGKILL)
    await_true(lambda: set(pids(instance, *words)) - set(before), 20, lambda: f"{words} stays away:\n{instance.log()}")
    await_true(lambda: not any(map(alive, before)), 20, lambda: f"the other processes of the dead {words} live on")
    instance.wait_ready()
    assert instance.run(instance.token(), "resize_image", photo, {"width": 20})["state"] == "completed"


def test_what_a_killed_web_server_leaves_behind_is_ended(instance: Service) -> None:
    main, *workers = pids(instance, "granian")
    os.kill(main, signal.SIGKILL)
    await_true(lambda: not any(map(alive, workers)), 10, lambda: "workers of the dead server live on")
    instance.wait_ready()


def test_flower_asks_for_its_password_everywhere_but_for_health_and_metrics(instance: Service) -> None:
    url = f"http://127.0.0.1:{instance.environ['FLOWER_PORT']}"

    def status(path: str, auth: tuple[str, str] | None = None) -> int:
        return requests.get(url + path, auth=auth, timeout=10).status_code

    await_true(lambda: status("/healthcheck") == 200, 20, instance.log)
    for path in ("/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks", "/api/queues/length"):
        assert status(path) == 401, path
        assert status(path, ("operator", "wrong")) == 401, path
    assert status("/metrics") == 200
    assert status("/workers", ("operator", embedded_values(instance.folder)["FLOWER_PASSWORD"])) == 200


def test_the_doctor_finds_a_running_instance_well(instance: Service) -> None:
    instance.wait_ready()
    await_true(lambda: instance.cli("doctor").returncode == 0, 30, lambda: instance.cli("doctor").stdout)


def hang(service: Service) -> None:
    """Stop a worker where it stands, so that it cannot end by itself."""
    for pid in pids(service, "celery", "scrape-jobs"):
        os.kill(pid, signal.SIGSTOP)


@pytest.mark.parametrize(
    ("number", "prepare"),
    [
        pytest.param(signal.SIGINT, lambda _: None, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, lambda _: None, id="SIGTERM", marks=pytest.mark.long),
        pytest.param(signal.SIGINT, hang, id="Ctrl-C while a worker hangs", marks=pytest.mark.long),
    ],
)
def test_it_ends_everything_in_time(fresh: Service, number: signal.Signals, prepare: Callable[[Service], None]) -> None:
    started = everything_of(fresh)
    prepare(fresh)
    assert fresh.process is not None
    fresh.process.send_signal(number)
    assert fresh.process.wait(STOP_WITHIN_S) == 0
    assert not list(filter(alive, started))


def test_a_second_ctrl_c_kills_what_does_not_end(fresh: Service) -> None:
    started = everything_of(fresh)
    hang(fresh)
    assert fresh.process is not None
    fresh.process.send_signal(signal.SIGINT)
    await_true(lambda: "a second Ctrl-C kills" in fresh.log(), 10, fresh.log)
    began = time.monotonic()
    while fresh.process.poll() is None:
        assert time.monotonic() - began < STOP_WITHIN_S / 2, "it does not end before its time is over"
        time.sleep(1.2)
        fresh.process.send_signal(signal.SIGINT)
    assert not list(filter(alive, started))


def put_back(service: Service) -> list[str]:
    """Return who put attempts back, and why, as the API counts them."""
    lines = requests.get(f"{service.url}/metrics", timeout=10).text.splitlines()
    return [line for line in lines if line.startswith("geniequeue_attempts_put_back_total{") and line[-2:] != " 0"]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_f8_ctrl_c_hands_a_long_job_back_and_it_runs_uncounted_at_the_next_start(fresh: Service, photo: Path) -> None:
    token = fresh.token()
    job_id = fresh.create(token, "convert_image", photo, {"format": "avif", "quality": 90})
    assert fresh.enqueue(token, job_id, "convert_image").status == 200
    folder = fresh.folder / "media-tmp"
    await_true(lambda: any(folder.glob("job-*/in/*")), 30, lambda: f"no job starts:\n{fresh.log()[-3000:]}")
    # the sandbox stands still: the job is as long as it needs to be
    child = fresh.worker_pids("media-jobs")[1]
    for pid in descendants(child):
        os.kill(pid, signal.SIGSTOP)
    fresh.stop()
    fresh.start()
    assert fresh.await_final(token, job_id, within_s=300)["state"] == "completed"
    assert fresh.request("GET", f"/api/queue/jobs/{job_id}", token).body["attempts"] == 1
    assert not [line for line in put_back(fresh) if "lost" in line]
    assert [line for line in put_back(fresh) if "handed_back" in line]


def test_everything_ends_when_it_is_killed_itself(fresh: Service) -> None:
    started = everything_of(fresh)
    assert fresh.process is not None
    fresh.process.kill()
    await_true(lambda: not any(map(alive, started)), STOP_WITHIN_S, lambda: f"left: {list(filter(alive, started))}")


def test_it_starts_again_where_it_ended_with_the_same_secrets_and_jobs(fresh: Service, photo: Path) -> None:
    before = embedded_values(fresh.folder)
    job = fresh.run(fresh.token(), "resize_image", photo, {"width": 20})
    fresh.stop()
    fresh.start()
    assert embedded_values(fresh.folder) == before
    assert fresh.request("GET", f"/api/queue/jobs/{job['jobId']}", fresh.token()).body["state"] == "completed"
    assert fresh.request("GET", "/api/queue/stats", fresh.token()).body["stats"]["media-jobs"]["completed"] == 1
