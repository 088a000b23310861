"""``settings.conf``: read and checked once, then a frozen value."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from keiji.errors import InvalidSettings

DEFAULT_LOG_MAX_SIZE = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a workspace.

    Args:
        db_url: "default" for SQLite, or a PostgreSQL URL.
        time_zone: name of the zone in which times of day are meant and shown.
        rotate_logs: whether logs are rotated.
        log_max_size: bytes after which a log is rotated; 0 for never.
        max_parallel_runs: how many runs may be live at once; 0 for no limit.
        keep_runs: how many rows of history are kept of each task; 0 for all.
        keep_days: how many days of history are kept; 0 for all.
    """

    db_url: str = field(default="default", repr=False)  # it may hold a password
    time_zone: str = "UTC"
    rotate_logs: bool = True
    log_max_size: int = DEFAULT_LOG_MAX_SIZE
    max_parallel_runs: int = 100
    keep_runs: int = 1000
    keep_days: int = 90

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def database_kind(self) -> str:
        return "sqlite" if self.db_url == "default" else "postgresql"

    @property
    def log_limit(self) -> int | None:
        """Bytes after which a log is rotated; None for never."""
        return self.log_max_size or None if self.rotate_logs else None


def _db_url(value: str) -> str:
    if value == "default":
        return value
    try:
        parts = urlsplit(value)
    except ValueError:
        parts = urlsplit("")  # what it has to say may quote the password
    if parts.scheme in {"postgresql", "postgres"} and (parts.netloc or parts.query) and len(parts.path) > 1:
        return value
    raise ValueError("default, or postgresql://user:password@host:port/database")


def _zone(value: str) -> str:
    if value in _listed_zones():
        return value
    names = available_timezones()
    if value in names:
        return value
    near = difflib.get_close_matches(value, names, n=1, cutoff=0.6)
    raise ValueError("a zone as Continent/City" + (f"; did you mean {near[0]}?" if near else " (Africa/Nairobi)"))


def _listed_zones() -> Collection[str]:
    """Return the names that tzdata lists; to find all those of the system, every file of it would be opened."""
    try:
        return resources.files("tzdata").joinpath("zones").read_text("utf-8").split()
    except (ImportError, OSError):
        return ()


def _switch(value: str) -> bool:
    if value in {"0", "1"}:
        return value == "1"
    raise ValueError("1 (rotate) or 0 (do not)")


def _count(of: str, most: int = 10**18) -> Callable[[str], int]:
    def read(value: str) -> int:
        if value.isascii() and value.isdigit() and int(value[:20]) <= most:
            return int(value)
        raise ValueError(f"a number of {of}, 0 or more{f', {most} at most' if most < 10**18 else ''}")

    return read


_READERS: Mapping[str, Callable[[str], Any]] = {
    "DB_URL": _db_url,
    "TIME_ZONE": _zone,
    "ROTATE_LOGS": _switch,
    "LOG_MAX_SIZE": _count("bytes"),
    "MAX_PARALLEL_RUNS": _count("runs", 100_000),
    "KEEP_RUNS": _count("runs", 10**9),
    "KEEP_DAYS": _count("days", 36_500),
}


def load(path: Path) -> Settings:
    """Read ``path``. A key that is not there keeps its default.

    Raises:
        InvalidSettings: a line cannot be read; the message has key, value, line and what is allowed.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidSettings(f"{path} is not there", hint="keiji init writes one and keeps your tasks") from error
    except OSError as error:
        raise InvalidSettings(f"{path} cannot be read: {error.strerror}") from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidSettings(f"{path}, line {line}: there is a byte in it that is no UTF-8 text") from error
    return parse(text, str(path))


def parse(text: str, origin: str = "settings.conf") -> Settings:
    """Read the settings in ``text``; ``origin`` names it in errors. Raises InvalidSettings as `load` does."""
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        key, equals, value = (part.strip() for part in content.partition("="))
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        if not equals:
            shown = _without_password(content)
            raise InvalidSettings(f"{origin}, line {number}: {shown!r} is not of the form KEY=value")
        if key not in _READERS:
            near = difflib.get_close_matches(key.upper(), _READERS, n=1)
            allowed = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(_READERS)}"
            shown = _without_password(key)
            raise InvalidSettings(f"{origin}, line {number}: there is no setting {shown!r}; {allowed}")
        if key in lines:
            raise InvalidSettings(f"{origin}, line {number}: {key} is set already, in line {lines[key]}")
        try:
            values[key.lower()] = _READERS[key](value)
        except ValueError as error:
            shown = _without_password(value)
            raise InvalidSettings(f"{origin}, line {number}: {key}={shown!r}; allowed: {error}") from error
        lines[key] = number
    return Settings(**values)


def _without_password(text: str) -> str:
    """Return ``text`` as it may be shown: it is a URL, or has one in it where something was mistyped."""
    text = re.sub(r"(password=)[^&\s]*", r"\1…", text, flags=re.IGNORECASE)
    scheme, mark, rest = text.partition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}{mark}{credentials.partition(':')[0]}:…{at}{host}" if at else text


def local_zone(environ: Mapping[str, str] = os.environ, link: Path = Path("/etc/localtime")) -> str:
    """Return the name of this machine's time zone, "UTC" where it cannot be told."""
    candidates = [environ.get("TZ", "").removeprefix(":"), str(link.resolve()).partition("zoneinfo/")[2]]
    return next((name for name in candidates if name in _listed_zones() or name in available_timezones()), "UTC")


_DEFAULT = Settings()


def template(zone: str) -> str:
    """Return the text of a new ``settings.conf``."""
    return f"""\
# Settings of this workspace. The engine reads them when it starts, and again on SIGHUP.

# Where tasks, builds and history are kept: "default" (SQLite), or
# postgresql://user:password@host:5432/database
DB_URL=default

# The zone in which times of day are meant and shown: Continent/City.
TIME_ZONE={zone}

# Whether logs are rotated: 1 or 0.
ROTATE_LOGS=1

# The size at which a log is rotated, in bytes; 0 for never.
LOG_MAX_SIZE={DEFAULT_LOG_MAX_SIZE}

# How many runs may go on at the same time, of all tasks together; what is due beyond that waits for its turn.
# 0 for no limit.
MAX_PARALLEL_RUNS={_DEFAULT.max_parallel_runs}

# How much history is kept: the newest runs of each task, and nothing that is older than so many days. 0 for all.
KEEP_RUNS={_DEFAULT.keep_runs}
KEEP_DAYS={_DEFAULT.keep_days}
"""
