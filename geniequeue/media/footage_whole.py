"""Whether a video is all there by the word of its container, where a demuxer just stops or passes over the damage."""

from __future__ import annotations

from collections.abc import Sequence

from geniequeue.media import footage, matroska_head, movie_boxes, packets
from geniequeue.media.ffmpeg import Source


def is_cut_off(source: Source) -> bool:
    """Whether the file ends before its container says."""
    if source.demuxer == footage.MATROSKA.demuxer:
        return matroska_head.is_cut_off(source.path)
    return source.demuxer == footage.MP4.demuxer and movie_boxes.is_cut_off(source.path)


def settle(source: Source, tracks: Sequence[packets.Track]) -> bool:
    """Say where pictures end, with what the container knows of it; return whether there are as many seconds as it says.

    Args:
        tracks: as they were listed.
    """
    if source.demuxer == footage.MP4.demuxer:
        shown_s = movie_boxes.shown_s(source.path)
        for video in (track for track in tracks if track.kind == "video"):
            video.settle(shown_s)
    if source.demuxer == footage.MATROSKA.demuxer:
        listed_s = max(track.end_s for track in tracks)
        return not matroska_head.read(source.path).lacks_seconds(listed_s, len(tracks))
    return True
