"""What the processes print."""

from __future__ import annotations

import json

from geniequeue.cli.output import LONGEST_LINE_BYTES, Lines, as_json, for_reading


def lines_of(*chunks: bytes) -> list[tuple[str, str]]:
    got: list[tuple[str, str]] = []
    lines = Lines("web", lambda name, text: got.append((name, text)))
    for chunk in chunks:
        lines.feed(chunk)
    lines.end()
    return got


def test_a_line_that_comes_in_pieces_is_whole() -> None:
    assert lines_of(b"on", b"e\ntw", b"o\n", b"three") == [("web", "one"), ("web", "two"), ("web", "three")]


def test_empty_lines_are_left_out() -> None:
    assert lines_of(b"\n \r\n\none\r\n") == [("web", "one")]


def test_a_character_that_comes_in_pieces_is_whole_and_broken_bytes_do_not_stop_anything() -> None:
    assert lines_of("é".encode()[:1], "é".encode()[1:] + b"\n\xff\n") == [("web", "é"), ("web", "\ufffd")]


def test_a_line_without_an_end_is_not_kept_for_ever() -> None:
    assert len(lines_of(b"x" * (LONGEST_LINE_BYTES + 1), b"y\n")) == 2


def test_a_json_line_stays_as_it_is() -> None:
    assert as_json("web", '{"event": "x"}') == '{"event": "x"}'


def test_another_line_becomes_json_with_the_name_of_its_process() -> None:
    line = json.loads(as_json("web", 'listening "here"'))
    assert (line["event"], line["process"]) == ('listening "here"', "web")


def test_a_password_in_an_address_is_blotted_out() -> None:
    assert "secret" not in as_json("web", "at redis://:secret@127.0.0.1/0")
    assert for_reading("web", "at redis://:secret@127.0.0.1/0", 5) == "web   | at redis://:***@127.0.0.1/0"
