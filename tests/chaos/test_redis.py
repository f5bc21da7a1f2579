"""Redis is emptied and restarted under the workers; each test is named after its row of the fault table."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.test_workers import attempts_of, one_output, redis_of, standing_still, start_slow_job
from tests.service import Service, await_true


def test_f16_after_flushall_every_job_runs_once_within_a_minute(service: Service, token: str, photo: Path) -> None:
    waiting = [service.create(token, "resize_image", photo, {"width": 40}) for _ in range(20)]
    running = start_slow_job(service, token, photo)
    with standing_still(service):
        for job_id in waiting:
            service.enqueue(token, job_id, "resize_image")
        redis_of(service).flushall()
        # the index of a job that ends before its holder has taken the lease again stays empty
        await_true(
            lambda: redis_of(service).hget(f"gq:job:{running}", "attempt") == "1",
            20,
            lambda: f"the lease is not taken again:\n{service.log()[-3000:]}",
        )
    for job_id in (running, *waiting):
        job = service.await_final(token, job_id, within_s=60)
        assert job["state"] == "completed"
        assert one_output(service, job)
        # the restored ones begin with 2, for the records cannot tell that their first attempt had not begun
        assert attempts_of(service, job_id) == (1 if job_id == running else 2)


def test_f15_cut_connections_cost_a_running_job_nothing(service: Service, token: str, photo: Path) -> None:
    job_id = start_slow_job(service, token, photo)
    redis_of(service).client_kill_filter(_type="normal", skipme=True)
    job = service.await_final(token, job_id)
    assert (job["state"], job["attempts"], attempts_of(service, job_id)) == ("completed", 1, 1)
    assert service.run(token, "resize_image", photo, {"width": 30}, within_s=30)["state"] == "completed"
