"""The HTTP API as the command line uses it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import requests

from geniequeue.cli.exits import Refused, Unreachable

TIMEOUT_S = (3.05, 30.0)
TOKEN_LIFE_S = 900.0
PREFIX = "/api/queue"

NO_ADVICE: Mapping[str, str] = {}

Job = dict[str, Any]


class ApiClient:
    """Sends requests as one user; a refusal is `Refused`, a service that is away `Unreachable`.

    Args:
        url: address of the API.
        mint: returns a fresh token that lives for the seconds given.
        advice: what may be done about a refusal, by its word for machines.
    """

    def __init__(self, url: str, mint: Callable[[float], str], advice: Mapping[str, str] = NO_ADVICE) -> None:
        self.url = url
        self._advice = advice
        self._mint = mint
        self._http = requests.Session()
        # No proxy of the environment for a service on loopback, no .netrc in place of the token.
        self._http.trust_env = False
        self._token = ""
        self._renew_at = float("-inf")

    def enqueue(self, body: Mapping[str, Any]) -> Job:
        """Enqueue a job whose item exists."""
        return self._request("POST", "/media", json=body)

    def trace(self, body: Mapping[str, Any]) -> Job:
        """Enqueue a trace, which has an item of its own."""
        return self._request("POST", "/trace", json=body)

    def job(self, job_id: str) -> Job:
        """Return a job."""
        return self._request("GET", f"/jobs/{job_id}")

    def jobs(self, state: str | None) -> list[Job]:
        """Return the newest jobs."""
        found: list[Job] = self._request("GET", "/jobs", params={"state": state} if state else {})["jobs"]
        return found

    def stats(self) -> Job:
        """Return the numbers of the queues."""
        return self._request("GET", "/stats")

    def retry(self, job_id: str) -> Job:
        """Enqueue a failed job again."""
        return self._request("POST", f"/retry/{job_id}")

    def cancel(self, job_id: str) -> Job:
        """Cancel a job."""
        return self._request("POST", f"/jobs/{job_id}/cancel")

    def token(self) -> str:
        """Return a token that holds for some minutes."""
        if time.monotonic() >= self._renew_at:
            self._token = self._mint(TOKEN_LIFE_S)
            self._renew_at = time.monotonic() + TOKEN_LIFE_S / 2
        return self._token

    def _request(self, method: str, path: str, **kwargs: Any) -> Job:
        headers = {"Authorization": f"Bearer {self.token()}", "Accept": "application/json"}
        try:
            answer = self._http.request(
                method, self.url + PREFIX + path, headers=headers, timeout=TIMEOUT_S, allow_redirects=False, **kwargs
            )
        except requests.RequestException as error:
            why = "it took too long" if isinstance(error, requests.Timeout) else "nothing answers"
            raise Unreachable(
                f"the service cannot be reached at {self.url} ({why}); start it with `geniequeue up`, or check API_URL"
            ) from error
        return _read(answer, self.url, self._advice)


def _read(answer: requests.Response, url: str, advice: Mapping[str, str]) -> Job:
    try:
        body = answer.json()
    except requests.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise Unreachable(f"expected JSON from the API at {url}, got something else (HTTP {answer.status_code})")
    if answer.ok:
        return body
    sentence = _sentence(body, answer.status_code)
    if answer.status_code == 429 or answer.status_code >= 500:
        raise Unreachable(sentence)
    code = str(body.get("error", ""))
    raise Refused("\n".join(filter(None, (sentence, advice.get(code)))), code)


def _sentence(body: Mapping[str, Any], status: int) -> str:
    """Return the refusal as the API words it, with one line for each member that is wrong."""
    lines = [f"{body.get('message', 'refused')} ({body.get('error', 'error')}, HTTP {status})"]
    errors = body.get("errors")
    if isinstance(errors, dict):
        lines += [f"  {name}: {'; '.join(map(str, messages))}" for name, messages in errors.items()]
    return "\n".join(lines)
