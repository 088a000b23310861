"""Finds the time zone of this machine, by name: from TZ, /etc/localtime or /etc/timezone.

A name is needed, since the rules of a zone change: a copy of its present rules would become outdated.
"""

from __future__ import annotations

import os
import re
import struct
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from keiji.settings import listed_zones

ETC = Path("/etc")
_PSEUDO_ZONES = ("posix/", "right/", "localtime", "posixrules", "Factory")
_PREFERRED = (  # of several zones with the same rules
    "UTC", "Europe/London", "Europe/Lisbon", "Europe/Berlin", "Europe/Helsinki", "Europe/Moscow", "Europe/Istanbul",
    "Africa/Abidjan", "Africa/Lagos", "Africa/Maputo", "Africa/Johannesburg", "Africa/Nairobi", "America/New_York",
    "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles", "America/Anchorage",
    "Pacific/Honolulu", "America/Halifax", "America/Mexico_City", "America/Bogota", "America/Sao_Paulo", "Asia/Dubai",
    "Asia/Karachi", "Asia/Kolkata", "Asia/Bangkok", "Asia/Singapore", "Asia/Shanghai", "Asia/Tokyo", "Asia/Seoul",
    "Australia/Sydney", "Australia/Brisbane", "Pacific/Auckland",
)  # fmt: skip
_COMPARED_YEARS = range(2000, 2038)  # in which two zones must agree to be taken for one


@dataclass(frozen=True, slots=True)
class LocalZone:
    """The time zone of this machine.

    Args:
        name: UTC if it could not be determined.
        source: where the name comes from, or why there is none: "/etc/timezone".
    """

    name: str
    source: str
    is_known: bool = True

    def describe(self) -> str:
        """Return "Europe/Berlin (from /etc/timezone)"."""
        if self.is_known:
            return f"{self.name} (from {self.source})"
        return f"{self.name}, because {self.source}; TIME_ZONE in settings.conf changes it"


def find_local_zone(environ: Mapping[str, str] = os.environ, etc: Path = ETC) -> LocalZone:
    """Return the time zone of this machine. As in the C library, TZ takes precedence over the files in ``etc``."""
    if "TZ" in environ:
        return _from_variable(environ["TZ"])
    return _from_files(etc)


def _from_variable(value: str) -> LocalZone:
    text = value.removeprefix(":").strip()
    source = f"TZ={value}"
    if not text:
        return LocalZone("UTC", "TZ, which is empty")
    name = _zone_of_path(text) if text.startswith("/") else text
    if _is_zone(name):
        return LocalZone(name, source)
    found = _name_of_file(Path(text)) if text.startswith("/") else _name_of_rules(text)
    if found is not None:
        return LocalZone(found, f"{source}, which has the same rules")
    return LocalZone("UTC", f"{source} could not be interpreted", is_known=False)


def _from_files(etc: Path) -> LocalZone:
    localtime, timezone = etc / "localtime", etc / "timezone"
    linked = _zone_of_path(str(localtime.resolve()))
    if _is_zone(linked):
        return LocalZone(linked, f"the link {localtime}")
    named = _first_line(timezone)
    if not localtime.exists():
        if _is_zone(named):
            return LocalZone(named, str(timezone))
        return LocalZone("UTC", f"{localtime} does not exist", is_known=False)
    if _is_zone(named) and _name_of_file(localtime, [named]):
        return LocalZone(named, str(timezone))
    found = _name_of_file(localtime)
    if found is not None:
        return LocalZone(found, f"{localtime}, which has the same rules")
    return LocalZone("UTC", f"{localtime} does not match any named time zone", is_known=False)


def _first_line(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip().partition("\n")[0].strip()
    except OSError:
        return ""


def _zone_of_path(path: str) -> str:
    """Return "Europe/Berlin" for "/usr/share/zoneinfo/Europe/Berlin"; "" for a path elsewhere."""
    name = path.partition("zoneinfo/")[2]
    return name.removeprefix("posix/").removeprefix("right/")


def _is_zone(name: str) -> bool:
    return name in listed_zones() or name in _names()


@cache
def _names() -> frozenset[str]:
    names = zoneinfo.available_timezones()
    return frozenset(name for name in names if not name.startswith(_PSEUDO_ZONES))


def _by_preference() -> list[str]:
    """Return the names of all zones, those that people would choose first."""

    def rank(name: str) -> tuple[int, bool, str]:
        preferred = _PREFERRED.index(name) if name in _PREFERRED else len(_PREFERRED)
        return preferred, "/" not in name or name.startswith(("Etc/", "US/")), name

    return sorted(_names(), key=rank)


# ── zone files ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _name_of_file(path: Path, candidates: Iterable[str] | None = None) -> str | None:
    """Return the name of a zone with the rules of a zone file; None if there is none, or the file cannot be read."""
    try:
        data = path.read_bytes()
        wanted = _offsets(ZoneInfo.from_file(BytesIO(data)))
    except (OSError, ValueError, LookupError, struct.error):  # zoneinfo raises them for a file that is truncated
        return None
    footer = _footer(data)
    for name in candidates if candidates is not None else _by_preference():
        other = _read_zone(name)
        if other == data or (other and _footer(other) == footer and _offsets(ZoneInfo(name)) == wanted):
            return name
    return None


def _read_zone(name: str) -> bytes:
    for folder in zoneinfo.TZPATH:
        path = Path(folder, name)
        if path.is_file():
            return path.read_bytes()
    try:
        return resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
    except (ImportError, OSError):
        return b""


def _footer(data: bytes) -> str:
    """Return the rules for the future in a zone file: "CET-1CEST,M3.5.0,M10.5.0/3"."""
    parts = data.rsplit(b"\n", 2)
    return parts[1].decode("ascii", "replace") if data.startswith(b"TZif") and len(parts) == 3 else ""


def _offsets(zone: ZoneInfo) -> list[object]:
    moments = (datetime(year, month, day, tzinfo=UTC) for year in _COMPARED_YEARS for month in range(1, 13)
               for day in (1, 15))  # fmt: skip
    return [moment.astimezone(zone).utcoffset() for moment in moments]


# ── POSIX rules ──────────────────────────────────────────────────────────────────────────────────────────────────────

_ABBREVIATION = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
_OFFSET = r"[+-]?\d{1,3}(?::\d{1,2}){0,2}"
_RULE = rf"(?:M\d{{1,2}}\.[1-5]\.[0-6]|J?\d{{1,3}})(?:/{_OFFSET})?"
_RULES = re.compile(
    rf"({_ABBREVIATION})({_OFFSET})(?:({_ABBREVIATION})({_OFFSET})?(?:,({_RULE}),({_RULE}))?)?", re.ASCII
)
_DEFAULT_RULES = ("M3.2.0", "M11.1.0")  # as in the C library, where daylight saving time has no rules


@dataclass(frozen=True, slots=True)
class _PosixRules:
    """Offsets in seconds west of Greenwich, and the rules between which daylight saving applies."""

    abbreviations: tuple[str, str]
    standard: int
    daylight: int | None
    begin: tuple[str, int]
    end: tuple[str, int]

    def is_like(self, other: _PosixRules, *, exactly: bool) -> bool:
        """Return whether two rules mean the same; if not ``exactly``, abbreviations do not count."""
        values = (self.standard, self.daylight, self.begin, self.end)
        is_same = values == (other.standard, other.daylight, other.begin, other.end)
        return is_same and (not exactly or self.abbreviations == other.abbreviations)


def _parse_rules(text: str) -> _PosixRules | None:
    match = _RULES.fullmatch(text)
    if match is None:
        return None
    standard = _seconds(match[2])
    names = (match[1].strip("<>"), (match[3] or "").strip("<>"))
    if match[3] is None:
        return _PosixRules(names, standard, None, ("", 0), ("", 0))
    daylight = _seconds(match[4]) if match[4] else standard - 3600
    begin, end = (match[5], match[6]) if match[5] else _DEFAULT_RULES
    return _PosixRules(names, standard, daylight, _rule(begin), _rule(end))


def _rule(text: str) -> tuple[str, int]:
    day, _, time = text.partition("/")
    return day, _seconds(time) if time else 7200


def _seconds(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    parts = [int(part) for part in text.lstrip("+-").split(":")]
    return sign * sum(part * size for part, size in zip(parts, (3600, 60, 1), strict=False))


def _name_of_rules(text: str) -> str | None:
    """Return the name of a zone that will follow these rules, as TZ may contain them; None if there is none."""
    wanted = _parse_rules(text)
    if wanted is None:
        return None
    known = list(_all_rules())
    for exactly in (True, False):
        for name, rules in known:
            if wanted.is_like(rules, exactly=exactly):
                return name
    return None


def _all_rules() -> Iterator[tuple[str, _PosixRules]]:
    for name in _by_preference():
        rules = _parse_rules(_footer(_read_zone(name)))
        if rules is not None:
            yield name, rules
