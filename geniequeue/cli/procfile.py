"""The Procfile, and the supervisord configuration made from it.

No path and no secret stands in the configuration: the processes inherit folder and environment from supervisord, and
read `VAR_DIR/embedded.env` themselves.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from geniequeue.errors import SettingsError

STOP_MARGIN_S = 15
"""What a worker needs beyond `STOP_WITHIN_S`: it hands its job back, and kills a child that does not heed that."""
REDIS_STOP_WAIT_S = 4
REDIS = "embedded-redis"
REDIS_COMMAND = '"$REDIS_SERVER" "$VAR_DIR/redis/redis.conf"'

_LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*?)\s*")

_SUPERVISOR = """\
; Written by `geniequeue up` from the Procfile at each start.
[supervisord]
nodaemon = true
logfile = /dev/null
logfile_maxbytes = 0
loglevel = warn
pidfile = %(here)s/supervisord.pid
childlogdir = %(here)s
"""

_PROGRAM = """
[program:{name}]
command = /bin/sh -c {command}
stopsignal = TERM
; TERM to the main process only: a worker then ends its job; KILL reaches its children too.
stopasgroup = false
killasgroup = true
stopwaitsecs = {stop_wait_s}
autorestart = true
startsecs = 1
startretries = 1000000
stdout_logfile = /dev/fd/{output}
stdout_logfile_maxbytes = 0
redirect_stderr = true
"""

_GROUP = """
[group:{name}]
programs = {programs}
priority = {priority}
"""


def read_procfile(path: Path) -> dict[str, str]:
    """Return the commands by process name.

    Raises:
        SettingsError: the file is not there, a line is none of `name: command`, or a name comes twice.
    """
    if not path.is_file():
        raise SettingsError([f"Procfile: expected it at {path}, found none; start from a checkout of the project"])
    commands: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or match[1] in commands:
            raise SettingsError([f"Procfile: expected one `name: command` per process in line {number}, got {line!r}"])
        commands[match[1]] = match[2]
    if not commands:
        raise SettingsError([f"Procfile: expected at least one process in {path}, found none"])
    return commands


def programs_of(commands: Mapping[str, str], *, redis: bool) -> dict[str, str]:
    """Return what supervisord runs: the Procfile's processes, and with `redis` the embedded Redis."""
    return {**({REDIS: REDIS_COMMAND} if redis else {}), **commands}


def supervisor_conf(programs: Mapping[str, str], outputs: Mapping[str, int], *, stop_wait_s: int, root: bool) -> str:
    """Return the configuration that runs the Procfile's processes as one group; Redis starts first and stops last.

    Args:
        programs: commands by name.
        outputs: descriptors by name, open in supervisord, that take what each prints.
        stop_wait_s: how long each may take to end before it is killed; Redis has less.
        root: whether root runs it, of which supervisord wants to be told.
    """
    parts = [_SUPERVISOR + ("user = root\n" if root else "")]
    for name, command in programs.items():
        wait_s = REDIS_STOP_WAIT_S if name == REDIS else stop_wait_s
        # `exec env` takes the shell's place with the command, also one that begins with NAME=value.
        quoted = shlex.quote(f"exec env {command}").replace("%", "%%")
        parts.append(_PROGRAM.format(name=name, command=quoted, stop_wait_s=wait_s, output=outputs[name]))
    if REDIS in programs:
        parts.append(_GROUP.format(name="store", programs=REDIS, priority=1))
    others = ",".join(name for name in programs if name != REDIS)
    return "".join([*parts, _GROUP.format(name="procfile", programs=others, priority=2)])
