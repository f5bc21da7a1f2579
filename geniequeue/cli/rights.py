"""The rights of the service's account in Directus: what Directus says they are, and what comes of using them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from geniequeue.cli.probes import FileProbe, ItemProbe, Probe
from geniequeue.errors import RecordForbidden, RecordsError
from geniequeue.records.directus import DirectusStore
from geniequeue.records.directus_http import Call
from geniequeue.records.directus_shapes import ACCOUNT_FIELDS, FILES, USERS
from geniequeue.records.directus_state import POLICIES, SERVICE_POLICY, look
from geniequeue.records.schema import COLLECTIONS

Right = tuple[str, str]
"""Collection and action."""
NEEDED: tuple[Right, ...] = tuple((rule.collection, rule.action) for rule in POLICIES[SERVICE_POLICY][1])
_MIGHTY: Right = ("directus_permissions", "update")
"""Whoever may do this may do everything."""


@dataclass(frozen=True)
class Granted:
    """What an account may do.

    Attributes:
        whole: rights to every item and field of a collection.
        partial: rights to some only.
    """

    whole: frozenset[Right]
    partial: frozenset[Right]

    @property
    def lacking(self) -> list[Right]:
        """What the service needs and the account may not do, or not with every item and field."""
        return [right for right in NEEDED if right not in self.whole]

    @property
    def beyond(self) -> list[Right]:
        """What the account may do and the service does not need."""
        return sorted((self.whole | self.partial).difference(NEEDED))

    @property
    def everything(self) -> bool:
        """Whether the account is as mighty as an administrator's."""
        return _MIGHTY in self.whole | self.partial


def granted(store: DirectusStore) -> Granted:
    """Ask Directus what the store's own account may do."""
    answer = store.request(Call("GET", "/permissions/me", "directus_permissions", "read"))
    given = {
        (collection, action): _is_whole(about)
        for collection, actions in answer.items()
        for action, about in actions.items()
        if about["access"] != "none"
    }
    whole = frozenset(right for right, is_whole in given.items() if is_whole)
    return Granted(whole, frozenset(given) - whole)


def _is_whole(about: Mapping[str, Any]) -> bool:
    return bool(about["access"] == "full" and "*" in (about.get("fields") or ()))


@dataclass(frozen=True)
class Refusal:
    """A right that is granted and cannot be used."""

    right: Right
    why: str


def try_rights(store: DirectusStore, account: str, granted: Granted) -> list[Refusal]:
    """Use the rights that are granted and needed; return those that do not work.

    A probe is made only in a collection where it can be seen and deleted again.

    Args:
        account: id of the service's account.
    """
    found = list(_readings(store, granted))
    probes: list[Probe] = [FileProbe(store), *(ItemProbe(store, shape, account) for shape in COLLECTIONS.values())]
    made: list[Probe] = []
    ready: set[str] = set()
    try:
        for probe in probes:
            if probe.needs <= ready and _leaves_no_trace(probe, granted):
                made.append(probe)
                found += _used(probe, granted, ready)
    finally:
        for probe in reversed(made):
            found += _tried((probe.collection, "delete"), probe.delete)
    return found


def _leaves_no_trace(probe: Probe, granted: Granted) -> bool:
    return granted.whole.issuperset((probe.collection, action) for action in ("create", "read", "delete"))


def _readings(store: DirectusStore, granted: Granted) -> Iterator[Refusal]:
    """Read what the service only reads: accounts, and what tells which of them are administrators."""
    for collection, action in NEEDED:
        if collection in COLLECTIONS or collection == FILES or (collection, action) not in granted.whole:
            continue
        query = {"fields": ",".join(ACCOUNT_FIELDS)} if collection == USERS else {}
        call = look(collection.removeprefix("directus_"), limit="1", **query)
        yield from _tried((collection, action), partial(store.request, call))


def _used(probe: Probe, granted: Granted, ready: set[str]) -> Iterator[Refusal]:
    """Make a probe and use it; note its collection as ready where it could be made."""
    refused = list(_tried((probe.collection, "create"), probe.create))
    yield from refused
    if refused:
        return
    ready.add(probe.collection)
    yield from _tried((probe.collection, "read"), probe.read)
    if (probe.collection, "update") in granted.whole:
        yield from _tried((probe.collection, "update"), probe.update)


def _tried(right: Right, use: Callable[[], object]) -> Iterator[Refusal]:
    try:
        use()
    except RecordForbidden:
        yield Refusal(right, "Directus refuses it")
    except RecordsError as error:
        yield Refusal(right, str(error))
