"""What `geniequeue directus-setup` refuses: addresses and tokens that are wrong, each by its name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.directus.setup_command import (
    ROLE,
    environ_of,
    everything,
    new_directus,
    setup,
    setup_on_terminal,
)
from tests.directus_fixture import DirectusPlace
from tests.fault_proxy import Fault, fault_proxy, http_answer
from tests.real_directus import RealDirectus
from tests.service import free_port


@pytest.fixture(scope="module")
def bare(directus_server: RealDirectus) -> Iterator[RealDirectus]:
    """A Directus that stays as it is."""
    with new_directus() as server:
        yield server


def test_the_token_of_another_account_is_refused(bare: RealDirectus) -> None:
    before = everything(bare)
    done = setup(environ_of(bare, DIRECTUS_TOKEN=bare.admin_token), "--creator-role", ROLE)
    assert done.returncode == 2
    assert "DIRECTUS_TOKEN: expected a token for the service's own account, got another account's" in done.stderr
    assert everything(bare) == before


def test_a_short_token_is_refused(bare: RealDirectus) -> None:
    done = setup(environ_of(bare, DIRECTUS_TOKEN="hunter2"), "--creator-role", ROLE)
    assert done.returncode == 2 and "at least 32 characters" in done.stderr
    assert "hunter2" not in done.stderr


def test_the_administrators_token_is_asked_for_without_showing_it(bare: RealDirectus) -> None:
    environ = environ_of(bare, DIRECTUS_ADMIN_TOKEN="")
    code, shown = setup_on_terminal(environ, "--dry-run", "--creator-role", ROLE, typed=bare.admin_token)
    assert code == 0, shown
    assert "would create the collection media_jobs" in shown and bare.admin_token not in shown
    silent = setup(environ, "--dry-run")
    assert silent.returncode == 2 and "DIRECTUS_ADMIN_TOKEN" in silent.stderr


@pytest.mark.parametrize("token", ["of nobody", "with a line\nbreak"])
def test_a_token_that_directus_does_not_know_is_refused(bare: RealDirectus, token: str) -> None:
    done = setup(environ_of(bare, DIRECTUS_ADMIN_TOKEN=token), "--dry-run")
    assert done.returncode == 2
    assert "DIRECTUS_ADMIN_TOKEN: expected the token of an administrator" in done.stderr


def test_a_token_of_no_administrator_is_refused(directus_place: DirectusPlace) -> None:
    token = directus_place.account("alice").token
    done = setup(environ_of(directus_place.server, DIRECTUS_ADMIN_TOKEN=token))
    assert done.returncode == 2
    assert "DIRECTUS_ADMIN_TOKEN: expected the token of an administrator, got somebody else's" in done.stderr
    assert token not in done.stdout + done.stderr


def _no_address(_: RealDirectus) -> str:
    return "localhost:8055"


def _nobody(_: RealDirectus) -> str:
    return f"http://127.0.0.1:{free_port()}"


def _unknown_host(_: RealDirectus) -> str:
    return "http://directus.invalid"


def _admin_page(server: RealDirectus) -> str:
    return f"{server.url}/admin"


def _wrong_path(server: RealDirectus) -> str:
    return f"{server.url}/nowhere"


@pytest.mark.parametrize(
    ("address", "code", "sentence"),
    [
        (_no_address, 2, "DIRECTUS_URL: expected the http or https address of Directus"),
        (_nobody, 3, "nothing listens there"),
        (_unknown_host, 3, "its host has no address"),
        (_admin_page, 3, "got a page of HTML; use the address of its API, without /admin"),
        (_wrong_path, 3, "got HTTP 404"),
    ],
)
def test_an_address_that_is_wrong_is_named(
    bare: RealDirectus, address: Callable[[RealDirectus], str], code: int, sentence: str
) -> None:
    done = setup(environ_of(bare, DIRECTUS_URL=address(bare)))
    assert done.returncode == code
    assert sentence in done.stderr


def test_an_address_that_redirects_names_the_other(bare: RealDirectus) -> None:
    with fault_proxy(bare.url) as proxy:
        proxy.arm(Fault(answer=http_answer(308, b"", "Location: https://directus.example/server/info")))
        done = setup(environ_of(bare, DIRECTUS_URL=proxy.url))
    assert done.returncode == 3
    assert "got a redirect to https://directus.example/server/info; use that address" in done.stderr


def test_a_version_that_was_not_tested_is_warned_of(bare: RealDirectus) -> None:
    info = json.dumps({"data": {"project": {}, "version": "10.13.1"}}).encode()
    with fault_proxy(bare.url) as proxy:
        proxy.arm(Fault("GET /server/info", answer=http_answer(200, info)))
        done = setup(environ_of(bare, DIRECTUS_URL=proxy.url), "--dry-run", "--creator-role", ROLE)
    assert done.returncode == 0
    assert "Directus 10.13.1" in done.stdout
    assert "tested with Directus 11 alone" in done.stderr
