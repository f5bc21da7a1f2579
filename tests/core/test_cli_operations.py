"""`geniequeue operations`: what can be asked for."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from geniequeue.cli.operations import operations
from geniequeue.cli.submit import submit
from geniequeue.operations import PUBLIC_OPERATIONS


def told(*arguments: str) -> list[str]:
    done = CliRunner().invoke(operations, arguments)
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_every_operation_is_listed_with_its_params_and_their_defaults() -> None:
    lines = {line.split()[0]: line.split()[1:] for line in told()}
    assert list(lines) == list(PUBLIC_OPERATIONS)
    assert lines["resize_video"] == ["width", "height", "resolution", "fit=inside", "upscale=false"]


@pytest.mark.parametrize(
    ("operation", "line"),
    [
        ("resize_image", "width whole number, 1 to 16384"),
        ("resize_image", "background a colour as #rgb or #rrggbb; #ffffff unless given"),
        ("compress_video", "target_size_mb number, more than 0 and at most 4096"),
        ("compress_video", "codec one of h264, hevc; h264 unless given"),
        ("create_teaser", "mute true or false; false unless given"),
        ("join_videos", "input_file_ids JSON list of: id of a stored file, or @PATH, 1 to 20 of them; required"),
        ("create_teaser", "duration number, 1 to 300; 10 unless given"),
        ("create_teaser", "segments JSON list of: JSON list of: number, 0 to 14400, 2 of them, 1 to 20 of them"),
        ("apply_watermark", "watermark_text text, 1 to 500 characters"),
        ("apply_steganographic_watermark", "fan_id text; required"),
    ],
)
def test_of_one_operation_it_is_told_what_each_param_may_be(operation: str, line: str) -> None:
    assert line in [" ".join(each.split()) for each in told(operation)]


@pytest.mark.parametrize("operation", sorted(PUBLIC_OPERATIONS))
def test_every_param_of_every_operation_has_words(operation: str) -> None:
    names = list(PUBLIC_OPERATIONS[operation].params().fields)
    assert [line.split()[0] for line in told(operation)] == names
    assert all(len(line.split()) > 1 for line in told(operation))


def test_the_help_of_submit_says_where_operations_are_listed() -> None:
    assert "`geniequeue operations`" in CliRunner().invoke(submit, ["--help"]).output
