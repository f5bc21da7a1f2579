"""Checks of a customer's Directus: version, clock, secret, fields, rights of the service, creators."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import jwt

from geniequeue.auth import ALGORITHM, ISSUER, SKEW_S
from geniequeue.cli.checks_marks import traces_finding
from geniequeue.cli.directus_greeting import Greeting, greet
from geniequeue.cli.finding import Finding
from geniequeue.cli.rights import Granted, Right, granted, try_rights
from geniequeue.config import Settings
from geniequeue.errors import RecordInvalid, RecordsError, RecordsUnavailable, TokenRefused
from geniequeue.quota.source import AT_ONCE
from geniequeue.records.directus import DirectusStore
from geniequeue.records.directus_http import Call, path_of
from geniequeue.records.directus_shapes import USERS, id_of
from geniequeue.records.directus_state import CREATOR_POLICY, holders_of, missing
from geniequeue.records.service_token import TokenFile

PATIENCE_S = 15.0
PROOF_LIFE_S = 60
NAMED_AT_MOST = 5
PAGED = "media_job_runs"
SETUP = "run `geniequeue directus-setup`"


def directus_findings(settings: Settings, url: str) -> Iterator[Finding]:
    """Look at the Directus at `url`; the rest is left out where it cannot even be greeted."""
    path = settings.directus_token_file
    token = TokenFile(path).current() if path else settings.directus_token or ""
    store = DirectusStore(url, token, deadline_s=PATIENCE_S)
    try:
        greeting = greet(store.http, token)
    except TokenRefused:
        advice = "set DIRECTUS_TOKEN; `geniequeue directus-setup --reset-token` makes a new one"
        yield Finding("Directus", "problem", "it refuses the token of the service's account", advice)
        return
    except RecordsUnavailable as error:
        yield Finding("Directus", "problem", str(error))
        return
    yield _version(greeting, url)
    yield clock_finding("Directus", *greeting.ahead_s)
    try:
        yield from _account(store, settings, greeting)
    except RecordsError as error:
        yield Finding("Directus", "problem", str(error), "look at Directus, then try again")


def clock_finding(whose: str, least_s: float, most_s: float) -> Finding:
    """Judge a clock that is ahead of this host's by `least_s` to `most_s`."""
    name, worst_s = f"{whose} clock", max(abs(least_s), abs(most_s))
    if math.isinf(worst_s):
        return Finding(name, "warning", "it tells no time", "let the proxy before it pass on the header Date")
    found = f"at most {worst_s:.1f} s from this host's"
    if min(abs(least_s), abs(most_s)) > SKEW_S and least_s * most_s > 0:
        advice = f"set both by NTP: beyond {SKEW_S:.0f} s new tokens are refused, or old ones accepted"
        return Finding(name, "problem", f"{found}, {'ahead' if least_s > 0 else 'behind'}", advice)
    return Finding(name, "ok", found)


def _version(greeting: Greeting, url: str) -> Finding:
    found = f"{greeting.version or 'unknown version'} at {url}"
    if greeting.tested:
        return Finding("Directus", "ok", found)
    return Finding("Directus", "warning", found, "tested with Directus 11 alone")


def _account(store: DirectusStore, settings: Settings, greeting: Greeting) -> Iterator[Finding]:
    """Look at what the account of the service finds, and may do."""
    call = Call("GET", path_of("users", "me", fields="id"), USERS, "read")
    account = id_of(store.request(call), USERS, "read")
    yield _secret(store, settings.directus_secret, account, greeting)
    given = granted(store)
    # What it may not read it does not see: that is a missing right, not a missing collection.
    absent = missing(store, {collection for collection, action in given.whole if action == "read"})
    yield from (Finding("Directus field", "problem", line, SETUP) for line in absent)
    if not absent:
        yield Finding("Directus fields", "ok", "all there, with their types")
    yield from _rights(store, account, given, tries=not absent)
    yield _power(given)
    yield _creators(store)
    yield _page(store)
    if not absent and not given.lacking:
        yield traces_finding(store.as_service(), settings.watermark_traces)


def _secret(store: DirectusStore, secret: str, account: str, greeting: Greeting) -> Finding:
    """Sign a token for the service's own account: Directus accepts it only where it signs with the same key."""
    least_s, most_s = greeting.ahead_s
    now_s = int(time.time() + (0 if math.isinf(most_s) else (least_s + most_s) / 2))
    claims = {"id": account, "role": None, "app_access": False, "admin_access": False}
    times = {"iss": ISSUER, "iat": now_s, "exp": now_s + PROOF_LIFE_S}
    call = Call("GET", path_of("users", "me", fields="id"), USERS, "read")
    try:
        store.http.json(jwt.encode(claims | times, secret, ALGORITHM), call)
    except TokenRefused:
        advice = "set DIRECTUS_SECRET to the SECRET of Directus: until then nobody's token is accepted"
        return Finding("Directus secret", "problem", "Directus does not sign with DIRECTUS_SECRET", advice)
    return Finding("Directus secret", "ok", "Directus accepts a token signed with DIRECTUS_SECRET")


def _rights(store: DirectusStore, account: str, given: Granted, *, tries: bool) -> Iterator[Finding]:
    lacking = given.lacking
    yield from (_lacking(right, partial=right in given.partial) for right in lacking)
    refused = try_rights(store, account, given) if tries else []
    for each in refused:
        found = f"may {_words(each.right)}, but cannot: {each.why}"
        yield Finding("Directus right", "problem", found, "look at the flows, extensions and storage of Directus")
    if tries and not lacking and not refused:
        yield Finding("Directus rights", "ok", "each tried, on items and a file that are gone again")


def _lacking(right: Right, *, partial: bool) -> Finding:
    found = f"may {_words(right)} in part only" if partial else f"may not {_words(right)}"
    return Finding("Directus right", "problem", f"the service's account {found}", SETUP)


def _power(given: Granted) -> Finding:
    name, advice = "Directus account", "use the account that `geniequeue directus-setup` makes"
    if given.everything:
        return Finding(name, "warning", "DIRECTUS_TOKEN is an administrator's", advice)
    if given.beyond:
        named = ", ".join(map(_words, given.beyond[:NAMED_AT_MOST]))
        more = len(given.beyond) - NAMED_AT_MOST
        found = f"may also {named}{f' and {more} more' if more > 0 else ''}"
        return Finding(name, "warning", found, "take away what the service does not need")
    return Finding(name, "ok", "may do what the service needs, and no more")


def _creators(store: DirectusStore) -> Finding:
    holders = holders_of(store, CREATOR_POLICY)
    if "" in holders:
        advice = "detach the policy geniequeue creators from the public: everybody holds it"
        return Finding("Directus creators", "problem", "whoever has not signed in is one", advice)
    if not holders:
        advice = f"{SETUP} with --creator-role: nobody can create jobs"
        return Finding("Directus creators", "problem", "no role holds the policy geniequeue creators", advice)
    return Finding("Directus creators", "ok", f"the policy is held by {len(holders)} role{'s' * (len(holders) > 1)}")


def _page(store: DirectusStore) -> Finding:
    """Ask for as many items at once as the service does."""
    try:
        store.request(Call("GET", path_of("items", PAGED, fields="id", limit=str(AT_ONCE)), PAGED, "read"))
    except RecordInvalid:
        advice = f"let it be {AT_ONCE} or more in Directus"
        return Finding("Directus pages", "problem", f"QUERY_LIMIT_MAX is below {AT_ONCE}", advice)
    return Finding("Directus pages", "ok", f"{AT_ONCE} items at once")


def _words(right: Right) -> str:
    collection, action = right
    return f"{action} {collection}"
