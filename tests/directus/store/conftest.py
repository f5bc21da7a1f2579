"""What Directus alone is tested for: the store of these tests stands behind a proxy that does wrong when told to."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from geniequeue.records.directus import DirectusStore
from geniequeue.records.protocol import Records
from tests.directus_fixture import SERVICE_TOKEN, DirectusPlace
from tests.fault_proxy import Fault, FaultProxy, fault_proxy, http_answer


@pytest.fixture
def proxy(directus_place: DirectusPlace) -> Iterator[FaultProxy]:
    with fault_proxy(directus_place.server.url) as proxy:
        yield proxy


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def store(proxy: FaultProxy, pauses: list[float]) -> Iterator[DirectusStore]:
    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        time.sleep(min(seconds, 0.2))  # a real server needs some time to notice

    store = DirectusStore(proxy.url, SERVICE_TOKEN, deadline_s=3.0, sleep=sleep)
    yield store
    store.close()


@pytest.fixture
def service(store: DirectusStore) -> Records:
    return store.as_service()


def refusing(status: int, code: str, *headers: str, on: str = "") -> Fault:
    """Return a refusal as Directus words it."""
    body = {"errors": [{"message": "no", "extensions": {"code": code}}]}
    return Fault(on, answer=http_answer(status, json.dumps(body).encode(), *headers))
