"""Tokens of every kind that Directus issues, each got the way its owner gets it."""

from __future__ import annotations

import email
import email.policy
import re
import uuid
from pathlib import Path

import requests

from tests.accounts import Account
from tests.directus_fixture import PASSWORD, DirectusPlace
from tests.service import await_true

SESSION_COOKIE = "directus_session_token"


def address_of(name: str) -> str:
    """Return the mail address of somebody who has signed up."""
    return f"{name}@example.com"


def log_in(place: DirectusPlace, name: str, mode: str) -> str:
    """Log in by `json`, `cookie` or `session`; return the access token, which a session has in its cookie."""
    about = {"email": address_of(name), "password": PASSWORD, "mode": mode}
    answer = requests.post(f"{place.server.url}/auth/login", json=about, timeout=30)
    assert answer.status_code == 200, answer.text
    return str(answer.cookies[SESSION_COOKIE] if mode == "session" else answer.json()["data"]["access_token"])


def log_out(place: DirectusPlace, session_token: str) -> None:
    """End a session."""
    cookies = {SESSION_COOKIE: session_token}
    answer = requests.post(f"{place.server.url}/auth/logout", json={"mode": "session"}, cookies=cookies, timeout=30)
    assert answer.status_code == 204, answer.text


def static_token(place: DirectusPlace, account: Account) -> str:
    """Give an account a token that does not run out."""
    token = uuid.uuid4().hex
    place.request("PATCH", f"/users/{account.id}", {"token": token})
    return token


def share_token(place: DirectusPlace, account: Account, mode: str) -> str:
    """Share an item of somebody's and open it as a guest, by `json` or `session`."""
    item = account.records.create_item("media_jobs", {"operation": "resize_image", "params": {}})
    about = {"collection": "media_jobs", "item": item["id"], "role": place.roles[False], "name": "for a guest"}
    share = place.request("POST", "/shares", about)["id"]
    answer = requests.post(f"{place.server.url}/shares/auth", json={"share": share, "mode": mode}, timeout=30)
    assert answer.status_code == 200, answer.text
    return str(answer.cookies[SESSION_COOKIE] if mode == "session" else answer.json()["data"]["access_token"])


def reset_token(place: DirectusPlace, name: str, mailbox: Path) -> str:
    """Ask for a new password; return the token of the mail."""
    place.request("POST", "/auth/password/request", {"email": address_of(name)})
    return _mailed_token(mailbox, address_of(name))


def invite_token(place: DirectusPlace, name: str, mailbox: Path) -> str:
    """Invite somebody; return the token of the mail."""
    place.request("POST", "/users/invite", {"email": address_of(name), "role": place.roles[False]})
    return _mailed_token(mailbox, address_of(name))


def _mailed_token(mailbox: Path, address: str) -> str:
    found: list[str] = []

    def arrived() -> bool:
        found.extend(token for path in mailbox.iterdir() for token in _tokens_for(address, path))
        return bool(found)

    await_true(arrived, 30, lambda: f"expected a mail for {address}, got {list(mailbox.iterdir())}")
    return found[0]


def _tokens_for(address: str, path: Path) -> list[str]:
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    body = mail.get_body(("html", "plain"))
    return re.findall(r"token=([\w.-]+)", body.get_content()) if body and address in mail["to"] else []
