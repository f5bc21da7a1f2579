"""From the Procfile to supervisord's configuration."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import pytest
from supervisor.datatypes import RestartUnconditionally  # type: ignore[import-untyped]
from supervisor.options import ServerOptions  # type: ignore[import-untyped]

from geniequeue.cli.procfile import REDIS, REDIS_STOP_WAIT_S, programs_of, read_procfile, supervisor_conf
from geniequeue.errors import SettingsError
from tests.service import REPOSITORY

PROCFILE = REPOSITORY / "Procfile"


def parsed(commands: dict[str, str], *, redis: bool = True) -> configparser.RawConfigParser:
    programs = programs_of(commands, redis=redis)
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(
        supervisor_conf(programs, {name: 5 + n for n, name in enumerate(programs)}, stop_wait_s=20, root=False)
    )
    return parser


def test_the_procfile_names_the_six_processes() -> None:
    assert list(read_procfile(PROCFILE)) == ["web", "media", "scrape", "onboarding", "beat", "flower"]


def test_every_command_survives_quoting() -> None:
    commands = {**read_procfile(PROCFILE), "odd": """NAME='a b' prog "${X:-1}" '100%' 'it'"'"'s'"""}
    parser = parsed(commands)
    for name, command in commands.items():
        line = parser[f"program:{name}"]["command"].replace("%%", "%")
        assert shlex.split(line) == ["/bin/sh", "-c", f"exec env {command}"]


def test_supervisord_reads_the_configuration(tmp_path: Path) -> None:
    programs = programs_of(read_procfile(PROCFILE), redis=True)
    conf = tmp_path / "a folder" / "supervisord.conf"
    conf.parent.mkdir()
    conf.write_text(supervisor_conf(programs, dict.fromkeys(programs, 1), stop_wait_s=20, root=False))
    options = ServerOptions()
    options.realize(["-n", "-c", str(conf)])
    groups = {group.name: group for group in options.process_group_configs}
    assert [process.name for process in groups["store"].process_configs] == [REDIS]
    assert {process.name for process in groups["procfile"].process_configs} == {*programs} - {REDIS}
    media = next(process for process in groups["procfile"].process_configs if process.name == "media")
    assert "media@%h" in media.command
    assert (media.stopasgroup, media.killasgroup, media.autorestart) == (False, True, RestartUnconditionally)


def test_each_process_has_the_time_to_end_that_up_grants_and_redis_its_own() -> None:
    parser = parsed(read_procfile(PROCFILE))
    waits = {name: parser.getint(name, "stopwaitsecs") for name in parser.sections() if name.startswith("program:")}
    assert waits.pop(f"program:{REDIS}") == REDIS_STOP_WAIT_S
    assert set(waits.values()) == {20}


def test_redis_starts_first_and_stops_last() -> None:
    parser = parsed(read_procfile(PROCFILE))
    assert parser.getint("group:store", "priority") < parser.getint("group:procfile", "priority")


def test_without_the_embedded_redis_none_is_run() -> None:
    parser = parsed(read_procfile(PROCFILE), redis=False)
    assert not [section for section in parser.sections() if "redis" in section or "store" in section]


def test_each_process_prints_to_an_output_of_its_own() -> None:
    parser = parsed(read_procfile(PROCFILE))
    outputs = [parser[name]["stdout_logfile"] for name in parser.sections() if name.startswith("program:")]
    assert len(outputs) == len(set(outputs)) == 7


def test_comments_and_empty_lines_are_no_processes(tmp_path: Path) -> None:
    procfile = tmp_path / "Procfile"
    procfile.write_text("# first\n\n  \nweb:   run it  \nother-1: x: y\n")
    assert read_procfile(procfile) == {"web": "run it", "other-1": "x: y"}


@pytest.mark.parametrize("text", ["", "# nothing\n", "web run\n", "web:\n", "a b: c\n", "web: a\nweb: b\n"])
def test_what_is_no_procfile_is_refused_with_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "Procfile").write_text(text)
    with pytest.raises(SettingsError, match="Procfile: expected"):
        read_procfile(tmp_path / "Procfile")


def test_a_missing_procfile_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="checkout"):
        read_procfile(tmp_path / "Procfile")
