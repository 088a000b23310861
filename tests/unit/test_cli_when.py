"""``keiji when`` describes a schedule without a task, an engine or a workspace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Result, run_command

from keiji import engine_process
from keiji.paths import Paths


def when(root: Path, *arguments: str) -> Result:
    result = run_command("when", *arguments, environment=engine_process.environment_for(Paths.under(root)))
    assert not root.exists()
    return result


def test_it_describes_a_schedule_and_lists_its_next_instants(tmp_path: Path) -> None:
    shown = when(tmp_path / "none", "0 9 1-7 * 1", "--from", "2027-03-06", "-n", "4", "--zone", "Africa/Nairobi").stdout
    lines = shown.splitlines()
    assert lines[:3] == [
        "at 09:00 on the first through 7th day of every month, or on Monday",
        'cron("0 9 1-7 * 1"), in Africa/Nairobi',
        "",
    ]
    assert lines[3].split() == ["DAY", "DUE", "(EAT)", "FROM", "NOW", "NOTE"]
    days = ["Sat  2027-03-06", "Sun  2027-03-07", "Mon  2027-03-08", "Mon  2027-03-15"]
    assert [line[:24] for line in lines[4:]] == [f"{day} 09:00:00" for day in days]


def test_it_shows_daylight_saving_in_the_zone(tmp_path: Path) -> None:
    found = when(
        tmp_path / "none", "daily", "at", "2:30", "--from=2027-03-13", "-n2", "--zone=America/New_York", "--json"
    )
    shown = json.loads(found.stdout)
    assert shown == {
        "schedule": 'on.day.at("02:30")',
        "description": "every day at 02:30",
        "zone": "America/New_York",
        "events": [],
        "instants": [
            {"at": "2027-03-13T02:30:00-05:00", "note": "", "is_skipped": False},
            {"at": "2027-03-14T03:00:00-04:00", "note": "after the gap: 02:30", "is_skipped": False},
        ],
    }


def test_intervals_count_from_the_start(tmp_path: Path) -> None:
    found = when(tmp_path / "none", "every 90 minutes", "--from=2027-01-01 00:00", "-n1", "--zone=UTC", "--json")
    assert json.loads(found.stdout)["instants"][0]["at"] == "2027-01-01T01:30:00+00:00"


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("manual", "it runs only when you start it"),
        ("at start; hourly", "at start: it runs once after each start"),
        ("on change of /data/*.csv", "on change of /data/*.csv: it runs after each change of these files"),
    ],
)
def test_it_describes_events(tmp_path: Path, schedule: str, expected: str) -> None:
    assert expected in when(tmp_path / "none", schedule).stdout


def test_a_schedule_that_is_never_due_again_is_described(tmp_path: Path) -> None:
    found = when(tmp_path / "none", "once at 2020-01-01 00:00")
    assert (found.code, found.stdout.splitlines()[0]) == (0, "once at 2020-01-01 00:00")
    assert found.stderr == "it is never due again\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["dayly at 5:00"], "did you mean 'daily at 5:00'?"),
        (["hourly", "--zone", "Mars"], "--zone 'Mars': expected a time zone as Continent/City"),
        (["hourly", "--from", "soon"], "--from('soon'): expected a date and time"),
        ([], "Missing argument 'SCHEDULE...'"),
    ],
)
def test_wrong_usage_is_rejected_with_an_explanation(tmp_path: Path, arguments: list[str], error: str) -> None:
    found = when(tmp_path / "none", *arguments)
    assert (found.code, found.stdout) == (2, "")
    assert error in found.stderr
