"""`geniequeue directus-setup` on a Directus that knows nothing of geniequeue: what it plans, does, and leaves to do."""

from __future__ import annotations

import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from geniequeue.errors import ServiceTokenRefused
from geniequeue.records.directus import DirectusStore
from geniequeue.records.directus_state import SERVICE_ACCOUNT, missing
from tests.directus.setup_command import (
    ROLE,
    TOKEN,
    environ_of,
    everything,
    holder,
    new_directus,
    send,
    setup,
    setup_on_terminal,
)
from tests.fault_proxy import Fault, fault_proxy, http_answer
from tests.real_directus import RealDirectus


@pytest.fixture(scope="module")
def bare(directus_server: RealDirectus) -> Iterator[RealDirectus]:
    """A Directus that stays as it is."""
    with new_directus() as server:
        yield server


@pytest.fixture
def fresh(directus_server: RealDirectus) -> Iterator[RealDirectus]:
    """A Directus for one test."""
    with new_directus() as server:
        yield server


@pytest.fixture(scope="module")
def installed(directus_server: RealDirectus) -> Iterator[RealDirectus]:
    """A Directus that was set up before; each test gives the service's account a token of its own."""
    with new_directus() as server:
        done = setup(environ_of(server, DIRECTUS_TOKEN=TOKEN), "--creator-role", ROLE)
        assert done.returncode == 0, done.stderr
        yield server


def test_a_dry_run_prints_the_plan_and_changes_nothing(bare: RealDirectus) -> None:
    before = everything(bare)
    done = setup(environ_of(bare), "--dry-run", "--creator-role", ROLE)
    assert done.returncode == 0, done.stderr
    for line in (
        "would create the collection media_jobs",
        "would create the field directus_users.subscription_tier",
        "would create the account of the service",
        f"would attach the policy geniequeue creators to the role {ROLE}",
    ):
        assert f"  {line}\n" in done.stdout
    assert done.stdout.endswith("nothing was changed\n")
    assert everything(bare) == before


def test_what_is_planned_is_done_once(fresh: RealDirectus) -> None:
    environ = environ_of(fresh, DIRECTUS_TOKEN=TOKEN)
    planned = setup(environ, "--dry-run", "--creator-role", ROLE).stdout.splitlines()
    first = setup(environ, "--creator-role", ROLE)
    assert first.returncode == 0, first.stderr
    done = first.stdout.splitlines()
    assert done[-1] == "all done"
    assert [f"  would {line.strip()}" for line in done[1:-1]] == planned[1:-1]
    service = DirectusStore(fresh.url, TOKEN)
    assert missing(service) == [] and service.as_service().me().id == SERVICE_ACCOUNT
    standing = everything(fresh)
    for arguments in ((), ("--creator-role", ROLE)):
        again = setup(environ, *arguments)
        assert (again.returncode, again.stdout.splitlines()[1:]) == (0, ["nothing to do"])
    assert everything(fresh) == standing
    for secret in (TOKEN, fresh.admin_token):
        assert secret not in first.stdout + first.stderr


def test_roles_are_listed_where_none_is_named(bare: RealDirectus) -> None:
    done = setup(environ_of(bare), "--dry-run")
    assert done.returncode == 1
    left = done.stdout.partition("left for you:")[2]
    assert "name the role of your creators" in left and "--creator-role" in left
    for role in send(bare, "GET", "/roles"):
        assert f"  {role['name']} ({role['id']})" in left


def test_roles_are_listed_where_the_one_named_is_unknown(bare: RealDirectus) -> None:
    before = everything(bare)
    done = setup(environ_of(bare, DIRECTUS_TOKEN=TOKEN), "--creator-role", "makers")
    assert done.returncode == 2
    assert "--creator-role: expected one role with the name or id makers, got none" in done.stderr
    assert ROLE in done.stderr and "Administrator" in done.stderr
    assert everything(bare) == before


def test_of_two_roles_with_one_name_the_id_decides(bare: RealDirectus) -> None:
    role, _ = (send(bare, "POST", "/roles", {"name": "Twins"})["id"] for _ in range(2))
    done = setup(environ_of(bare), "--dry-run", "--creator-role", "Twins")
    assert done.returncode == 2 and "got 2: give its id" in done.stderr
    assert setup(environ_of(bare), "--dry-run", "--creator-role", role).returncode == 0


@pytest.mark.long
def test_what_only_a_person_can_do_is_listed(fresh: RealDirectus) -> None:
    key = {"field": "id", "type": "uuid", "schema": {"is_primary_key": True}, "meta": {"special": ["uuid"]}}
    own = {"field": "priority", "type": "string", "schema": {}, "meta": {}}
    send(fresh, "POST", "/collections", {"collection": "media_jobs", "schema": {}, "meta": {}, "fields": [key, own]})
    by_hand = "  change media_jobs.priority by hand: expected the type integer, got string"
    for _ in range(2):
        done = setup(environ_of(fresh, DIRECTUS_TOKEN=TOKEN), "--creator-role", ROLE)
        assert done.returncode == 1, done.stderr
        assert done.stdout.splitlines()[-2:] == ["left for you:", by_hand]
    assert missing(DirectusStore(fresh.url, TOKEN)) == ["media_jobs.priority: expected the type integer, got string"]


def test_a_new_token_is_shown_once_on_a_terminal_and_nowhere_else(fresh: RealDirectus) -> None:
    before = everything(fresh)
    piped = setup(environ_of(fresh), "--creator-role", ROLE)
    assert piped.returncode == 2
    assert "DIRECTUS_TOKEN: expected a terminal" in piped.stderr
    assert everything(fresh) == before

    code, shown = setup_on_terminal(environ_of(fresh), "--creator-role", ROLE)
    assert code == 0, shown
    (token,) = (
        line.removeprefix("DIRECTUS_TOKEN=") for line in shown.splitlines() if line.startswith("DIRECTUS_TOKEN=")
    )
    assert len(token) >= 32 and holder(fresh, token) == SERVICE_ACCOUNT
    assert shown.splitlines()[-1] == f"DIRECTUS_TOKEN={token}"

    code, shown = setup_on_terminal(environ_of(fresh), "--creator-role", ROLE)
    assert code == 0 and "nothing to do" in shown
    assert "DIRECTUS_TOKEN=" not in shown and "DIRECTUS_TOKEN is not set here" in shown


def test_a_new_token_goes_to_the_file_that_is_to_hold_it(installed: RealDirectus, tmp_path: Path) -> None:
    path = tmp_path / "service-token"
    environ = environ_of(installed, DIRECTUS_TOKEN_FILE=str(path))
    done = setup(environ, "--reset-token")
    assert done.returncode == 0, done.stderr
    token = path.read_text().strip()
    assert holder(installed, token) == SERVICE_ACCOUNT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token not in done.stdout + done.stderr
    assert setup(environ).stdout.splitlines()[1:] == ["nothing to do"]


def test_another_token_than_the_accounts_is_named_and_changed_only_when_asked(installed: RealDirectus) -> None:
    old, new = uuid.uuid4().hex, uuid.uuid4().hex
    assert setup(environ_of(installed, DIRECTUS_TOKEN=old), "--reset-token").returncode == 0

    other = setup(environ_of(installed, DIRECTUS_TOKEN=new))
    assert other.returncode == 1
    assert "DIRECTUS_TOKEN: Directus refuses it" in other.stdout and "--reset-token" in other.stdout
    assert holder(installed, old) == SERVICE_ACCOUNT

    reset = setup(environ_of(installed, DIRECTUS_TOKEN=new), "--reset-token")
    assert reset.returncode == 0, reset.stderr
    assert "give the account of the service another token" in reset.stdout
    assert holder(installed, new) == SERVICE_ACCOUNT
    with pytest.raises(ServiceTokenRefused):
        holder(installed, old)
    same = setup(environ_of(installed, DIRECTUS_TOKEN=new), "--reset-token")
    assert same.stdout.splitlines()[-1] == "nothing to do"


@pytest.mark.long
def test_a_step_that_fails_is_named_and_the_next_run_goes_on(fresh: RealDirectus) -> None:
    failing = Fault("POST /policies", answer=http_answer(500, b"{}"))
    with fault_proxy(fresh.url) as proxy:
        proxy.arm(failing)
        environ = environ_of(fresh, DIRECTUS_URL=proxy.url, DIRECTUS_TOKEN=TOKEN)
        cut = setup(environ, "--creator-role", ROLE)
        assert cut.returncode == 3
        assert cut.stdout.splitlines()[-1] == "  create the policy geniequeue creators"
        assert "run the command again" in cut.stderr
        whole = setup(environ, "--creator-role", ROLE)
    assert whole.returncode == 0, whole.stderr
    assert missing(DirectusStore(fresh.url, TOKEN)) == []
