"""Reads and validates ``settings.conf``."""

from __future__ import annotations

import difflib
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
_UNLIMITED = 10**18


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a workspace.

    Args:
        db_url: "default" for SQLite, or a PostgreSQL URL.
        time_zone: name of the time zone of schedules and displayed times.
        rotate_logs: whether logs are rotated.
        log_max_size: size in bytes at which a log is rotated; 0 for never.
        max_parallel_runs: maximum number of live runs; 0 for no limit.
        keep_runs: number of rows of history to keep for each task; 0 for all.
        keep_days: number of days of history to keep; 0 for all.
    """

    db_url: str = field(default="default", repr=False)  # may contain a password
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
        """Size in bytes at which a log is rotated; None for never."""
        return self.log_max_size or None if self.rotate_logs else None


def _db_url(value: str) -> str:
    if value == "default":
        return value
    try:
        parts = urlsplit(value)
    except ValueError:
        parts = urlsplit("")  # the exception is dropped: its message may quote the password
    if parts.scheme in {"postgresql", "postgres"} and (parts.netloc or parts.query) and len(parts.path) > 1:
        return value
    raise ValueError("default, or postgresql://user:password@host:port/database")


def parse_zone(value: str) -> str:
    """Return the name of a time zone. Raises ValueError, with what is expected as its message, if there is none."""
    if value in listed_zones():
        return value
    names = available_timezones()
    if value in names:
        return value
    matches = difflib.get_close_matches(value, names, n=1, cutoff=0.6)
    hint = f"; did you mean {matches[0]!r}?" if matches else ", such as Africa/Nairobi"
    raise ValueError(f"a time zone as Continent/City{hint}")


def listed_zones() -> Collection[str]:
    """Return the zone names that the tzdata package lists.

    This is the fast path: ``available_timezones`` opens every zone file of the system.
    """
    try:
        return resources.files("tzdata").joinpath("zones").read_text("utf-8").split()
    except (ImportError, OSError):
        return ()


def _boolean(value: str) -> bool:
    if value in {"0", "1"}:
        return value == "1"
    raise ValueError("1 (rotate) or 0 (do not rotate)")


def _count(unit: str, maximum: int = _UNLIMITED) -> Callable[[str], int]:
    bounds = "0 or more" if maximum == _UNLIMITED else f"from 0 to {maximum}"

    def parse_count(value: str) -> int:
        if value.isascii() and value.isdigit() and int(value[:20]) <= maximum:  # the slice bounds the parsing time
            return int(value)
        raise ValueError(f"a number of {unit}, {bounds}")

    return parse_count


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "DB_URL": _db_url,
    "TIME_ZONE": parse_zone,
    "ROTATE_LOGS": _boolean,
    "LOG_MAX_SIZE": _count("bytes"),
    "MAX_PARALLEL_RUNS": _count("runs", 100_000),
    "KEEP_RUNS": _count("runs", 10**9),
    "KEEP_DAYS": _count("days", 36_500),
}


def load(path: Path) -> Settings:
    """Return the settings in the file ``path``. Missing keys keep their defaults.

    Raises:
        InvalidSettings: the file is missing or unreadable, or a line is invalid; the message then contains the line
            number, key, value and the allowed values.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidSettings(f"{path} does not exist", hint="keiji init creates it and keeps your tasks") from error
    except OSError as error:
        raise InvalidSettings(f"cannot read {path}: {error.strerror}", hint="check its permissions") from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidSettings(f"{path}, line {line}: it is not valid UTF-8") from error
    return parse(text, str(path))


def parse(text: str, origin: str = "settings.conf") -> Settings:
    """Return the settings in ``text``; ``origin`` names the file in errors. Raises InvalidSettings as `load` does."""
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
            redacted = _redact_password(content)
            raise InvalidSettings(f"{origin}, line {number}: expected KEY=value, not {redacted!r}")
        if key not in _PARSERS:
            matches = difflib.get_close_matches(key.upper(), _PARSERS, n=1)
            hint = f"did you mean {matches[0]!r}?" if matches else f"expected one of {', '.join(_PARSERS)}"
            redacted = _redact_password(key)
            raise InvalidSettings(f"{origin}, line {number}: unknown setting {redacted!r}; {hint}")
        if key in lines:
            raise InvalidSettings(f"{origin}, line {number}: {key} is already set in line {lines[key]}")
        try:
            values[key.lower()] = _PARSERS[key](value)
        except ValueError as error:
            redacted = _redact_password(value)
            raise InvalidSettings(f"{origin}, line {number}: {key}={redacted!r}: expected {error}") from error
        lines[key] = number
    return Settings(**values)


def _redact_password(text: str) -> str:
    """Return ``text`` without the password of any URL in it, in case a typing error put one there."""
    text = re.sub(r"(password=)[^&\s]*", r"\1…", text, flags=re.IGNORECASE)
    scheme, separator, rest = text.partition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{credentials.partition(':')[0]}:…{at}{host}" if at else text


_DEFAULT = Settings()


def template(zone: str) -> str:
    """Return the text of a new ``settings.conf``."""
    return f"""\
# Settings of this workspace. The engine reads them when it starts and on SIGHUP.

# Database for tasks, builds and history: "default" (SQLite), or
# postgresql://user:password@host:5432/database
DB_URL=default

# Time zone of schedules and displayed times: Continent/City.
TIME_ZONE={zone}

# Log rotation: 1 (on) or 0 (off).
ROTATE_LOGS=1

# Size in bytes at which a log is rotated; 0 for never.
LOG_MAX_SIZE={DEFAULT_LOG_MAX_SIZE}

# Maximum number of parallel runs of all tasks; further runs wait in a queue. 0 for no limit.
MAX_PARALLEL_RUNS={_DEFAULT.max_parallel_runs}

# History to keep: the newest runs of each task, and the maximum age in days. 0 for no limit.
KEEP_RUNS={_DEFAULT.keep_runs}
KEEP_DAYS={_DEFAULT.keep_days}
"""
