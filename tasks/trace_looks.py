"""Looks at a leak, each in the sandbox: the bits in it, or how it lies on one asset and what the asset's copies score.

The trace ids of an asset's copies go to the sandbox as files of eight bytes each, page by page, so a hundred thousand
copies take no memory here; whose they are stays outside.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from geniequeue.errors import CancelledError
from geniequeue.marks.answer import Reading
from geniequeue.marks.assets import Asset, Assets
from geniequeue.marks.issues import Issues
from geniequeue.marks.tally import traces_made
from geniequeue.sandbox.inside import Output
from tasks.attempt import Attempt
from tasks.inputs import run_in_sandbox
from tasks.kept import AssetLost, original_of, plane_of
from tasks.outputs import sha256_of

READ_BITS = "geniequeue.media.leak:read_bits"


class Looks:
    """What a trace may look at, and what its looks took.

    Args:
        attempt: of the job.
        folder: private to the attempt.
        leak: the input.

    Attributes:
        scope: owner whose copies may be compared; None for everybody's, where an administrator asks.
        traces_planned: over the system's life, as the settings say.
        traces: that the scores are judged by: those planned, or those made where they are more.
        pictures: by asset, where a picture of the leak laid over it lies.
        originals: by asset, for videos, the SHA-256 of the file that the leak was laid over, as hex.
        unknown_keys: ids of keys that copies were marked with and that the service has no more.
        lost: files of the assets that a search had to leave out, as what is kept of them is not as it was.
        facts: what the leak was found to be.
        kind: `picture` or `video`, once something has looked at it.
    """

    def __init__(self, attempt: Attempt, folder: Path, leak: Path) -> None:
        self.attempt = attempt
        self.leak = leak
        self.out_dir = folder / "out"
        self._folder = folder
        records = attempt.services.records
        self.issues, self.assets = Issues(records), Assets(records)
        owner_id = attempt.run.spec.owner_id
        self.scope = None if records.get_user(owner_id).admin else owner_id
        self.traces_planned, made = attempt.services.settings.watermark_traces, traces_made(records)
        self.traces = max(self.traces_planned, made)
        self._keys = {key.id: key.marking.hex() for key in attempt.services.settings.mark_keys.all}
        self.pictures: dict[str, Path] = {}
        self.originals: dict[str, str] = {}
        self.unknown_keys: set[str] = set()
        self.lost: list[str] = []
        self.facts: dict[str, Any] = {}
        self.kind = ""
        self.peak_memory_bytes, self.wall_s, self.cpu_s = 0, 0.0, 0.0

    @property
    def key_ids(self) -> list[str]:
        """The keys that leaks are read with."""
        return list(self._keys)

    def asset_by_bits(self, progress: tuple[float, float]) -> Asset | None:
        """Return the asset of the copy whose bits are in the leak; None where there are none, or of nobody here.

        Without any key, too, the look says of which kind the leak is.
        """
        facts, _ = self._run(READ_BITS, {"input": self.leak}, {"keys": self._keys}, progress)
        issue = self.issues.of_payload(int(str(facts["payload"]), 16)) if facts.get("payload") else None
        if issue is None or self.scope not in (None, issue.owner_id):
            return None
        return self.assets.get(issue.asset_file_id)

    def searched(self) -> tuple[int, Iterable[Asset]]:
        """Return how many assets may be looked at, and those: of which the scope's jobs have issued copies."""
        if self.scope is None:
            return self.assets.count(), self.assets.newest_first()
        file_ids = self.issues.assets_of(self.scope)
        return len(file_ids), (asset for each in file_ids if (asset := self.assets.get(each)))

    def at(self, asset: Asset, progress: tuple[float, float], *, thorough: bool = True) -> Reading:
        """Look at one asset.

        Raises:
            AssetLost: what is kept of the asset is not there any more, or was changed.
        """
        copies, counts = self.copies(asset)
        if not copies:
            return Reading(asset, None, (), 0)
        inputs = {"input": self.leak, "plane": plane_of(self.attempt, self._folder, asset), **copies}
        if asset.kind == "video":
            inputs["original"] = original_of(self.attempt, self._folder, asset)
            self.originals[asset.file_id] = sha256_of(inputs["original"])
        params = {
            "asset": asset.file_id,
            "width_px": asset.width_px,
            "height_px": asset.height_px,
            "keys": {key_id: self._keys[key_id] for key_id in counts},
            "thorough": thorough,
        }
        facts, picture = self._run(self.attempt.operation.function, inputs, params, progress)
        if facts["plane_sha256"] != asset.plane_sha256:
            raise AssetLost("changed")
        if picture is not None:
            self.pictures[asset.file_id] = self._kept(picture, asset)
        hits = [(int(str(trace_id), 16), float(score)) for trace_id, score in facts["hits"]]
        return Reading(asset, facts["registration"], hits, sum(counts.values()))

    def at_one_of_many(self, asset: Asset, progress: tuple[float, float], *, thorough: bool = True) -> list[Reading]:
        """Look at one asset; where it is lost, note that and return no reading."""
        try:
            return [self.at(asset, progress, thorough=thorough)]
        except AssetLost:
            self.lost.append(asset.file_id)
            return []

    def copies(self, asset: Asset) -> tuple[dict[str, Path], dict[str, int]]:
        """Write the trace ids of an asset's copies into files; return those by role, and by key how many they are."""
        counts: dict[str, int] = {}
        for page in self.issues.copies(asset.file_id, self.scope):
            if self.attempt.progress.should_stop():
                raise CancelledError
            for key_id in {key_id for key_id, _ in page}:
                ids = [trace_id for named, trace_id in page if named == key_id]
                if key_id not in self._keys:
                    self.unknown_keys.add(key_id)
                    continue
                with self._copies_file(key_id).open("ab" if key_id in counts else "wb") as file:
                    file.write(b"".join(trace_id.to_bytes(8, "big") for trace_id in ids))
                counts[key_id] = counts.get(key_id, 0) + len(ids)
        return {f"copies.{key_id}": self._copies_file(key_id) for key_id in counts}, counts

    def _copies_file(self, key_id: str) -> Path:
        return self._folder / "in" / f"copies-{key_id}"

    def _run(
        self, function: str, inputs: Mapping[str, Path], params: Mapping[str, Any], progress: tuple[float, float]
    ) -> tuple[Mapping[str, Any], Output | None]:
        """Run a look; return what it says, and the picture that it drew."""
        look = self._folder / "look"
        shutil.rmtree(look, ignore_errors=True)
        look.mkdir()
        result = run_in_sandbox(self.attempt, function, inputs, out_dir=look, params=params, progress=progress)
        self.peak_memory_bytes = max(self.peak_memory_bytes, result.peak_memory_bytes)
        self.wall_s, self.cpu_s = self.wall_s + result.wall_s, self.cpu_s + result.cpu_s
        by_role = {output.role: output for output in result.outputs}
        facts = by_role["reading"].facts
        self.kind = str(facts["kind"])
        self.facts = {name: value for name, value in facts.items() if name.endswith(("_in", "_in_px", "_in_s"))}
        return facts, by_role.get("evidence_picture")

    def _kept(self, picture: Output, asset: Asset) -> Path:
        """Move a picture out of the next look's way."""
        target = self.out_dir / f"{asset.file_id}.png"
        shutil.move(self._folder / "look" / picture.name, target)
        return target
