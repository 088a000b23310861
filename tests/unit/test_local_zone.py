"""The time zone of this machine, from TZ and the files in /etc."""

from __future__ import annotations

import zoneinfo
from pathlib import Path

import pytest

from keiji.local_zone import LocalZone, find_local_zone


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    return folder


def zone_file(name: str) -> Path:
    """Return the file of a zone: that of the system, or of the tzdata package."""
    for folder in zoneinfo.TZPATH:
        if (file := Path(folder, name)).is_file():
            return file
    import tzdata

    return Path(tzdata.__path__[0], "zoneinfo", name)


def name_of(etc: Path, **environ: str) -> str:
    return find_local_zone(environ, etc).name


def test_a_link_names_the_zone(etc: Path) -> None:
    target = etc.parent / "zoneinfo/Pacific/Apia"
    target.parent.mkdir(parents=True)
    target.touch()
    (etc / "localtime").symlink_to(target)
    assert find_local_zone({}, etc) == LocalZone("Pacific/Apia", f"the link {etc / 'localtime'}")
    assert find_local_zone({"TZ": ":Europe/Dublin"}, etc) == LocalZone("Europe/Dublin", "TZ=:Europe/Dublin")


def test_a_copied_zone_file_is_named_by_etc_timezone_if_both_agree(etc: Path) -> None:
    (etc / "localtime").write_bytes(zone_file("America/Detroit").read_bytes())
    (etc / "timezone").write_text("America/Detroit\n")
    found = find_local_zone({}, etc)
    assert found == LocalZone("America/Detroit", str(etc / "timezone"))
    assert found.describe() == f"America/Detroit (from {etc / 'timezone'})"


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "UTC"])
def test_a_copied_zone_file_is_recognized_by_its_rules(etc: Path, zone: str) -> None:
    (etc / "localtime").write_bytes(zone_file(zone).read_bytes())
    (etc / "timezone").write_text("Australia/Perth\n")  # outdated: programs use the other file
    found = find_local_zone({}, etc)
    assert found == LocalZone(zone, f"{etc / 'localtime'}, which has the same rules")


def test_etc_timezone_counts_if_there_is_no_localtime(etc: Path) -> None:
    (etc / "timezone").write_text("Africa/Nairobi\n")
    assert name_of(etc) == "Africa/Nairobi"


@pytest.mark.parametrize("content", [None, b"", b"no zone file", b"TZif2 truncated"])
def test_a_zone_that_cannot_be_determined_is_utc_with_the_reason(etc: Path, content: bytes | None) -> None:
    if content is not None:
        (etc / "localtime").write_bytes(content)
    found = find_local_zone({}, etc)
    assert (found.name, found.is_known) == ("UTC", False)
    assert found.describe().startswith(f"UTC, because {etc / 'localtime'} ")


@pytest.mark.parametrize(
    ("value", "zone"),
    [
        ("CET-1CEST,M3.5.0,M10.5.0/3", "Europe/Berlin"),
        ("CET-01:00CEST-02:00:00,M3.5.0/2,M10.5.0/03", "Europe/Berlin"),
        ("MEZ-1MESZ,M3.5.0,M10.5.0/3", "Europe/Berlin"),
        ("EST5EDT,M3.2.0,M11.1.0", "America/New_York"),
        ("CST6CDT", "CST6CDT"),
        ("XST6XDT", "America/Chicago"),
        ("JST-9", "Asia/Tokyo"),
        ("IST-5:30", "Asia/Kolkata"),
        ("<+0545>-5:45", "Asia/Kathmandu"),
        ("<+03>-3", "Europe/Istanbul"),
        ("UTC0", "UTC"),
        ("GMT0BST,M3.5.0/1,M10.5.0", "Europe/London"),
        ("AEST-10AEDT,M10.1.0,M4.1.0/3", "Australia/Sydney"),
        ("", "UTC"),
        (":", "UTC"),
        ("/usr/share/zoneinfo/Europe/Oslo", "Europe/Oslo"),
    ],
)
def test_tz_may_contain_the_rules_of_a_zone(etc: Path, value: str, zone: str) -> None:
    found = find_local_zone({"TZ": value}, etc)
    assert (found.name, found.is_known) == (zone, True)
    assert "TZ" in found.source


@pytest.mark.parametrize("value", ["nonsense", "CET-1CEST,M13", "XYZ-3:17", "/etc/passwd", "../../etc/passwd", "A1"])
def test_a_tz_that_cannot_be_interpreted_is_utc_as_for_other_programs(etc: Path, value: str) -> None:
    (etc / "timezone").write_text("Africa/Nairobi\n")
    found = find_local_zone({"TZ": value}, etc)
    assert found.describe() == (
        f"UTC, because TZ={value} could not be interpreted; TIME_ZONE in settings.conf changes it"
    )


def test_tz_may_name_a_file(etc: Path) -> None:
    (etc / "zone").write_bytes(zone_file("Asia/Kathmandu").read_bytes())
    assert name_of(etc, TZ=f":{etc / 'zone'}") == "Asia/Kathmandu"
