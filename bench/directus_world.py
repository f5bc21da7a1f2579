"""A real Directus with our collections, a creator and as many jobs of his as a benchmark wants."""

from __future__ import annotations

import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from bench.access_token import mint
from geniequeue.records.directus import DirectusStore
from geniequeue.records.directus_http import Call
from geniequeue.records.installer import apply, plan
from tests.real_directus import RealDirectus

DEADLINE_S = 120.0
BATCH = 500


@dataclass(frozen=True)
class Creator:
    """A creator of a Directus.

    Attributes:
        token: his, as Directus signs it.
        service_token: of the service account.
        file_id: a file of his.
        store: as he sees it.
    """

    token: str = field(repr=False)
    service_token: str = field(repr=False)
    file_id: str
    store: DirectusStore = field(repr=False)

    def create_jobs(self, count: int, operation: str) -> list[str]:
        """Create items as the web app does, but many at once; return their ids."""
        job_ids = [str(uuid.uuid4()) for _ in range(count)]
        about = {"operation": operation, "input_file_id": self.file_id, "params": {"width": 1080}}
        items = [{"id": job_id, **about} for job_id in job_ids]
        for begin in range(0, count, BATCH):
            _post(self.store, "/items/media_jobs", items[begin : begin + BATCH])
        return job_ids


def creator_of(server: RealDirectus) -> Creator:
    """Install the definition into a new Directus and create a creator with a file."""
    admin, service_token = DirectusStore(server.url, server.admin_token), uuid.uuid4().hex
    role_id = str(_post(admin, "/roles", {"name": "Creators"})["id"])
    left = apply(admin, plan(admin, creator_role=role_id, service_token=service_token))
    assert left == [], left
    account = {"email": "creator@example.com", "role": role_id, "subscription_tier": "studio"}
    user_id = str(_post(admin, "/users", account)["id"])
    token = mint(user_id, server.secret, role_id)
    store = DirectusStore(server.url, token, deadline_s=DEADLINE_S)
    return Creator(token, service_token, _upload(store), store)


def _upload(store: DirectusStore) -> str:
    file_id = str(uuid.uuid4())
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "picture.jpg"
        source.write_bytes(b"a picture that nobody opens")
        store.as_service().upload(source, file_id=file_id, filename=source.name, mime="image/jpeg")
    return file_id


def _post(store: DirectusStore, path: str, body: object) -> dict[str, object]:
    answer: dict[str, object] = store.request(Call("POST", path, path, "create", body))
    return answer
