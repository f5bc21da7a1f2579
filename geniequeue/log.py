"""Structured log lines: one JSON object (or one readable line) each, on standard output.

`bind` puts request id, job id, attempt and operation into the context; every later line of the thread carries them,
also those that libraries write through `logging`.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^:/@\s]*:)[^@/\s]+@")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[\w.~+/-]{8,}=*")
_JWT = re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*")


def redact(text: str) -> str:
    """Blot out passwords in addresses, bearer tokens and JWTs."""
    if "://" in text:
        text = _URL_PASSWORD.sub(r"\1***@", text)
    if "bearer" in text.lower():
        text = _BEARER.sub(r"\1[token]", text)
    return _JWT.sub("[token]", text) if "eyJ" in text else text


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = redact(value)
    return event


def _shared() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def configure(level: str, log_format: str, process: str) -> None:
    """Send every log line of this process, structured, to standard output.

    Args:
        level: `DEBUG`, `INFO`, `WARNING` or `ERROR`.
        log_format: `json` or `console`.
        process: name of the process, a member of each line.
    """
    render: list[Any] = (
        [structlog.processors.format_exc_info, _redact_event, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [structlog.processors.format_exc_info, _redact_event, structlog.dev.ConsoleRenderer(colors=False)]
    )

    def name_process(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, name_process, *render],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> Any:
    """Return a structured logger."""
    return structlog.stdlib.get_logger(name)


@contextmanager
def bind(**values: Any) -> Iterator[None]:
    """Add members to every log line written inside the block."""
    with structlog.contextvars.bound_contextvars(**values):
        yield
