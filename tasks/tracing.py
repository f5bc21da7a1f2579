"""Whose copy is it: the job `trace_leak`.

    which assets may be looked at → read the leak against each in the sandbox → judge → sign → store the evidence

Whoever asks sees the copies that his own jobs have issued; an administrator sees everybody's. No line of the log names
a fan, and none a score.
"""

from __future__ import annotations

from pathlib import Path

from geniequeue.errors import ToolError
from geniequeue.jobs.outcome import Completed
from geniequeue.log import get_logger
from geniequeue.marks.answer import Accused, Bound, Reading, above, answer_of, bound_of, last_of_chains, named_of
from geniequeue.marks.assets import Asset
from geniequeue.marks.issues import MAX_CHAIN
from geniequeue.sandbox.result import SandboxResult
from tasks import outputs
from tasks.attempt import Attempt
from tasks.inputs import WORK_DONE_PERCENT, checked_params, fetch_inputs
from tasks.trace_evidence import evidence
from tasks.trace_looks import Looks

BITS_PERCENT = 10.0

log = get_logger(__name__)


def perform(attempt: Attempt, folder: Path) -> Completed:
    """Find out whose copy the input is, and store the evidence.

    Raises:
        InputError: the input is no picture that is accepted.
        ToolError: the service has no key to sign evidence with.
    """
    seed = attempt.services.settings.evidence_key
    if seed is None:
        log.error("no key to sign evidence with")
        message = "The service has no key to sign evidence with; its operators have to set EVIDENCE_KEY_B64."
        raise ToolError(message, reason="no_evidence_key")
    looks = Looks(attempt, folder, fetch_inputs(attempt, folder)["input"])
    asset_file_id = checked_params(attempt.run.spec).get("asset_file_id")
    readings, planned = _of_asset(looks, asset_file_id) if asset_file_id else _of_unknown(looks)
    readings, accused = _with_copies_of_copies(looks, readings, planned)
    bound = _bound(looks, readings, planned)
    unknown = sorted(looks.unknown_keys)
    found = answer_of(readings, accused, bound, scope=looks.scope, lost=looks.lost, unreadable=bool(unknown))
    answer = {**found, "traces_planned": looks.traces_planned, "keys": looks.key_ids, "unknown_keys": unknown}
    told = {name: answer[name] for name in ("verdict", "assets", "copies", "looks")}
    log.info("leak traced", **told)
    if looks.traces > looks.traces_planned:
        log.warning("more traces were made than planned", made=looks.traces, planned=looks.traces_planned)
    made = evidence(looks, seed, answer, readings, named_of(accused))
    result = SandboxResult(made, looks.peak_memory_bytes, looks.wall_s, looks.cpu_s)
    return outputs.store(attempt, result, looks.out_dir, answer=answer)


def _of_asset(looks: Looks, asset_file_id: str) -> tuple[list[Reading], int]:
    """Look at one asset; return the readings, and how many copies it was planned to compare."""
    asset = looks.assets.get(asset_file_id)
    readings = [looks.at(asset, (0.0, WORK_DONE_PERCENT))] if asset else []
    return readings, 0


def _of_unknown(looks: Looks) -> tuple[list[Reading], int]:
    """Look at the asset that the bits in the leak lead to; where they lead nowhere, at all, until one accuses.

    Since it may end early, all copies that might have been compared count.
    """
    planned = looks.issues.count(looks.scope)
    first = looks.asset_by_bits((0.0, BITS_PERCENT))
    if first is not None and first.kind != looks.kind:
        first = None
    readings = looks.at_one_of_many(first, (BITS_PERCENT, 2 * BITS_PERCENT)) if first else []
    if _accuses(looks, readings, planned):
        return readings, planned
    total, assets = looks.searched()
    total, begin = max(1, total), 2 * BITS_PERCENT
    for number, asset in enumerate(assets):
        if asset.kind != looks.kind or (first is not None and asset.file_id == first.file_id):
            continue
        share = (WORK_DONE_PERCENT - begin) / total
        here = begin + share * min(number, total - 1)
        found = looks.at_one_of_many(asset, (here, here + share), thorough=False)
        readings += found
        if _accuses(looks, found, planned):
            break
    return readings, planned


def _bound(looks: Looks, readings: list[Reading], planned: int) -> Bound:
    return bound_of(readings, looks.traces, planned)


def _accuses(looks: Looks, readings: list[Reading], planned: int) -> bool:
    return bool(above(readings, _bound(looks, readings, planned)))


def _accused(looks: Looks, readings: list[Reading], planned: int) -> list[Accused]:
    """Return the copies that the scores accuse, without those that another one was made from."""
    found = above(readings, _bound(looks, readings, planned))
    issues = looks.issues.of_trace_ids(list(found))
    chain_of, children_of = looks.issues.chain_of, looks.issues.children_of
    reached = [
        Accused(issue, found[issue.trace_id], tuple(chain_of(issue)), tuple(children_of(issue.id))) for issue in issues
    ]
    return last_of_chains(reached)


def _with_copies_of_copies(looks: Looks, readings: list[Reading], planned: int) -> tuple[list[Reading], list[Accused]]:
    """Look at the copies that were made from an accused one, too: the leak may be one of those."""
    seen = {each.asset.file_id for each in readings}
    accused = _accused(looks, readings, planned)
    for _ in range(MAX_CHAIN):
        ids = {child.asset_file_id for each in accused for child in each.children} - seen
        further: list[Asset] = [asset for each in sorted(ids) if (asset := looks.assets.get(each))]
        seen |= ids
        if not further:
            break
        for asset in further:
            readings = [*readings, *looks.at_one_of_many(asset, (WORK_DONE_PERCENT, WORK_DONE_PERCENT))]
        accused = _accused(looks, readings, planned)
    return readings, accused
