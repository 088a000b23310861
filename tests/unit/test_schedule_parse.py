"""Schedules are parsed from text without executing it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from keiji.errors import InvalidSchedule
from keiji.schedule import Schedule, cron, every, on, once
from keiji.schedule.cron import Cron
from keiji.schedule.natural import parse_natural
from keiji.schedule.parse import EXAMPLES, MAX_LENGTH, parse_schedule
from keiji_engine.builds import create_task_folder
from keiji_tui.text.format import abbreviate_schedule

EXPRESSIONS: dict[str, Schedule] = {
    "every(10).seconds": every(10).seconds,
    "  every( 3 ).weeks ": every(3).weeks,
    'on.friday.at("22:00")': on.friday.at("22:00"),
    "on.monday.and_.thursday.at('9:00', \"10:00PM\")": on.monday.and_.thursday.at("9:00", "22:00"),
    'on.weekdays.at("6:00")': on.weekdays.at("6:00"),
    'cron("*/5 9-17 * * mon-fri")': cron("*/5 9-17 * * mon-fri"),
    'cron("@daily")': cron("@daily"),
    'once("2027-01-01 00:00")': once("2027-01-01 00:00"),
    'once("2027-01-01T00:00:00+03:00")': once("2027-01-01T00:00:00+03:00"),
}
NATURAL = {
    "every 5 minutes": "every(5).minutes",
    "Every minute": "every(1).minutes",
    "every 10 s": "every(10).seconds",
    "every 10s": "every(10).seconds",
    "every 2d": "every(2).days",
    "every 5 min": "every(5).minutes",
    "every 5m": "every(5).minutes",
    "every day": "every(1).days",
    "every day at 22:00": 'on.day.at("22:00")',
    "every day at 6:00 and 18:00": 'on.day.at("06:00", "18:00")',
    "weekdays at 06:00": 'on.weekdays.at("06:00")',
    "Fridays at 22:00": 'on.friday.at("22:00")',
    "Fri 22:00": 'on.friday.at("22:00")',
    "Mondays, Tuesdays and Sundays at 09:00, 10:00 and 11:00:30": (
        'on.monday.and_.tuesday.and_.sunday.at("09:00", "10:00", "11:00:30")'
    ),
    "once at 2027-01-01 00:00": 'once("2027-01-01 00:00")',
    "*/5 * * * *": 'cron("*/5 * * * *")',
    "  0 22 * * fri": 'cron("0 22 * * fri")',
    "*/10 * * * * *": 'cron("*/10 * * * * *")',
    "@daily": 'cron("@daily")',
    "daily 22:00": 'on.day.at("22:00")',
    "daily at 22:00": 'on.day.at("22:00")',
}
HINTS = {
    "every 5 minutes at noon": "write every 10 minutes",
    "every fortnight": "write every 10 minutes",
    "every minutes": "write every 10 minutes",
    "every five minutes": "write every 10 minutes",
    "at 02:30 every day": "a crontab line: 0 22 * * fri",
    "on friday at 22:00": 'on.friday.at("22:00")',
    "daily at five": "every day at 22:00",
    "once at noon": 'once("2027-01-01 00:00")',
}
REJECTED = {
    "* * * *": "expected five fields",
    "61 * * * *": "minute",
    "*/5 * * * * /usr/bin/job": "day-of-week",
    "@reboot": "a reboot has no scheduled time",
    "every 0 minutes": "at least 1",
    "Fri 25:00": "expected a time of day",
    "0 0 * * import(os)": "is not a valid schedule",
    "": "the schedule is empty",
    "every": "missing argument in parentheses",
    "fortnightly": "unknown schedule 'fortnightly'; did you mean 'every 2 weeks'?",
    "evry(5).days": "unknown schedule 'evry'; did you mean 'every'?",
    "every(5)": "missing unit; expected one of .seconds",
    "every(5).second": "unknown unit; expected one of seconds",
    "every(0).days": "at least 1",
    "every(-1).days": "at least 1",
    "every(True).days": "at least 1",
    "every('5').days": "at least 1",
    "every(10**9).days": "expected a number or text",
    "every(1, 2).days": "expected 1 argument, got 2",
    "every(interval=5).days": "only positional literal arguments",
    "every(5).interval": "unknown attribute .interval",
    "every(5).__class__": "unknown attribute .__class__",
    "every(5).days.context": "unknown attribute .context",
    "every(5).days.describe()": "unknown attribute .describe",
    "every(5).days; 1": "is not a valid schedule",
    "every(10).": "is not a valid schedule",
    "on": "missing day",
    "on.friday": "missing time",
    "on.friday.at": "missing time",
    "on.firday": "did you mean on.friday?",
    "on.selected": "unknown attribute .selected",
    'on.friday.at("25:00")': "expected a time of day",
    "on.friday.at(22)": "at(22)",
    'on.friday.at(*["1:00"])': "only positional literal arguments",
    'cron("61 * * * *")': "minute",
    'cron("0 0 * *\\n*")': "non-printable character",
    "once(5)": "expected a date and time",
    "1": "is not a schedule",
    "(lambda: 1)()": "is not a schedule",
    "open('/etc/passwd')": "unknown schedule 'open'; expected every, on, cron or once",
    "__import__('os').system('touch pwned')": "unknown schedule '__import__'",
    "[].__class__.__base__.__subclasses__()": "is not a schedule",
    "every(5).days if 1 else 2": "is not a schedule",
    "f'{1}'": "is not a schedule",
    "\0": "is not a valid schedule",
    "(" * 400: "is not a valid schedule",
    "-" * 400 + "1": "is not a schedule",
    "x" * (MAX_LENGTH + 1): "at most 500 are allowed",
}  # fmt: skip


@pytest.mark.parametrize(("text", "schedule"), EXPRESSIONS.items())
def test_an_expression_is_parsed(text: str, schedule: Schedule) -> None:
    assert parse_schedule(text) == schedule
    assert parse_schedule(schedule.source_form()) == schedule


@pytest.mark.parametrize(("text", "source"), NATURAL.items())
def test_english_and_crontab_lines_are_parsed(text: str, source: str) -> None:
    assert parse_schedule(text).source_form() == source


@pytest.mark.parametrize("schedule", [schedule for schedule in EXPRESSIONS.values() if not isinstance(schedule, Cron)])
def test_a_description_is_parsed_back(schedule: Schedule) -> None:
    assert parse_natural(schedule.describe()) == schedule
    assert parse_natural(abbreviate_schedule(schedule.describe())) == schedule


@pytest.mark.parametrize(("text", "hint"), HINTS.items())
def test_english_that_cannot_be_parsed_is_rejected_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(InvalidSchedule, match="unknown schedule") as caught:
        parse_schedule(text)
    assert hint in caught.value.hint


@pytest.mark.parametrize(("text", "reason"), REJECTED.items(), ids=range(len(REJECTED)))
def test_anything_else_is_rejected_with_an_explanation(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidSchedule) as caught:
        parse_schedule(text)
    assert reason in caught.value.message
    assert len(caught.value.message) < 200
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["hourly", "daily", "Weekly", "fortnightly", "monthly", "yearly"])
def test_the_suggestion_for_a_common_term_is_a_valid_schedule(text: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        parse_schedule(text)
    suggestion = caught.value.message.partition("did you mean '")[2].removesuffix("'?")
    assert isinstance(parse_schedule(suggestion), Schedule)


def test_the_compiler_prints_no_warnings() -> None:
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        with pytest.raises(InvalidSchedule):
            parse_schedule("1('\\d')")
    assert raised == []


@pytest.mark.parametrize("text", [*EXAMPLES, *EXPRESSIONS])
def test_a_task_created_with_a_schedule_has_it(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = parse_schedule(text)
    create_task_folder(tmp_path / "new", "new", "", schedule=schedule.source_form())
    source = (tmp_path / "new" / "schedule.py").read_text()
    names: dict[str, object] = {}
    exec(compile(source, "schedule.py", "exec"), names)
    function = names["schedule"]
    assert callable(function)
    assert function() == schedule
