"""When tasks run, as a person asks for it, foresees it and is told about it at a shell."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from e2e.shell import Shell

GAP = 'on.day.at("2:30")'


def with_policy(keiji: Shell, task: str, schedule: str, policy: str) -> None:
    keiji.write(task, schedule=schedule)
    file = keiji.paths.source(task) / "schedule.py"
    file.write_text(f"from keiji import cron, once\n{file.read_text()}\n\npolicy = Policy({policy})\n")


@pytest.fixture
def ping(keiji: Shell) -> Shell:
    keiji("init")
    keiji("task create ping")
    return keiji


def test_the_next_instants_are_shown_with_what_daylight_saving_does_to_them(ping: Shell) -> None:
    with_policy(ping, "ping", GAP, 'tz="America/New_York"')
    ping("task build ping")
    header, saturday, sunday, _ = ping("task next ping --count 3 --from 2027-03-13").splitlines()
    assert header.split() == ["DAY", "DUE", "NOTE"]
    assert saturday.startswith("Sat  2027-03-13 02:30:00 EST  in ")
    assert sunday.startswith("Sun  2027-03-14 03:00:00 EDT  in ")
    assert sunday.endswith("after the gap: 02:30")
    with_policy(ping, "ping", GAP, 'tz="America/New_York", dst_gap="skip", dst_fold="both", jitter=10')
    ping("task build ping")
    _, skipped, monday = ping("task --next --name=ping --count=2 --from=2027-03-14").splitlines()
    assert skipped.endswith("skipped: gap 02:30")
    assert "Mon  2027-03-15 02:30:00 EDT" in monday
    instants = json.loads(
        ping.run("task", "next", "ping", "--from", "2027-03-14T00:00-05:00", "--count", "2", "--json")
    )
    assert [list(instant) for instant in instants] == [["at", "starts_at", "note", "is_skipped"]] * 2
    assert instants[0]["is_skipped"]
    assert instants[1]["at"] == "2027-03-15T02:30:00-04:00"
    late = datetime.fromisoformat(instants[1]["starts_at"]) - datetime.fromisoformat(instants[1]["at"])
    assert 0 < late.total_seconds() < 10
    assert instants[1]["note"] == f"starts {late.total_seconds():g} s later (jitter)"


def test_a_time_that_is_none_and_a_task_that_is_not_built_are_refused(ping: Shell) -> None:
    assert "keiji task build ping" in ping("task next ping", code=1)
    ping("task build ping")
    assert "--from('soon'): expected a date and time" in ping("task next ping --from soon", code=2)
    assert "0 is not in the range" in ping("task next ping --count 0", code=2)
    assert "did you mean 'ping'" in ping("task next pong", code=4)


@pytest.mark.parametrize(
    ("schedule", "policy", "complaint"),
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
def test_nonsense_is_refused_with_the_authors_file_and_line(
    ping: Shell, schedule: str, policy: str, complaint: str
) -> None:
    with_policy(ping, "ping", schedule, policy)
    said = ping("task build ping", code=1)
    assert said.startswith(complaint), said
    assert ping.task("ping")["build"] is None


def test_a_pause_is_shown_wherever_tasks_are_shown_and_ends_when_it_is_told_to(ping: Shell) -> None:
    ping("task build ping")
    said = ping.run("system", "pause", "--reason", "moving house")
    assert "paused everything: moving house" in said
    for command in ("task list", "task get ping"):
        assert "everything is paused since" in ping(command)
        assert "by keiji: moving house" in ping(command)
    assert "everything is paused since" in ping("task explain ping")
    ping.run("task", "--pause", "--name=ping", "--reason", "a broken disk")
    assert "Paused: since" in ping("task get ping")
    assert ping.task("ping")["pause"]["reason"] == "a broken disk"
    assert " paused " in ping("task list")
    assert ping("task next ping").splitlines()[-1] == "none of this runs while it is paused"
    assert "still paused by themselves: ping" in ping("system resume")
    assert "the system is not paused" in ping("system resume")
    assert "resumed task ping" in ping("task resume ping")
    assert "is not paused" in ping("task resume ping")
    assert ping.task("ping")["pause"] is None


def test_what_keeps_a_task_from_running_is_told_with_what_to_do_about_it(ping: Shell) -> None:
    assert "    keiji task build ping" in ping("task explain ping").splitlines()
    ping("task build ping")
    ping("task disable ping")
    told = ping("task explain ping").splitlines()
    assert told[:2] == ["the engine is offline: nothing runs", "    keiji system start"]
    assert told[2:4] == ["it is disabled", "    keiji task enable ping"]


def test_the_policy_is_shown_in_words_and_every_kind_of_schedule_has_its_type(ping: Shell) -> None:
    with_policy(ping, "ping", 'cron("*/5 9-17 * * mon-fri")', 'overlap="queue", queue=3, catch_up="none"')
    ping("task build ping")
    shown = ping("task get ping")
    assert "Policy: overlap: queue (up to 3) · catch-up: none" in shown
    assert "Schedule: cron:*/5 9-17 * * mon-fri" in shown
    assert "Runs: every fifth minute from 09:00 through 17:59 on Monday through Friday" in shown
    assert ping.task("ping")["type"] == "Cron"
