"""The command line on a real Directus: it acts for whoever's token the environment gives it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import pyvips

from tests.accounts import Account
from tests.directus.conftest import DirectusService, new_user_name
from tests.service import BIN, await_true


class Cli:
    """The command line in the hands of one account.

    Attributes:
        environ: of every command.
    """

    def __init__(self, service: DirectusService, account: Account, folder: Path) -> None:
        self.environ = {**service.environ, "GENIEQUEUE_TOKEN": account.token}
        self._folder = folder

    def __call__(self, *arguments: str, without: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command, without one of its variables where named."""
        return subprocess.run(
            [str(BIN / "geniequeue"), *arguments],
            cwd=self._folder,
            env={name: value for name, value in self.environ.items() if name != without},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def cli(service: DirectusService, tmp_path: Path) -> Cli:
    return Cli(service, service.account(new_user_name()), tmp_path)


def test_submit_status_jobs_and_stats_with_a_creators_token(cli: Cli, photo: Path, tmp_path: Path) -> None:
    output = tmp_path / "small.jpg"
    submitted = cli("submit", "resize_image", str(photo), "--param", "width=64", "--output", str(output), "--json")
    assert submitted.returncode == 0, submitted.stderr
    job = json.loads(submitted.stdout)
    assert job["state"] == "completed"
    assert pyvips.Image.new_from_file(str(output)).width == 64
    status = cli("status", job["jobId"], "--json")
    assert (status.returncode, json.loads(status.stdout)["state"]) == (0, "completed")
    assert [each["jobId"] for each in json.loads(cli("jobs", "--json").stdout)] == [job["jobId"]]
    assert json.loads(cli("stats", "--json").stdout)["stats"]["media-jobs"]["completed"] >= 1


def test_retry_of_a_failed_job(cli: Cli, photo: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo.read_bytes()[:2000])
    submitted = cli("submit", "convert_image", str(broken), "--param", "format=webp", "--wait", "--json")
    assert submitted.returncode == 1, submitted.stderr
    job_id = json.loads(submitted.stdout)["jobId"]
    retried = cli("retry", job_id, "--wait")
    assert retried.returncode == 1, retried.stderr
    assert f"{job_id} enqueued as bull:media-jobs:" in retried.stdout


def test_cancel_of_a_job_that_waits(cli: Cli, service: DirectusService, photo: Path) -> None:
    service.hold_workers()
    try:
        submitted = cli("submit", "resize_image", str(photo), "--param", "width=64")
        job_id = submitted.stdout.split()[0]
        assert cli("cancel", job_id).stdout == f"{job_id} cancelled\n"
    finally:
        service.hold_workers(hold=False)
    await_true(lambda: cli("status", job_id).returncode == 1, 30, lambda: cli("status", job_id).stdout)


def test_somebody_elses_job_is_not_found(cli: Cli, service: DirectusService, photo: Path, tmp_path: Path) -> None:
    submitted = cli("submit", "resize_image", str(photo), "--param", "width=64", "--wait", "--json")
    job_id = json.loads(submitted.stdout)["jobId"]
    other = Cli(service, service.account(new_user_name("other")), tmp_path)
    refused = other("status", job_id)
    assert refused.returncode == 2 and "HTTP 404" in refused.stderr
    admin = Cli(service, service.account(new_user_name("admin"), admin=True), tmp_path)
    assert admin("status", job_id).returncode == 0
    assert job_id in admin("jobs").stdout


@pytest.mark.parametrize("arguments", [["stats"], ["jobs"], ["submit", "strip_metadata", "PHOTO"]])
def test_without_a_token_it_says_which_one_is_needed(cli: Cli, photo: Path, arguments: list[str]) -> None:
    done = cli(*(str(photo) if each == "PHOTO" else each for each in arguments), without="GENIEQUEUE_TOKEN")
    assert done.returncode == 2
    assert "GENIEQUEUE_TOKEN" in done.stderr and "Directus" in done.stderr


def test_an_account_of_the_embedded_store_cannot_be_named(cli: Cli, photo: Path) -> None:
    named = cli("submit", "strip_metadata", str(photo), "--user", "alice")
    assert named.returncode == 2 and "GENIEQUEUE_TOKEN" in named.stderr
    minted = cli("token", "--user", "alice")
    assert minted.returncode == 2 and "POST /auth/login" in minted.stderr


def test_a_token_that_is_not_accepted_is_no_traceback(cli: Cli) -> None:
    cli.environ["GENIEQUEUE_TOKEN"] = "of nobody"
    done = cli("stats")
    assert done.returncode == 2 and "HTTP 401" in done.stderr
