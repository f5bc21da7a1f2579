"""The operation `compress_video`: smaller by quality (`crf`), by a target size, or by a bit rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from geniequeue.errors import PolicyError
from geniequeue.media import encoding, filters, remake
from geniequeue.media.clip import Clip, probe
from geniequeue.media.encoding import Encoding, Rate
from geniequeue.media.progress import Progress
from geniequeue.sandbox.inside import Output, Work

_CRF = 28
_SOUND_BPS = 128_000
_LEAST_SOUND_BPS = 48_000
# The result may be so much smaller than the target, and not larger at all; the first try aims between.
_ALLOWED = (0.92, 1.0)
_AIM = 0.97
_TRIES = 4
_FIRST_PASS = 0.4
# A try that changes no more than this shows that the encoder has nothing left to spend bits on, or to save.
_NO_GAIN = 0.01
# Below this share of a bit for each pixel of each frame nothing is left to look at.
_LEAST_BITS_PER_PIXEL = 0.004
# What MP4 takes for its index, in bytes: base, for each frame, for each second of sound.
_BOXES, _PER_FRAME, _PER_SOUND_S = 2_000, 14, 350
_MEGABYTE = 1_000_000


def compress_video(work: Work) -> list[Output]:
    """Encode the video again with less room.

    Raises:
        PolicyError: the target is smaller than any picture can be (reason `unreachable_target`).
    """
    clip, progress = probe(work.inputs["input"], work.limits), Progress(work)
    progress.tell(remake.PROBED)
    params = work.params
    coding = Encoding(codec=params["codec"], preset=params["preset"])
    if params.get("target_size_mb"):
        return _to_size(work, clip, coding, int(params["target_size_mb"] * _MEGABYTE), progress)
    if params.get("bitrate_kbps"):
        rate = Rate(bits_per_s=int(params["bitrate_kbps"]) * 1000)
    else:
        rate = Rate(crf=int(params.get("crf", _CRF)))
    plan = _plan(clip, replace(coding, rate=rate), _SOUND_BPS)
    return remake.remake(work, plan, [clip.source], progress, facts=clip.facts)


def _plan(clip: Clip, coding: Encoding, sound_bps: int) -> remake.Plan:
    size = filters.even(*clip.look.shown)
    chain = filters.chain(filters.prepared(clip), filters.delivered(*clip.look.shown))
    sound = encoding.sound_of(clip.sound, bits_per_s=sound_bps)
    return remake.plan_of(clip, chain, size, coding=coding, sound=sound)


@dataclass(frozen=True)
class _Goal:
    """A size to meet, and what is decided before the first pass.

    Attributes:
        generous: the size is the input's own, and a larger one would do.
    """

    clip: Clip
    coding: Encoding
    size_bytes: int
    sound_bps: int
    generous: bool = False

    def plan(self, bits_per_s: int, run: int) -> remake.Plan:
        """Plan one of the two passes."""
        coding = replace(self.coding, rate=Rate(bits_per_s=bits_per_s, run=run))
        return _plan(self.clip, coding, self.sound_bps)

    def met_by(self, made_bytes: int) -> bool:
        """Whether a file of this size is near enough, and not above."""
        return _ALLOWED[0] * self.size_bytes <= made_bytes <= _ALLOWED[1] * self.size_bytes


def _to_size(work: Work, clip: Clip, coding: Encoding, target_bytes: int, progress: Progress) -> list[Output]:
    """Encode in two passes, the second one again with a corrected rate where it missed.

    A target above the input's own size is not filled: nothing would be gained by larger files.
    """
    goal_bytes = min(target_bytes, clip.source.path.stat().st_size)
    goal = _Goal(clip, coding, goal_bytes, _sound_bps(clip, goal_bytes), generous=goal_bytes < target_bytes)
    path = work.out_dir / remake.NAME
    try:
        plan = _passes(goal, path, progress)
    finally:
        for left in path.parent.glob("pass*"):
            left.unlink()
    size_bytes = path.stat().st_size
    if size_bytes > target_bytes:
        raise _unreachable(target_bytes)
    facts = {**clip.facts, "size_bytes": size_bytes}
    return [remake.proved(path, plan, [clip.source], progress, facts=facts)]


def _passes(goal: _Goal, path: Path, progress: Progress) -> remake.Plan:
    """Run both passes and return the plan of the last one."""
    clip, before_bytes = goal.clip, 0
    bits_per_s = _video_bps(clip, goal)
    middle = remake.PROBED + (remake.MADE - remake.PROBED) * _FIRST_PASS
    on_time = progress.part(remake.PROBED, middle, clip.duration_s)
    remake.make(goal.plan(bits_per_s, 1), path, [clip.source], on_time)
    for _ in range(_TRIES):
        plan = goal.plan(bits_per_s, 2)
        remake.make(plan, path, [clip.source], progress.part(middle, remake.MADE, clip.duration_s))
        made_bytes = path.stat().st_size
        if goal.met_by(made_bytes) or abs(made_bytes - before_bytes) < _NO_GAIN * goal.size_bytes:
            break
        before_bytes = made_bytes
        bits_per_s = _corrected(clip, bits_per_s, made_bytes, goal.size_bytes)
    return plan


def _sound_bps(clip: Clip, goal_bytes: int) -> int:
    """Return how much sound may take: a sixth of the whole, between what can be listened to and what is good."""
    if clip.sound is None:
        return 0
    share = int(goal_bytes * 8 / max(clip.duration_s, 0.1) / 6)
    return max(_LEAST_SOUND_BPS, min(_SOUND_BPS, share))


def _video_bps(clip: Clip, goal: _Goal) -> int:
    """Return the rate of the video track that fills what sound and boxes leave.

    Raises:
        PolicyError: that is too little for any picture.
    """
    sound_bits = 0.0
    if clip.sound is not None:
        seconds = clip.sound.end_s - clip.sound.start_s
        sound_bits = seconds * (min(goal.sound_bps, encoding.bps_of(clip.sound)) + 8 * _PER_SOUND_S)
    boxes = 8 * (_BOXES + _PER_FRAME * clip.frames)
    bits_per_s = int((goal.size_bytes * _AIM * 8 - sound_bits - boxes) / max(clip.duration_s, 0.04))
    width_px, height_px = clip.look.shown
    least = _LEAST_BITS_PER_PIXEL * width_px * height_px * float(clip.fps)
    if bits_per_s < least and not goal.generous:
        raise _unreachable(goal.size_bytes)
    return max(bits_per_s, int(least))


def _corrected(clip: Clip, bits_per_s: int, made_bytes: int, goal_bytes: int) -> int:
    """Return the rate that would have hit, from by how many bytes this one missed."""
    aim = goal_bytes * (_ALLOWED[0] + _ALLOWED[1]) / 2
    missed = (aim - made_bytes) * 8 / max(clip.duration_s, 0.04)
    return max(bits_per_s // 3, int(bits_per_s + missed))


def _unreachable(goal_bytes: float) -> PolicyError:
    return PolicyError(
        f"expected a target size that this video can be compressed to, got {goal_bytes / _MEGABYTE:.3f} MB; "
        "ask for a larger one, or make the video smaller or shorter first",
        reason="unreachable_target",
    )
