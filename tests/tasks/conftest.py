"""Fixtures that tests of tasks share: records and queues as the producer has them, services of a worker, a trace."""

from tests.core.test_producer import world
from tests.tasks.test_outputs import services
from tests.tasks.test_trace_looks import case

__all__ = ["case", "services", "world"]
