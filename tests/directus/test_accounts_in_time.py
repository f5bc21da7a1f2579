"""Row 7: what an administrator changes in an account counts within half a minute, in every process of the API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest
import requests

from geniequeue.accounts import ACCOUNT_TTL_S
from tests.accounts import Account
from tests.directus.conftest import DirectusService, new_user_name
from tests.directus.sign_in import log_in, log_out, static_token
from tests.directus_fixture import DirectusPlace

STATS = "/api/queue/stats"
WARM_UP = 16
EVERY_S = 0.2
LONGER_S = 2.0


@dataclass
class Change:
    """What happens to an account, and how the API answers one of its requests before and after.

    Attributes:
        act: makes the change.
        seen: seconds since the change, and status, of every request after it.
    """

    token: str = field(repr=False)
    act: Callable[[], object]
    before: int
    after: int
    path: str = STATS
    changed_at: float = 0.0
    first: set[int] = field(default_factory=set)
    seen: list[tuple[float, int]] = field(default_factory=list)

    def ask(self, url: str) -> int:
        """Send the request over a connection of its own, which any process may get."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.get(url + self.path, headers=headers, timeout=10).status_code

    def make(self) -> None:
        """Make the change."""
        self.act()
        self.changed_at = time.monotonic()

    def look(self, url: str) -> None:
        """Note how the API answers now."""
        asked_at = time.monotonic()
        self.seen.append((asked_at - self.changed_at, self.ask(url)))

    @property
    def old_until_s(self) -> float:
        """Seconds after the change at which the API last answered as before."""
        return max((after_s for after_s, status in self.seen if status == self.before), default=0.0)


def _changes(place: DirectusPlace) -> Iterator[tuple[str, Change]]:
    def someone(*, admin: bool = False) -> tuple[str, Account]:
        name = new_user_name("admin" if admin else "creator")
        return name, place.account(name, admin=admin)

    def set_field(account: Account, **fields: object) -> Callable[[], object]:
        return lambda: place.request("PATCH", f"/users/{account.id}", fields)

    _, owner = someone()
    job = (
        f"/api/queue/jobs/{owner.records.create_item('media_jobs', {'operation': 'resize_image', 'params': {}})['id']}"
    )

    _, user = someone()
    yield "suspended", Change(user.token, set_field(user, status="suspended"), 200, 401)
    _, user = someone()
    yield "archived", Change(user.token, set_field(user, status="archived"), 200, 401)
    deleted = someone()[1]
    yield "deleted", Change(deleted.token, lambda: place.request("DELETE", f"/users/{deleted.id}"), 200, 401)
    _, user = someone()
    yield "suspended, static token", Change(static_token(place, user), set_field(user, status="suspended"), 200, 401)
    _, user = someone()
    yield "static token taken away", Change(static_token(place, user), set_field(user, token=None), 200, 401)
    session = log_in(place, someone()[0], "session")
    yield "logged out", Change(session, lambda: log_out(place, session), 200, 401)
    name, user = someone()
    yield "suspended, session", Change(log_in(place, name, "session"), set_field(user, status="suspended"), 200, 401)
    _, user = someone()
    set_field(user, status="suspended")()
    yield "active again", Change(user.token, set_field(user, status="active"), 401, 200)
    _, user = someone()
    yield "made an administrator", Change(user.token, set_field(user, role=place.roles[True]), 404, 200, job)
    _, user = someone(admin=True)
    yield "administrator no more", Change(user.token, set_field(user, role=place.roles[False]), 200, 404, job)


NAMES = (
    *("suspended", "archived", "deleted", "suspended, static token", "static token taken away", "logged out"),
    *("suspended, session", "active again", "made an administrator", "administrator no more"),
)


@pytest.fixture(scope="module")
def changes(directus_service: DirectusService) -> Mapping[str, Change]:
    """Every change, made while each process knows the account, and half a minute of requests after it."""
    made = dict(_changes(directus_service.place))
    for change in made.values():
        change.first = {change.ask(directus_service.url) for _ in range(WARM_UP)}
        change.make()
    until = time.monotonic() + ACCOUNT_TTL_S + LONGER_S
    while time.monotonic() < until:
        for change in made.values():
            change.look(directus_service.url)
        time.sleep(EVERY_S)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_an_account_counts_within_half_a_minute(changes: Mapping[str, Change], name: str) -> None:
    change = changes[name]
    assert change.first == {change.before}
    assert {status for _, status in change.seen} <= {change.before, change.after}
    assert change.old_until_s < ACCOUNT_TTL_S
    later = [status for after_s, status in change.seen if after_s >= ACCOUNT_TTL_S]
    assert len(later) >= 3
    assert set(later) == {change.after}


def test_the_accounts_were_not_asked_for_with_every_request(changes: Mapping[str, Change]) -> None:
    assert any(change.old_until_s > 1 for change in changes.values())
