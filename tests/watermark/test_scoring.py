"""Scores and the bound on false accusations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from geniequeue.watermark.derivation import CHIPS, Codes, seed
from geniequeue.watermark.scoring import scores
from geniequeue.watermark.statistics import false_accusation, threshold
from tests.watermark.pictures import KEY


def test_scores_are_the_inner_products_with_the_code_words() -> None:
    chips = np.random.default_rng(1).normal(size=CHIPS).astype(np.float32)
    ids = np.array([5, 1 << 63, 77], np.uint64)
    expected = [Codes(KEY, "a").chips(int(i)) @ chips / np.linalg.norm(chips) for i in ids]
    assert scores(chips, KEY, "a", ids) == pytest.approx(expected, abs=1e-3)


def test_scores_do_not_depend_on_how_many_are_asked_at_once() -> None:
    chips = np.random.default_rng(2).normal(size=CHIPS).astype(np.float32)
    ids = np.arange(2500, dtype=np.uint64)
    single = [scores(chips, KEY, "a", ids[i : i + 1])[0] for i in (0, 1023, 1024, 2499)]
    assert scores(chips, KEY, "a", ids)[[0, 1023, 1024, 2499]] == pytest.approx(single, abs=1e-4)


def test_no_chips_give_no_scores() -> None:
    assert not scores(np.zeros(CHIPS, np.float32), KEY, "a", np.arange(3, dtype=np.uint64)).any()


@pytest.mark.parametrize("kind", ["normal", "one chip", "few chips", "signs"])
def test_wrong_ids_stay_under_the_bound_whatever_the_chips_are(kind: str) -> None:
    rng = np.random.default_rng(3)
    chips = {
        "normal": rng.normal(size=CHIPS),
        "one chip": np.eye(CHIPS)[7],
        "few chips": rng.normal(size=CHIPS) * (rng.random(CHIPS) < 0.003),
        "signs": rng.choice([-1.0, 1.0], CHIPS),
    }[kind]
    z = scores(chips.astype(np.float32), KEY, kind, np.arange(1, 20_001, dtype=np.uint64))
    for level in (1.0, 2.0, 3.0, 3.5):
        sampling = 4 * math.sqrt(math.exp(-(level**2) / 2) / len(z)) + 2 / len(z)
        assert float((z >= level).mean()) <= math.exp(-(level**2) / 2) + sampling


def test_the_bound_is_above_the_exact_probability_for_few_chips() -> None:
    weights = np.array([3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8])
    signs = 1 - 2 * ((np.arange(1 << 12)[:, None] >> np.arange(12)) & 1)
    z = signs @ weights / np.linalg.norm(weights)
    for level in np.linspace(0.1, 3.4, 12):
        assert float((z >= level).mean()) <= false_accusation(float(level), 1)


def test_a_score_at_the_threshold_has_the_probability_that_was_asked_for() -> None:
    level = threshold(1000, 2, 500, 1e-9)
    assert false_accusation(level, 1000, 2) * 500 == pytest.approx(1e-9)
    assert threshold(100_000, 1, 10_000) == pytest.approx(9.1, abs=0.05)


def test_the_threshold_grows_with_copies_looks_and_traces() -> None:
    assert threshold(10, 1, 10) < threshold(11, 1, 10) < threshold(11, 2, 10) < threshold(11, 2, 11)


def test_a_probability_is_never_above_one() -> None:
    assert false_accusation(0.5, 1000) == 1
    assert false_accusation(-3, 1) == 1


def test_a_threshold_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one copy"):
        threshold(0, 1, 1)


def test_labels_are_not_run_together() -> None:
    assert seed(KEY, "ab", "c") != seed(KEY, "a", "bc")
    assert seed(KEY, "a") != seed(bytes(32), "a")


def test_code_words_are_the_same_for_ever() -> None:
    assert Codes(KEY, "asset").packed(1)[:8].hex() == "ac49f658d2e93b45"
