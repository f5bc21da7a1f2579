"""Filter graphs as text: only words of our own and numbers that were checked.

Frames come in upright, because ffmpeg turns what a phone only tagged; they leave as 8-bit 4:2:0 with even sides and
square pixels, opaque and in standard dynamic range, which is what browsers and phones play.
"""

from __future__ import annotations

from fractions import Fraction

from geniequeue.errors import InputError
from geniequeue.media.clip import Clip

_SD_HEIGHT_PX = 576
# How clips that are put together code colours: matrix and range.
COMMON = ("bt709", "tv")
# Light of HDR in nits that becomes the white of SDR (ITU-R BT.2408 has 203 for graphics, films are graded darker).
_SDR_WHITE_NITS = 203
_KNEE = 0.7
_HDR_PRIMARIES, _HDR_MATRICES = frozenset({"bt709", "bt2020", "smpte432"}), frozenset({"bt709", "bt2020nc"})
# Ways to code colours for which neither scaler of ffmpeg has a formula; each would come out in wrong colours.
_FOREIGN_MATRICES = frozenset(
    {
        "ycgco",
        "ycgco-re",
        "ycgco-ro",
        "bt2020c",
        "smpte2085",
        "chroma-derived-nc",
        "chroma-derived-c",
        "ictcp",
        "ipt-c2",
    }
)
_SCALER = "lanczos+accurate_rnd"


def chain(*filters: str) -> str:
    """Put filters one after the other, leaving out the empty ones."""
    return ",".join(part for part in filters if part)


def prepared(clip: Clip, size: tuple[int, int] | None = None, name: str = "p") -> str:
    """Bring frames into the shape that all operations work on.

    Args:
        size: width and height to scale to; None to leave it, but for pixels that are not square.
        name: a word for the labels inside, another for each clip of a graph.

    Raises:
        InputError: its colours are coded in a way that cannot be converted (reason `colours_not_supported`).
    """
    look = clip.look
    _check_matrix(look.space)
    if size is None and look.shown != (look.width_px, look.height_px):
        size = look.shown
    return chain(
        "bwdif=mode=send_frame:deint=interlaced" if look.interlaced else "",
        _opaque(clip, name) if look.alpha else "",
        scaled(*size) if size else "",
        "setsar=1",
        _in_sdr(clip) if look.hdr else "",
        _as_luma_and_chroma() if look.rgb else "",
    )


def _check_matrix(space: str) -> None:
    if space in _FOREIGN_MATRICES:
        raise InputError(
            f"expected colours coded as BT.601, BT.709 or BT.2020 (non-constant), got the colour matrix {space}; "
            "export the video as BT.709",
            reason="colours_not_supported",
        )


def scaled(width_px: int, height_px: int) -> str:
    """Scale to a size."""
    return f"scale={width_px}:{height_px}:flags={_SCALER}"


def delivered(width_px: int, height_px: int) -> str:
    """Bring frames of `width_px` x `height_px` into what encoders and players take: even sides, 8-bit 4:2:0."""
    wide, high = even(width_px, height_px)
    cut = f"crop={wide}:{high}:0:0" if (wide, high) != (width_px, height_px) else ""
    return chain(cut, "format=yuv420p")


def even(width_px: int, height_px: int) -> tuple[int, int]:
    """Return the next smaller even sides, at least 2."""
    return max(2, width_px // 2 * 2), max(2, height_px // 2 * 2)


def cut(x: int, y: int, width_px: int, height_px: int) -> str:
    """Cut a box out, to the pixel also where chroma is stored for two pixels at a time."""
    odd = (x | y) & 1
    return chain("format=yuv444p" if odd else "", f"crop={width_px}:{height_px}:{x}:{y}:exact=1")


def padded(width_px: int, height_px: int) -> str:
    """Set frames in the middle of a black canvas."""
    return f"pad={width_px}:{height_px}:(ow-iw)/2:(oh-ih)/2:black"


def in_common_colours(clip: Clip, height_px: int) -> str:
    """Bring delivered frames to BT.709 in video range, so that clips of different kinds fit together.

    Args:
        height_px: of the frames; what a file does not say is guessed by it, as players do.
    """
    matrix, span = matrix_of(clip, height_px)
    tags = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    if (matrix, span) == COMMON:
        return tags
    return f"scale=in_color_matrix={matrix}:in_range={span}:out_color_matrix=bt709:out_range=tv,format=yuv420p,{tags}"


def at_rate(rate: Fraction, frames: int, *, first_at_0: bool = True) -> str:
    """Bring frames to a constant rate from time 0 on, exactly `frames` of them, the last one repeated where need be.

    Args:
        first_at_0: move the first frame to time 0; else it is shown from there on and later ones keep their times.
    """
    moved = "setpts=PTS-STARTPTS," if first_at_0 else ""
    return (
        f"{moved}fps={rate.numerator}/{rate.denominator}:start_time=0:round=near,"
        f"tpad=stop=-1:stop_mode=clone,trim=end_frame={frames},setpts=PTS-STARTPTS"
    )


def marked(source: str, coding: tuple[str, str], left_px: int, top_px: int) -> str:
    """Lay a mark over frames.

    Args:
        source: filter that makes the mark, one RGBA frame.
        coding: matrix and range of the frames; the mark's colours are coded like that, else a red one would not be red.
    """
    matrix, span = coding
    return (
        f"[under];{source},scale=out_color_matrix={matrix}:out_range={span},format=yuva420p,setsar=1[mark];"
        f"[under][mark]overlay={left_px}:{top_px}:eof_action=repeat:format=yuv420"
    )


def matrix_of(clip: Clip, height_px: int) -> tuple[str, str]:
    """Return how delivered frames code colours: matrix and range; what is not said is guessed as players do."""
    look = clip.look
    if look.hdr or look.rgb:
        return "bt709", "tv"
    known = {"bt709": "bt709", "bt2020nc": "bt2020", "fcc": "fcc", "smpte240m": "smpte240m"}
    guess = "bt709" if look.space == "unknown" and height_px > _SD_HEIGHT_PX else "bt601"
    return known.get(look.space, guess), "pc" if look.range == "pc" else "tv"


def _opaque(clip: Clip, name: str) -> str:
    """Set what is transparent on white, as pictures are."""
    white = "r=maxval:g=maxval:b=maxval" if clip.look.rgb else "y=maxval:u=(maxval+minval)/2:v=(maxval+minval)/2"
    space, kind = ("rgba", "lutrgb") if clip.look.rgb else ("yuva420p", "lutyuv")
    return (
        f"format={space},split[{name}a][{name}b];"
        f"[{name}a]{kind}={white}:a=maxval[{name}c];"
        f"[{name}c][{name}b]overlay=format=auto"
    )


def _in_sdr(clip: Clip) -> str:
    """Map the brightness of HDR10 or HLG to that of BT.709.

    The curve (filter `tonemap`, `mobius`) leaves what is darker than its knee as it is, so skin and paper keep their
    colours, and bends only highlights.
    """
    look = clip.look
    primaries = look.primaries if look.primaries in _HDR_PRIMARIES else "bt2020"
    matrix = look.space if look.space in _HDR_MATRICES else "bt2020nc"
    return chain(
        f"zscale=transferin={look.transfer}:primariesin={primaries}:matrixin={matrix}"
        f":transfer=linear:npl={_SDR_WHITE_NITS}",
        "format=gbrpf32le",
        "zscale=primaries=bt709",
        f"tonemap=mobius:param={_KNEE}:desat=0",
        "zscale=transfer=bt709:matrix=bt709:range=limited:dither=ordered",
        "format=yuv420p",
    )


def _as_luma_and_chroma() -> str:
    return chain(
        "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int",
        "format=yuv444p",
        "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709",
    )
