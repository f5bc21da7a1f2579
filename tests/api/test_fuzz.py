"""Whatever JSON is sent, the answer blames the sender and not the service."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from geniequeue.operations import PUBLIC_OPERATIONS
from tests.api.conftest import Api

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
OPERATIONS = st.sampled_from([*PUBLIC_OPERATIONS, "onboarding:extract"])
PARAM_NAMES = sorted({name for operation in PUBLIC_OPERATIONS.values() for name in operation.params().fields})
PARAMS = st.dictionaries(st.sampled_from(PARAM_NAMES) | st.text(max_size=3), VALUES, max_size=4)
BODIES = st.fixed_dictionaries(
    {"jobId": st.uuids().map(str) | VALUES, "operation": OPERATIONS | VALUES},
    optional={
        "params": PARAMS | VALUES,
        "input_file_id": st.uuids().map(str) | VALUES,
        "input_url": VALUES,
        "creator_profile_id": st.uuids().map(str) | VALUES,
        "priority": st.integers(-1, 2_097_152) | VALUES,
    },
)


@examples(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
def test_no_body_is_the_services_fault(api: Api, body: Any) -> None:
    answer = api.post("/api/queue/media", body)
    assert answer.status_code in (200, 400, 404, 409, 422), answer.json
    assert answer.json["ok"] is (answer.status_code == 200)


@examples(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
def test_no_body_for_a_job_that_exists_is_the_services_fault(api: Api, body: Any) -> None:
    job_id = api.person.create_job()
    answer = api.post("/api/queue/media", {**body, "jobId": job_id, "operation": "resize_image"})
    assert answer.status_code in (200, 400, 404, 409, 422), answer.json
