"""What a check of `geniequeue doctor` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table.

    Attributes:
        verdict: `warning` is allowed but should be known.
        found: what is there; never a secret.
        advice: what to do about it.
    """

    name: str
    verdict: Literal["ok", "warning", "problem"]
    found: str
    advice: str = ""
