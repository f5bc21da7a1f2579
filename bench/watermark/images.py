"""Attacks on single pictures: basic table and hard set."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from bench.watermark.attacks import BASIC, HARD, fitted
from bench.watermark.marked import NAMED_FROM, marked
from bench.watermark.photographs import PHOTOGRAPHS

COLLAGE = "collage of two"
Result = tuple[str, int, float, float]


def attacked(index: int) -> list[Result]:
    """All attacks on one photograph: attack, photograph, its score, the highest other."""
    cv2.setNumThreads(1)
    one, next_one = marked(index), marked((index + 1) % len(PHOTOGRAPHS))
    results = [(name, index, *one.trace(attack(one.leaked))) for name, attack in (BASIC | HARD).items()]
    left, right = (np.ascontiguousarray(fitted(1000)(picture.leaked)) for picture in (one, next_one))
    page = np.full((max(left.shape[0], right.shape[0]), left.shape[1] + right.shape[1], 3), 240, np.uint8)
    page[: left.shape[0], : left.shape[1]] = left
    page[: right.shape[0], left.shape[1] :] = right
    return [*results, (COLLAGE, index, *one.trace(page)), (COLLAGE, index, *next_one.trace(page))]


def run(_folder: Path, *, quick: bool = False) -> Iterable[str]:
    """Lines of the two tables, then the sums."""
    chosen = range(0, len(PHOTOGRAPHS), 4) if quick else range(len(PHOTOGRAPHS))
    results: list[Result] = []
    with ProcessPoolExecutor(2) as pool:
        for found in pool.map(attacked, chosen):
            results += found
    yield from lines(results)


def lines(results: list[Result]) -> Iterable[str]:
    """The two tables of these results."""
    yield f"named from z = {NAMED_FROM:.1f} (100,000 copies, 10,000 traces); {len({r[1] for r in results})} photographs"
    for title, names in (("basic", list(BASIC)), ("hard", [*HARD, COLLAGE])):
        yield f"{title:38s} named    z least  median  highest other"
        yield from (_row(name, [r for r in results if r[0] == name]) for name in names)
        part = [r for r in results if r[0] in names]
        yield f"{title}, all: {sum(r[2] >= NAMED_FROM for r in part)}/{len(part)}"


def _row(name: str, rows: list[Result]) -> str:
    z = np.array([row[2] for row in rows])
    missed = " ".join(f"{PHOTOGRAPHS[row[1]].name} {row[2]:.1f}" for row in rows if row[2] < NAMED_FROM)
    other = max(row[3] for row in rows)
    count = f"{(z >= NAMED_FROM).sum()}/{len(z)}"
    return f"  {name:36s} {count:8s} {z.min():7.1f} {np.median(z):7.1f} {other:7.1f}   {missed}"
