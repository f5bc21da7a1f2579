"""What a trace answers: named from the threshold on, nobody below it, chains as chains."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from geniequeue.marks.answer import (
    Accused,
    Bound,
    Reading,
    above,
    answer_of,
    bound_of,
    last_of_chains,
    verdict_of,
)
from geniequeue.marks.assets import Asset
from geniequeue.marks.issues import Issue

ASSET = Asset("asset", "owner", "plane", "00" * 32, 800, 600)
SEEN = {"accepted": True, "kind": "features", "matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "overlap": 0.5,
        "correlation": 0.9, "mirrored": False, "looks": 1}  # fmt: skip


def issue(number: int, parent: Issue | None = None, asset: str = "asset") -> Issue:
    ids = f"issue-{number}", number, f"fan {number}", f"job-{number}", "owner", asset, f"copy-{number}"
    return Issue(*ids, key_id="k", strength=1.0, parent_id=parent.id if parent else None, issued_at="2026-11-27")


def reading(*hits: tuple[int, float], copies: int = 1000, **seen: Any) -> Reading:
    return Reading(ASSET, {**SEEN, **seen}, hits, copies)


def accused(named: Issue, score: float = 30.0, *earlier: Issue) -> Accused:
    return Accused(named, score, (*earlier, named))


def test_the_threshold_follows_from_copies_looks_and_traces() -> None:
    assert Bound(100_000, 1, 10_000).threshold == pytest.approx(math.sqrt(2 * math.log(1e5 * 1e4 / 1e-9)))
    assert Bound(100_000, 4, 10_000).threshold > Bound(100_000, 1, 10_000).threshold > Bound(10, 1, 10).threshold
    assert bound_of([reading(copies=5), reading(copies=7, looks=3)], 10) == Bound(12, 3, 10)
    # a search that may end early is judged by all that it might have looked at
    assert bound_of([reading(copies=5)], 10, planned=400) == Bound(400, 1, 10)


def test_nobody_is_named_below_the_threshold_and_no_score_is_told() -> None:
    bound = Bound(1000, 1, 10_000)
    just_below = bound.threshold - 1e-6
    readings = [reading((7, just_below))]
    assert above(readings, bound) == {}
    answer = answer_of(readings, [], bound)
    assert (answer["verdict"], answer["candidates"]) == ("inconclusive", [])
    assert "fan" not in json.dumps(answer)
    assert str(round(just_below, 2)) not in json.dumps({**answer, "threshold": None})
    assert above([reading((7, bound.threshold))], bound) == {7: bound.threshold}


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_names_nobody(score: float) -> None:
    assert above([reading((7, score))], Bound(10, 1, 10)) == {}


def test_a_registration_under_its_floor_names_nobody_whatever_the_scores() -> None:
    assert above([reading((7, 90.0), accepted=False)], Bound(10, 1, 10)) == {}


def test_two_fans_make_several_and_one_makes_a_match() -> None:
    readings = [reading((1, 30.0), (2, 25.0))]
    both = last_of_chains([accused(issue(2), 25.0), accused(issue(1), 30.0)])
    assert [each.issue.trace_id for each in both] == [1, 2]
    assert verdict_of(readings, both) == "several"
    assert verdict_of(readings, both[:1]) == "match"
    answer = answer_of(readings, both, Bound(1000, 1, 10_000))
    assert [each["fan_id"] for each in answer["candidates"]] == ["fan 1", "fan 2"]
    assert answer["candidates"][0]["false_accusation"] == pytest.approx(1000 * math.exp(-450))
    assert answer["registration"]["overlap"] == 0.5
    assert "not who took it" in answer_of(readings, both[:1], Bound(1000, 1, 10_000))["message"]


def test_a_copy_of_a_copy_is_named_with_its_chain_and_not_beside_it() -> None:
    first = issue(1)
    second = issue(2, first, asset="copy-1")
    named = last_of_chains([accused(first, 50.0), accused(second, 20.0, first)])
    assert [each.issue for each in named] == [second]
    [candidate] = answer_of([reading()], named, Bound(10, 1, 10))["candidates"]
    assert [each["fan_id"] for each in candidate["chain"]] == ["fan 1", "fan 2"]


def test_of_a_copy_that_another_owner_has_issued_a_chain_shows_that_it_is_there_and_no_more() -> None:
    foreign = replace(issue(1), owner_id="stranger")
    named = [accused(issue(2, foreign, asset="copy-1"), 20.0, foreign)]
    [candidate] = answer_of([reading()], named, Bound(10, 1, 10), scope="owner")["candidates"]
    assert set(candidate["chain"][0].values()) == {None}
    assert candidate["chain"][1]["fan_id"] == candidate["fan_id"] == "fan 2"
    [candidate] = answer_of([reading()], named, Bound(10, 1, 10), scope=None)["candidates"]
    assert [each["fan_id"] for each in candidate["chain"]] == ["fan 1", "fan 2"]


def test_a_copy_that_others_were_made_from_is_not_named_without_one_of_those() -> None:
    first = issue(1)
    unread = replace(accused(first, 50.0), children=(issue(2, first, asset="copy-1"),))
    answer = answer_of([reading()], last_of_chains([unread]), Bound(10, 1, 10))
    assert (answer["verdict"], answer["candidates"]) == ("inconclusive", [])
    assert "cannot be told which" in answer["message"]
    assert "fan" not in json.dumps(answer)
    # another one that went into the leak is named all the same
    mixed = answer_of([reading()], last_of_chains([unread, accused(issue(3))]), Bound(10, 1, 10))
    assert (mixed["verdict"], [each["fan_id"] for each in mixed["candidates"]]) == ("several", ["fan 3"])
    assert "cannot be told which" in mixed["message"]
    # where the later copy can be read, it is the one
    later = accused(issue(2, first, asset="copy-1"), 20.0, first)
    assert verdict_of([reading()], last_of_chains([unread, later])) == "match"


def test_without_a_copy_on_record_there_is_nothing_to_compare() -> None:
    assert verdict_of([], []) == "no_marked_asset"
    unseen = replace(reading(copies=0), registration=None)
    assert verdict_of([unseen], []) == "no_marked_asset"
    # there are some, marked with a key that was lost
    assert verdict_of([unseen], [], unreadable=True) == "inconclusive"


def test_assets_that_are_lost_are_told_and_leave_it_open_whether_there_is_a_copy() -> None:
    answer = answer_of([], [], Bound(0, 1, 10), lost=["one", "another"])
    assert (answer["verdict"], answer["candidates"]) == ("inconclusive", [])
    assert "2 marked assets" in answer["message"]
    assert answer["message"].endswith("one, another.")
    many = answer_of([], [], Bound(0, 1, 10), lost=[f"file {n}" for n in range(100)])
    assert len(many["message"]) < 400


def test_the_smallest_bound_that_is_told_is_not_zero() -> None:
    assert Bound(1000, 1, 10_000).false_accusation(60.0) == 1e-300
