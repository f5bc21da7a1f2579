"""`geniequeue jobs --stuck` against a running service."""

from __future__ import annotations

from pathlib import Path

import requests

from tests.service import Service, await_true


def workers_missing(service: Service) -> list[str]:
    checks = requests.get(f"{service.url}/readyz", timeout=10).json()["checks"]
    return [name for name, check in checks.items() if not check["ok"]]


def test_a_worker_that_stands_still_is_named_by_readyz_and_by_the_command(
    service: Service, token: str, photo: Path
) -> None:
    assert service.run(token, "resize_image", photo, {"width": 50})["state"] == "completed"
    well = service.cli("jobs", "--stuck", "--longer-than", "5")
    assert (well.returncode, well.stdout) == (0, "nothing is stuck\n"), well.stderr
    job_id = service.create(token, "resize_image", photo, {"width": 60})
    service.hold_workers()
    try:
        service.enqueue(token, job_id, "resize_image")
        await_true(lambda: workers_missing(service) == ["worker:media-jobs"], 20, lambda: workers_missing(service))
        found = service.cli("jobs", "--stuck", "--longer-than", "1")
        assert found.returncode == 1
        assert found.stdout.startswith("media-jobs: 1 waiting")
        assert "no worker of the queue answers" in found.stdout
    finally:
        service.hold_workers(hold=False)
    assert service.await_final(token, job_id)["state"] == "completed"
