"""Settings: read once from the environment, frozen, every fault reported together.

`load_settings` takes the process environment and fills what is missing from `VAR_DIR/embedded.env`, where `geniequeue
up` keeps the address and secrets of the embedded services. API, workers and core read the environment nowhere else; the
command line also looks at `ENV_FILE` and hands variables on to what it starts.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from dotenv import dotenv_values

from geniequeue.errors import SettingsError

EMBEDDED_FILE = "embedded.env"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
MIN_SECRET_CHARS = 32

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What the environment says; secrets do not show in `repr`.

    Attributes:
        var_dir: folder for everything that changes: embedded Redis, records, files, demo output.
        port, flower_port: loopback ports of the API and of Flower.
        api_url: where the command line finds the API.
        redis_url: broker and ledger, one database.
        directus_url: base address of Directus; None for the embedded store.
        directus_token: static token of the service account; None where `directus_token_file` names it.
        directus_token_file: file with that token, read again whenever it changes.
        directus_timeout_s: how long one call of a worker to Directus may take, its further tries included.
        directus_secret: key of the access tokens that Directus (or the embedded store) signs.
        ledger_prefix: first part of the ledger's keys, `bull` as BullMQ has it.
        media_tmp_dir: private folders of running media jobs.
        log_level, log_format: `INFO` and above; `json` or `console`.
        stop_within_s: how long a stopping worker lets a job run before it hands it back.
        faults_dir: where tests say which process dies at which point; None in any other use.
        sandbox: False only with `SANDBOX=off`: decode outside bytes without a jail.
        ffmpeg_binary: the ffmpeg that works on videos; None for the one that moviepy brings along.
        may_evict: True only with `REDIS_EVICTION=allow`: work with a Redis that may throw jobs away.
        flower_user, flower_password: basic auth of Flower.
        max_input_bytes: largest input file.
        max_pixels, max_frames: largest picture, longest animation.
        min_free_bytes: free disk space below which `/readyz` turns red.
        ledger_keep, ledger_keep_s: how many final jobs the ledger keeps, and for how long.
        web_workers, web_threads: processes and threads of the API server.
        writes_per_minute, reads_per_minute: requests of one user that change something, and that only look; 0 for no
            limit.
    """

    var_dir: Path
    port: int
    flower_port: int
    api_url: str
    redis_url: str = field(repr=False)
    directus_url: str | None
    directus_token: str | None = field(repr=False)
    directus_token_file: Path | None
    directus_timeout_s: int
    directus_secret: str = field(repr=False)
    ledger_prefix: str
    media_tmp_dir: Path
    log_level: str
    log_format: str
    stop_within_s: int
    faults_dir: Path | None
    sandbox: bool
    ffmpeg_binary: Path | None
    may_evict: bool
    flower_user: str
    flower_password: str = field(repr=False)
    max_input_bytes: int
    max_pixels: int
    max_frames: int
    min_free_bytes: int
    ledger_keep: int
    ledger_keep_s: int
    web_workers: int
    web_threads: int
    writes_per_minute: int
    reads_per_minute: int

    @property
    def embedded_store(self) -> bool:
        """Whether records and files live in `var_dir` and not in Directus."""
        return self.directus_url is None


class _Reader:
    """Reads variables and collects what is wrong with them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.faults: list[str] = []

    def read(self, name: str, default: T, convert: Callable[[str], T]) -> T:
        raw = self.values.get(name, "").strip()
        if not raw:
            return default
        try:
            return convert(raw)
        except ValueError as error:
            self.faults.append(f"{name}: {error}")
            return default

    def text(self, name: str, default: str = "") -> str:
        return self.read(name, default, str)

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        return self.read(name, default, lambda raw: _integer(raw, low, high))

    def choice(self, name: str, default: str, *allowed: str) -> str:
        return self.read(name, default, lambda raw: _choice(raw, allowed))


def _integer(raw: str, low: int, high: int) -> int:
    expected = f"expected a whole number from {low} to {high}, got {raw!r}"
    if not raw.lstrip("-").isascii() or not raw.lstrip("-").isdigit():
        raise ValueError(expected)
    if not low <= int(raw) <= high:
        raise ValueError(expected)
    return int(raw)


def _choice(raw: str, allowed: tuple[str, ...]) -> str:
    for value in allowed:
        if raw.lower() == value.lower():
            return value
    raise ValueError(f"expected one of {', '.join(allowed)}, got {raw!r}")


def _http_url(raw: str) -> str:
    parts = urlsplit(raw)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an http or https address")
    return raw.rstrip("/")


def _redis_url(raw: str) -> str:
    parts = urlsplit(raw)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("expected redis://[:password@]host:port/db or rediss://…")
    return raw


def _secret(raw: str) -> str:
    if len(raw) < MIN_SECRET_CHARS:
        raise ValueError(f"expected at least {MIN_SECRET_CHARS} characters, got {len(raw)}")
    return raw


def _readable_file(raw: str) -> Path:
    path = Path(raw).resolve()
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError("expected a file that this process may read")
    return path


def _folder(raw: str) -> Path:
    path = Path(raw).resolve()
    if not path.is_dir():
        raise ValueError("expected a folder")
    return path


def _ffmpeg(raw: str) -> Path | None:
    """Read FFMPEG_BINARY with the words that moviepy has: its own one, the system's, or a program."""
    if raw == "ffmpeg-imageio":
        return None
    found = shutil.which("ffmpeg" if raw == "auto-detect" else raw)
    if found is None:
        raise ValueError(f"expected a program that this process may run, got {raw!r}")
    return Path(found).resolve()


def _prefix(raw: str) -> str:
    if not raw.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"expected letters, digits, - and _, got {raw!r}")
    return raw


def embedded_values(var_dir: Path) -> dict[str, str]:
    """Return what `geniequeue up` generated for this `VAR_DIR`, empty where it never ran."""
    path = var_dir / EMBEDDED_FILE
    return {name: value or "" for name, value in dotenv_values(path).items()} if path.is_file() else {}


def _redis_faults(redis_url: str, directus_url: str | None, var_dir: Path) -> list[str]:
    if not redis_url:
        return [
            f"REDIS_URL: not set, and {var_dir / EMBEDDED_FILE} does not give one; "
            "set REDIS_URL, or run `geniequeue up`, which starts an embedded Redis"
        ]
    if directus_url is None and urlsplit(redis_url).hostname not in LOOPBACK_HOSTS:
        return ["REDIS_URL: the embedded record store serves one host only; set DIRECTUS_URL to use a remote Redis"]
    return []


def _directus_faults(settings: Settings) -> list[str]:
    faults = []
    if not settings.directus_secret:
        whose = (
            "the SECRET that Directus runs with" if settings.directus_url else "run `geniequeue up`, which makes one"
        )
        faults.append(f"DIRECTUS_SECRET: not set; {whose}")
    if settings.directus_token and settings.directus_token_file:
        faults.append("DIRECTUS_TOKEN_FILE: expected it or DIRECTUS_TOKEN, got both; keep one")
    elif settings.directus_url and not (settings.directus_token or settings.directus_token_file):
        faults.append(
            "DIRECTUS_TOKEN: required with DIRECTUS_URL, the static token of the service account, which `geniequeue "
            "directus-setup` makes; or put the token into a file and name that in DIRECTUS_TOKEN_FILE"
        )
    return faults


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Args:
        environ: variables; the process environment by default.

    Raises:
        SettingsError: with every fault found.
    """
    given = {name: value for name, value in (os.environ if environ is None else environ).items() if value.strip()}
    var_dir = Path(given.get("VAR_DIR", "var")).resolve()
    generated = embedded_values(var_dir)
    if given.get("DIRECTUS_URL"):
        generated.pop("DIRECTUS_SECRET", None)  # the embedded store's, left from before
    reader = _Reader({**generated, **given})
    settings = _read(reader, var_dir)
    faults = [
        *reader.faults,
        *_redis_faults(settings.redis_url, settings.directus_url, var_dir),
        *_directus_faults(settings),
    ]
    named = {fault.split(":")[0] for fault in reader.faults}
    faults = [f for i, f in enumerate(faults) if i < len(reader.faults) or f.split(":")[0] not in named]
    if faults:
        raise SettingsError(faults)
    return settings


def _read(reader: _Reader, var_dir: Path) -> Settings:
    port = reader.integer("PORT", 3001, 1, 65535)
    return Settings(
        var_dir=var_dir,
        port=port,
        flower_port=reader.integer("FLOWER_PORT", 5555, 1, 65535),
        api_url=reader.read("API_URL", f"http://127.0.0.1:{port}", _http_url),
        redis_url=reader.read("REDIS_URL", "", _redis_url),
        directus_url=reader.read("DIRECTUS_URL", None, _http_url),
        directus_token=reader.text("DIRECTUS_TOKEN") or None,
        directus_token_file=reader.read("DIRECTUS_TOKEN_FILE", None, _readable_file),
        directus_timeout_s=reader.integer("DIRECTUS_TIMEOUT_S", 30, 1, 300),
        directus_secret=reader.read("DIRECTUS_SECRET", "", _secret),
        ledger_prefix=reader.read("LEDGER_PREFIX", "bull", _prefix),
        media_tmp_dir=Path(reader.text("MEDIA_TMP_DIR", str(var_dir / "media-tmp"))).resolve(),
        log_level=reader.choice("LOG_LEVEL", "INFO", "DEBUG", "INFO", "WARNING", "ERROR"),
        log_format=reader.choice("LOG_FORMAT", "json", "json", "console"),
        stop_within_s=reader.integer("STOP_WITHIN_S", 60, 0, 3600),
        faults_dir=reader.read("FAULTS_DIR", None, _folder),
        sandbox=reader.choice("SANDBOX", "on", "on", "off") == "on",
        ffmpeg_binary=reader.read("FFMPEG_BINARY", None, _ffmpeg),
        may_evict=reader.choice("REDIS_EVICTION", "refuse", "refuse", "allow") == "allow",
        flower_user=reader.text("FLOWER_USER", "operator"),
        flower_password=reader.text("FLOWER_PASSWORD"),
        max_input_bytes=reader.integer("MAX_INPUT_MB", 2048, 1, 1 << 20) * 1_000_000,
        max_pixels=reader.integer("MAX_MEGAPIXELS", 100, 1, 1000) * 1_000_000,
        max_frames=reader.integer("MAX_FRAMES", 2000, 1, 1_000_000),
        min_free_bytes=reader.integer("MIN_FREE_MB", 500, 0, 1 << 24) * 1_000_000,
        ledger_keep=reader.integer("LEDGER_KEEP", 10_000, 1, 10_000_000),
        ledger_keep_s=reader.integer("LEDGER_KEEP_DAYS", 30, 1, 3650) * 86_400,
        web_workers=reader.integer("WEB_WORKERS", 2, 1, 64),
        web_threads=reader.integer("WEB_THREADS", 32, 1, 512),
        writes_per_minute=reader.integer("WRITES_PER_MINUTE", 600, 0, 1_000_000),
        reads_per_minute=reader.integer("READS_PER_MINUTE", 6000, 0, 1_000_000),
    )
