"""Schedules and policies: upcoming occurrences, validation, pauses, explanations."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest
from e2e.shell import Shell

GAP = 'on.day.at("2:30")'


def write_schedule(keiji: Shell, task: str, schedule: str, policy: str) -> None:
    keiji.write(task, schedule=schedule)
    file = keiji.paths.source(task) / "schedule.py"
    file.write_text(f"from keiji import cron, once\n{file.read_text()}\n\npolicy = Policy({policy})\n")


@pytest.fixture
def ping(keiji: Shell) -> Shell:
    keiji("task create ping --schedule=hourly")
    return keiji


def test_upcoming_occurrences_show_the_effects_of_daylight_saving_time(ping: Shell) -> None:
    write_schedule(ping, "ping", GAP, 'tz="America/New_York"')
    for command in ("task build ping", "task explain ping", "list", "task get ping"):
        output = ping(command)
        assert re.search(r"02:30:00 E[SD]T|NEXT \(E[SD]T\)|02:30:00 -0[45]00", output), output
    assert "Zone: America/New_York, its own" in ping("task get ping")
    header, saturday, sunday, _ = ping("task next ping --count 3 --from 2027-03-13").splitlines()
    assert header.split() == ["DAY", "DUE", "FROM", "NOW", "NOTE"]
    assert saturday.startswith("Sat  2027-03-13 02:30:00 EST  in ")
    assert sunday.startswith("Sun  2027-03-14 03:00:00 EDT  in ")
    assert sunday.endswith("after the gap: 02:30")
    write_schedule(ping, "ping", GAP, 'tz="America/New_York", dst_gap="skip", dst_fold="both", jitter=10')
    ping("task build ping")
    _, skipped, monday = ping("task --next --name=ping --count=2 --from=2027-03-14").splitlines()
    assert skipped.endswith("skipped: gap 02:30")
    assert "Mon  2027-03-15 02:30:00 " in monday
    occurrences = json.loads(
        ping.run("task", "next", "ping", "--from", "2027-03-14T00:00-05:00", "--count", "2", "--json")
    )
    assert [list(occurrence) for occurrence in occurrences] == [["at", "starts_at", "note", "is_skipped"]] * 2
    assert occurrences[0]["is_skipped"]
    assert occurrences[1]["at"] == "2027-03-15T02:30:00-04:00"
    delay = datetime.fromisoformat(occurrences[1]["starts_at"]) - datetime.fromisoformat(occurrences[1]["at"])
    assert 0 < delay.total_seconds() < 10
    assert occurrences[1]["note"] == f"starts {delay.total_seconds():g}s later (jitter)"


def test_next_rejects_an_invalid_time_or_count_and_a_task_without_a_build(ping: Shell) -> None:
    assert "keiji task build ping" in ping("task next ping", code=1)
    ping("task build ping")
    assert "--from('soon'): expected a date and time" in ping("task next ping --from soon", code=2)
    assert "0 is not in the range" in ping("task next ping --count 0", code=2)
    assert "did you mean 'ping'" in ping("task next pong", code=4)


@pytest.mark.parametrize(
    ("schedule", "policy", "expected"),
    [
        ("every(0).seconds", "", "schedule.py, line 6: every(0): expected a whole number of at least 1"),
        ('on.day.at("25:00")', "", "schedule.py, line 6: at('25:00'): expected a time of day"),
        ('cron("61 * * * *")', "", 'schedule.py, line 6: cron("61 * * * *"): invalid minute "61"; allowed: 0-59'),
        ('once("2020-01-01")', "", 'schedule.py, line 5: once("2020-01-01 00:00") is in the past'),
        ("every(1).days", 'until="2020-01-01"', "schedule.py, line 5: every(1).days is never due between not_before"),
        ("every(1).days", 'tz="Mars/Base"', "schedule.py, line 9: Policy(tz='Mars/Base'): unknown time zone"),
        ("every(1).days", 'overlap="skp"', "schedule.py, line 9: Policy(overlap='skp'): did you mean 'skip'?"),
    ],
)
def test_an_invalid_schedule_or_policy_is_rejected_with_file_and_line(
    ping: Shell, schedule: str, policy: str, expected: str
) -> None:
    write_schedule(ping, "ping", schedule, policy)
    error = ping("task build ping", code=1)
    assert error.startswith(expected), error
    assert ping.task("ping")["build"] is None


def test_a_pause_is_shown_in_all_views_until_it_is_resumed(ping: Shell) -> None:
    ping("task build ping")
    assert "paused everything: moving house" in ping.run("system", "pause", "--reason", "moving house")
    assert "everything is already paused" in ping("system pause")
    for output in (ping.notes("task list"), ping("task get ping")):
        assert "all tasks paused since" in output
        assert "by keiji: moving house" in output
    assert " paused " in ping("list")
    reasons = ping("task explain ping")
    assert "everything has been paused since" in reasons
    assert "nothing starts until it is resumed" in reasons
    assert "due next" not in reasons
    ping.run("task", "--pause", "--name=ping", "--reason", "a broken disk")
    assert "task ping is already paused" in ping("task pause ping")
    assert "Paused: since" in ping("task get ping")
    assert ping.task("ping")["pause"]["reason"] == "a broken disk"
    assert " paused " in ping("task list")
    assert "none of these will run as things stand: paused since" in ping.notes("task next ping")
    assert "still paused individually: ping" in ping("system resume")
    assert "the system is not paused" in ping("system resume")
    assert "resumed task ping" in ping("task resume ping")
    assert "is not paused" in ping("task resume ping")
    assert ping.task("ping")["pause"] is None


def test_explain_shows_why_a_task_does_not_run_and_the_remedy(ping: Shell) -> None:
    assert "    keiji task build ping" in ping("task explain ping").splitlines()
    ping("task build ping")
    ping("task disable ping")
    lines = ping("task explain ping").splitlines()
    assert lines[:2] == ["the engine is offline: nothing runs", "    keiji system start"]
    assert lines[2:4] == ["disabled", "    keiji task enable ping"]


def test_task_details_show_the_schedule_and_the_policy_in_english(ping: Shell) -> None:
    write_schedule(ping, "ping", 'cron("*/5 9-17 * * mon-fri")', 'overlap="queue", queue=3, catch_up="none"')
    ping("task build ping")
    details = ping("task get ping")
    assert "Policy: overlap: queue (up to 3) · catch-up: none" in details
    assert "Schedule: cron:*/5 9-17 * * mon-fri" in details
    assert "Runs: every 5 minutes from 09:00 through 17:59 on Monday through Friday" in details
    assert ping.task("ping")["type"] == "Cron"
