"""The application in this process, with its records in a real Directus that can be made to fail."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from flask.testing import FlaskClient

from api.app import create_app
from api.services import Services, build_services
from geniequeue.config import Settings
from tests.accounts import Account
from tests.directus_fixture import SERVICE_TOKEN, DirectusPlace
from tests.fault_proxy import FaultProxy


@dataclass
class DirectusApi:
    """The application, and what it speaks to.

    Attributes:
        place: the Directus, reached without the proxy.
        proxy: between the application and Directus.
    """

    client: FlaskClient
    services: Services
    place: DirectusPlace
    proxy: FaultProxy

    def request(self, method: str, path: str, token: str, **kwargs: Any) -> Any:
        """Send a request with a token."""
        return self.client.open(path, method=method, headers={"Authorization": f"Bearer {token}"}, **kwargs)

    def get(self, path: str, token: str) -> Any:
        """Send a GET."""
        return self.request("GET", path, token)

    def enqueue(self, account: Account, job_id: str, operation: str = "resize_image") -> Any:
        """POST a job."""
        return self.request("POST", "/api/queue/media", account.token, json={"jobId": job_id, "operation": operation})


def make_directus_api(
    settings: Settings, place: DirectusPlace, proxy: FaultProxy, token: str = SERVICE_TOKEN
) -> DirectusApi:
    """Return the application; nothing runs in its background.

    Args:
        token: of the service account.
    """
    services = build_services(replace(settings, directus_url=proxy.url, directus_token=token))
    return DirectusApi(create_app(services).test_client(), services, place, proxy)
