"""Fail open: the one place where a broken quota lets a job through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from geniequeue.log import get_logger
from geniequeue.metrics import Counted, Numbers


class Counts(Protocol):
    """Has numbers to count with."""

    numbers: Numbers


S = TypeVar("S", bound=Counts)
P = ParamSpec("P")
R = TypeVar("R")

log = get_logger(__name__)


def fails_open(
    causes: Mapping[type[Exception], str], *, answer: Callable[Concatenate[S, str, P], R], metric: Counted
) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
    """Answer with `answer` where a method raises one of `causes`; write a warning and count it.

    Args:
        causes: a word for each exception; the first that fits counts, so the most special come first.
        answer: gets the word and the arguments of the method.
        metric: counter with the label `cause`; where it cannot be counted, for Redis is away, nothing is let through.
    """

    def decorate(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        @wraps(method)
        def guarded(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return method(self, *args, **kwargs)
            except tuple(causes) as error:
                cause = next(word for kind, word in causes.items() if isinstance(error, kind))
                log.warning("quota unverified, the job is let through", cause=cause, error=str(error))
                self.numbers.count(metric, cause)
                return answer(self, cause, *args, **kwargs)

        return guarded

    return decorate
