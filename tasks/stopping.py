"""Whether this worker is to end, told by its main process to its pool children."""

from __future__ import annotations

from multiprocessing.sharedctypes import RawValue
from typing import Any

from celery import signals

_RUNS, _STOPPING, _HANDING_BACK = range(3)

# shared with the pool children, who are not told in another way that their worker is to end
_stage = RawValue("b", _RUNS)


def stopping() -> bool:
    """Tell whether this worker was asked to end."""
    return bool(_stage.value >= _STOPPING)


def handing_back() -> bool:
    """Tell whether the time is over that a running job had to end by itself."""
    return bool(_stage.value >= _HANDING_BACK)


def hand_back() -> None:
    """Let the pool children stop their jobs and put them back."""
    _stage.value = _HANDING_BACK


@signals.worker_shutting_down.connect
def _note_stop(**_: Any) -> None:
    _stage.value = max(_stage.value, _STOPPING)
