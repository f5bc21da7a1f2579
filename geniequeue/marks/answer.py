"""The answer of a trace: whom the scores accuse, and how probable it is that they accuse an innocent.

A copy is named only from a threshold on that follows from how many copies were compared, how often the leak was looked
at, and how many traces the system makes over its life (`geniequeue.watermark.statistics`). Below it nobody is named
anywhere, and no score is told. Which assets are compared is decided by how the pictures lie on each other alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

from geniequeue.marks.assets import PLANE_VERSION, Asset
from geniequeue.marks.issues import MARK_VERSION, Issue
from geniequeue.watermark.statistics import false_accusation, threshold

Verdict = Literal["match", "several", "inconclusive", "no_marked_asset"]

PROBABILITY = 1e-9
"""That one innocent is accused in all traces of the system's life together.

Where more are made than were planned, each further one is judged by their number so far; together they then stay below
1 + ln(made / planned) times this: ten times as many traces make it 3.3 times.
"""
LEAST_TOLD = 1e-300
"""The smallest bound that is told; below, a number of 64 bits soon ends."""

SENTENCES: Mapping[Verdict, str] = {
    "match": "The leak is the copy that is named; that says whose copy it was, not who took it.",
    "several": "The leak was made from more than one copy; each that is named went into it.",
    "inconclusive": "Nothing can be said about whose copy this is; it may be an unmarked file, or too little is left.",
    "no_marked_asset": "There is no marked copy on record that this could be compared with.",
}
MOST_LOST = 10
"""Ids of lost assets that the message names."""
REMARKED = (
    "A copy that further copies were made from leaked, or one of those; it cannot be told which, so it is not named."
)


@dataclass(frozen=True)
class Reading:
    """What one look at an asset has brought.

    Attributes:
        registration: how the leak lies on the asset, as `geniequeue.media.leak` says it; None for a leak too small.
        hits: trace ids with their scores, those below a floor left out.
        copies: of the asset that were compared.
    """

    asset: Asset
    registration: Mapping[str, Any] | None
    hits: Sequence[tuple[int, float]]
    copies: int

    @property
    def accepted(self) -> bool:
        """Whether the leak was found to show the asset."""
        return bool(self.registration and self.registration["accepted"])

    @property
    def looks(self) -> int:
        """How many readings of the leak the best was kept of."""
        return int(self.registration["looks"]) if self.registration else 1


@dataclass(frozen=True)
class Bound:
    """What a score is judged by.

    Attributes:
        copies: code words that were compared with the leak, those of all assets together.
        looks: readings for each.
        traces: over the system's life; those made where they are more than were planned.
    """

    copies: int
    looks: int
    traces: int

    @property
    def threshold(self) -> float:
        """The score from which on a copy is named."""
        return threshold(max(1, self.copies), max(1, self.looks), self.traces, PROBABILITY)

    def false_accusation(self, score: float) -> float:
        """The probability that any of the copies reaches this score by chance, in this one trace."""
        return max(LEAST_TOLD, false_accusation(score, self.copies, self.looks))


@dataclass(frozen=True)
class Accused:
    """A copy whose score reaches the threshold.

    Attributes:
        chain: the copies it was made from, the first one first, and itself.
        children: the copies that were made from it, whoever owns them.
    """

    issue: Issue
    score: float
    chain: tuple[Issue, ...]
    children: tuple[Issue, ...] = ()


def bound_of(readings: Sequence[Reading], traces: int, planned: int = 0) -> Bound:
    """Return what all scores of these readings are judged by.

    Args:
        planned: copies that would have been compared if no earlier one had been named.
    """
    looks = max((each.looks for each in readings), default=1)
    return Bound(max(planned, sum(each.copies for each in readings)), looks, traces)


def above(readings: Sequence[Reading], bound: Bound) -> dict[int, float]:
    """Return the trace ids that reach the threshold, each with its best score."""
    best: dict[int, float] = {}
    for trace_id, score in (hit for each in readings if each.accepted for hit in each.hits):
        if math.isfinite(score) and score >= bound.threshold:
            best[trace_id] = max(score, best.get(trace_id, score))
    return best


def last_of_chains(accused: Sequence[Accused]) -> list[Accused]:
    """Leave out whose copy is but an earlier one in the chain of another that is named; the best score comes first."""
    earlier = {issue.id for each in accused for issue in each.chain[:-1]}
    return sorted((each for each in accused if each.issue.id not in earlier), key=lambda each: -each.score)


def named_of(accused: Sequence[Accused]) -> list[Accused]:
    """Leave out each that copies were made from: the leak may be one of those, which was not or could not be read."""
    return [each for each in accused if not each.children]


def verdict_of(readings: Sequence[Reading], accused: Sequence[Accused], *, unreadable: bool = False) -> Verdict:
    """Return the word for what was found.

    Args:
        unreadable: copies are on record whose key the service has no more.
    """
    if not any(each.copies for each in readings):
        return "inconclusive" if unreadable else "no_marked_asset"
    if not named_of(accused):
        return "inconclusive"
    return "match" if len(accused) == 1 else "several"


def answer_of(
    readings: Sequence[Reading],
    accused: Sequence[Accused],
    bound: Bound,
    *,
    scope: str | None = None,
    lost: Sequence[str] = (),
    unreadable: bool = False,
) -> dict[str, Any]:
    """Return the answer as the job shows it, in JSON.

    Args:
        scope: owner whose copies may be told of; None for everybody's.
        lost: files of the assets that nothing could be laid over, as what is kept of them is not as it was.
        accused: the last of their chains; none where no score reaches the threshold.
        unreadable: as of `verdict_of`.
    """
    verdict, named = verdict_of(readings, accused, unreadable=unreadable or bool(lost)), named_of(accused)
    shown = _shown(readings, named)
    return {
        "verdict": verdict,
        "message": _message(verdict, accused, lost),
        "candidates": [_candidate(each, bound, scope) for each in named],
        "asset_file_id": shown.asset.file_id if shown else None,
        "registration": dict(shown.registration) if shown and shown.registration else None,
        "copies": bound.copies,
        "looks": bound.looks,
        "assets": len(readings),
        "threshold": round(bound.threshold, 3),
        "traces": bound.traces,
        "probability": PROBABILITY,
        "versions": {"geniequeue": version("geniequeue"), "mark": MARK_VERSION, "plane": PLANE_VERSION},
    }


def _message(verdict: Verdict, accused: Sequence[Accused], lost: Sequence[str]) -> str:
    told = [SENTENCES[verdict]]
    if len(named_of(accused)) < len(accused):
        told = [REMARKED] if verdict == "inconclusive" else [*told, REMARKED]
    if lost:
        names = ", ".join(lost[:MOST_LOST]) + (", …" if len(lost) > MOST_LOST else "")
        told.append(f"Of {len(lost)} marked assets what is kept is lost, so they could not be looked at: {names}.")
    return " ".join(told)


def _shown(readings: Sequence[Reading], named: Sequence[Accused]) -> Reading | None:
    """Return the reading whose registration is told: of the best candidate's asset, else the best registration."""
    if named:
        asset = named[0].issue.asset_file_id
        return next((each for each in readings if each.asset.file_id == asset), None)
    registered = [each for each in readings if each.registration]
    return max(registered, key=lambda each: each.registration["correlation"] if each.registration else 0, default=None)


def _candidate(accused: Accused, bound: Bound, scope: str | None) -> dict[str, Any]:
    issue = accused.issue
    return {
        **_copy(issue, scope),
        "asset_file_id": issue.asset_file_id,
        "score": round(accused.score, 2),
        "false_accusation": bound.false_accusation(accused.score),
        "key_id": issue.key_id,
        "chain": [_copy(each, scope) for each in accused.chain],
    }


def _copy(issue: Issue, scope: str | None) -> dict[str, Any]:
    """Return what is told of a copy; of one that another owner's job has issued, all members are null."""
    told = {
        "fan_id": issue.fan_id,
        "copy_file_id": issue.output_file_id,
        "job_id": issue.job_id,
        "issued_at": issue.issued_at,
    }
    return told if scope in (None, issue.owner_id) else dict.fromkeys(told)
