"""The walls: the bwrap command line, and the environment of what runs inside.

Inside are the system's programs and libraries, Python, this package and the job folders; no network, no process but
its own, no environment but the variables below, nothing writable but the job folders.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
# What libraries read from /etc: where shared libraries are, which alternative is chosen, which fonts there are.
_FROM_ETC = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/fonts")
_ROOT_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")


def policy_dir() -> Path:
    """Folder of the ImageMagick policy under which outside bytes are decoded."""
    return _PACKAGE / "sandbox" / "imagemagick"


def environment(root: Path, ffmpeg: Path | None = None) -> dict[str, str]:
    """All that the zygote has for an environment; `ffmpeg` is another than the one that moviepy brings along."""
    return {
        "PATH": _PATH,  # with sbin: Wand finds its library through ldconfig
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "MAGICK_CONFIGURE_PATH": str(policy_dir()),
        "MAGICK_THREAD_LIMIT": str(cores()),
        "TMPDIR": str(root),  # until a job has its own
        "WAND_MAGICK_LIBRARY_SUFFIX": "-6.Q16;-7.Q16",  # tried first; the search for others starts a compiler
        "OPENBLAS_NUM_THREADS": "1",
        "VIPS_CONCURRENCY": str(cores()),
        "PYTHONDONTWRITEBYTECODE": "1",
        **({"FFMPEG_BINARY": str(ffmpeg)} if ffmpeg else {}),  # moviepy's own name for it
    }


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))


def python_command(extra_modules: Path | None = None) -> list[str]:
    """Command that starts the zygote; isolated, so that only this package and the environment's packages are found."""
    folders = [str(_PACKAGE.parent), *([str(extra_modules)] if extra_modules else [])]
    code = f"import sys; sys.path[:0] = {folders!r}; from geniequeue.sandbox.zygote import main; main()"
    return [sys.executable, "-I", "-X", "faulthandler", "-c", code]


def walls(
    root: Path, *, extra_modules: Path | None = None, ffmpeg: Path | None = None, info_fd: int | None = None
) -> list[str]:
    """bwrap and its arguments; the command to run inside follows.

    Args:
        root: the one writable folder, at the same path inside.
        extra_modules: a further folder to import from.
        ffmpeg: a program that is visible inside, wherever it lies.
        info_fd: where bwrap writes the process id of the inside, as JSON.
    """
    info = [] if info_fd is None else ["--info-fd", str(info_fd)]
    variables = [part for name, value in environment(root, ffmpeg).items() for part in ("--setenv", name, value)]
    return [
        shutil.which("bwrap") or "bwrap",
        "--unshare-all",  # own processes, network, users, mounts, IPC
        "--die-with-parent",
        "--new-session",  # no typing into the terminal of the worker
        "--as-pid-1",  # the zygote is init: no signal from a job can end it, orphans come to it
        *("--cap-drop", "ALL"),
        "--clearenv",
        *variables,
        *_system(),
        *_python(extra_modules, ffmpeg),
        *("--proc", "/proc"),
        # /proc/sys obeys the real uid, which for root is root; bwrap does not cover it where it has no capabilities
        *("--remount-ro", "/proc"),
        *("--dev", "/dev"),
        *("--bind", str(root), str(root)),
        *("--remount-ro", "/dev"),  # /dev/shm would outlive a job
        *("--remount-ro", "/"),
        *("--chdir", "/"),
        *info,
    ]


def available(root: Path = Path("/tmp")) -> str | None:  # noqa: S108 - only bound, never written
    """Say in one sentence why the sandbox cannot work on this machine, or None if it can."""
    if shutil.which("bwrap") is None:
        return "The sandbox needs the program bwrap, which is not installed (Debian: apt-get install bubblewrap)."
    try:
        done = subprocess.run([*walls(root), "true"], capture_output=True, timeout=20, env={"PATH": _PATH}, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"The sandbox program bwrap cannot be run here: {error}."
    if done.returncode == 0:
        return None
    reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
    return (
        f"bwrap cannot build the sandbox here ({reason}); unprivileged user namespaces are probably switched off "
        "(see sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces or the container's seccomp profile)."
    )


def _system() -> list[str]:
    arguments = ["--ro-bind", "/usr", "/usr"]
    for folder in map(Path, _ROOT_FOLDERS):
        if folder.is_symlink():
            arguments += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            arguments += ["--ro-bind", str(folder), str(folder)]
    for path in _FROM_ETC:
        arguments += ["--ro-bind-try", path, path]
    return [*arguments, "--ro-bind-try", "/var/cache/fontconfig", "/var/cache/fontconfig"]


def _python(extra_modules: Path | None, ffmpeg: Path | None) -> list[str]:
    folders = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.base_prefix).resolve(), _PACKAGE}
    seen = folders | {path for path in (extra_modules, ffmpeg) if path}
    outside = sorted(str(path) for path in seen if not path.is_relative_to("/usr"))
    return [part for path in outside for part in ("--ro-bind", path, path)]
