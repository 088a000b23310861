"""Schedules are parsed from text without executing it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from keiji.errors import InvalidSchedule
from keiji.schedule import Schedule, at_start, combine, cron, every, manual, on, on_change, once, to_schedule
from keiji.schedule.cron import Cron
from keiji.schedule.parse import EXAMPLES, MAX_LENGTH, parse_schedule, parse_trigger
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
    "manual": manual,
    "at_start": at_start,
    'on_change("/data/in//*.csv")': on_change("/data/in/*.csv"),
    'on_change("/data/a;b/it\'s \\"x\\"/*")': on_change('/data/a;b/it\'s "x"/*'),
    "[every(10).minutes, at_start]": combine([every(10).minutes, at_start]),
    '(on.friday.at("22:00"), on_change("~/in/*"))': combine([on.friday.at("22:00"), on_change("~/in/*")]),
}
LISTS = {
    '[every(10).minutes, "0 9 1-7 * 1"]': '[every(10).minutes, cron("0 9 1-7 * 1")]',
    "every 10 minutes; Fridays at 22:00": '[every(10).minutes, on.friday.at("22:00")]',
    "at start; every 10 minutes; every 10m; ": "[at_start, every(10).minutes]",
    "every 10 minutes; every(10).minutes": "every(10).minutes",
    'at start; on change of "/a;b"': '[at_start, on_change("/a;b")]',
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
    "daily at 10pm": 'on.day.at("22:00")',
    "daily at noon and midnight": 'on.day.at("00:00", "12:00")',
    "on friday at 22:00": 'on.friday.at("22:00")',
    "every Friday at 9:00 PM": 'on.friday.at("21:00")',
    "weekly on Monday at 9:00": 'on.monday.at("09:00")',
    "every weekday at 9:00": 'on.weekdays.at("09:00")',
    "Monday to Wednesday at 9:00": 'on.monday.and_.tuesday.and_.wednesday.at("09:00")',
    "Sat-Mon at 9:00": 'on.monday.and_.saturday.and_.sunday.at("09:00")',
    "hourly": 'cron("@hourly")',
    "daily": 'on.day.at("00:00")',
    "Weekly": 'on.sunday.at("00:00")',
    "monthly": 'cron("@monthly")',
    "yearly": 'cron("@yearly")',
    "every hour at :05": 'cron("5 * * * *")',
    "hourly at :05": 'cron("5 * * * *")',
    "every 2 hours at :05 and :35": 'cron("5,35 */2 * * *")',
    "first Monday at 9:00": 'cron("0 9 * * 1#1")',
    "the second Sunday of the month at 9:00:30": 'cron("30 0 9 * * 0#2")',
    "last Friday of every month at 22:00": 'cron("0 22 * * 5L")',
    "last day of the month": 'cron("0 0 L * *")',
    "last day of the month at 22:00": 'cron("0 22 L * *")',
    "last weekday of the month at noon": 'cron("0 12 LW * *")',
    "1st and 15th of the month at 6:00": 'cron("0 6 1,15 * *")',
    "monthly on the 3rd at 4:00": 'cron("0 4 3 * *")',
    "manually": "manual",
    "at start": "at_start",
    "@reboot": "at_start",
    "on change of /data/in/my file.csv": 'on_change("/data/in/my file.csv")',
}
HINTS = {
    "every 5 minutes at noon": "write every 10 minutes",
    "every fortnight": "write every 10 minutes",
    "every minutes": "write every 10 minutes",
    "every five minutes": "write every 10 minutes",
    "at 02:30 every day": "a crontab line: 0 22 * * fri",
    "evry 5 minuts": "did you mean 'every 5 minutes'?",
    "frist Monday at 9:00": "did you mean 'first monday at 9:00'?",
    "every 7 hours at :05": "a crontab line",
    "first weekday of the month": "15th of the month",
    "daily at five": "every day at 22:00",
    "once at noon": 'once("2027-01-01 00:00")',
}
REJECTED = {
    "* * * *": "expected five fields",
    "61 * * * *": "minute",
    "*/5 * * * * /usr/bin/job": "day-of-week",
    'cron("@reboot")': "use at_start",
    "every hour at :75": "minute",
    "32nd of the month": "day-of-month",
    "Fridays": "missing time",
    "dayly": "did you mean 'daily'?",
    "at_strat": "did you mean 'at_start'?",
    "on_change": "missing argument in parentheses",
    "on_change(5)": "expected a path",
    'on_change("in/*.csv")': "expected an absolute path",
    'on_change("/data/../etc")': 'expected a path without ".."',
    "on change of in/*.csv": "expected an absolute path",
    "[]": "the list of schedules is empty",
    "[every(5)]": "missing unit",
    "[[every(5).days]]": "is not a schedule",
    "hourly; manual": "manual cannot be combined",
    "every(5).days; 1": "1 is not a schedule",
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
    "open('/etc/passwd')": "unknown schedule 'open'; expected one of on, manual",
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


@pytest.mark.parametrize(("text", "source"), LISTS.items())
def test_several_schedules_are_parsed(text: str, source: str) -> None:
    assert parse_schedule(text).source_form() == source
    assert parse_schedule(parse_schedule(text).source_form()) == parse_schedule(text)


def test_a_value_of_a_configuration_file_is_a_text_or_a_list_of_texts() -> None:
    assert parse_trigger("0 3 * * *") == cron("0 3 * * *")
    assert parse_trigger(["hourly"]) == cron("@hourly")
    assert parse_trigger(["hourly", "at start", "hourly"]) == combine([cron("@hourly"), at_start])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (5, "expected text or a list of texts, not 5"),
        (None, "expected text or a list of texts, not None"),
        ([], "the list of schedules is empty"),
        (["hourly", 5], "schedule 2 of 2: expected text, not 5"),
        (["hourly", "every 5 eons"], "schedule 2 of 2: unknown schedule 'every 5 eons'"),
        (["hourly", "manual"], "manual cannot be combined"),
        ([f"every {number} minutes" for number in range(1, 52)], "at most 50 are allowed"),
    ],
)
def test_another_value_of_a_configuration_file_is_rejected(value: object, reason: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        parse_trigger(value)
    assert reason in caught.value.message


@pytest.mark.parametrize("schedule", [schedule for schedule in EXPRESSIONS.values() if not isinstance(schedule, Cron)])
def test_a_description_is_parsed_back(schedule: Schedule) -> None:
    assert parse_schedule(schedule.describe()) == schedule
    assert parse_schedule(abbreviate_schedule(schedule.describe())) == schedule


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


@pytest.mark.parametrize("text", ["hourley", "fortnightly", "biweekly", "nightly", "quarterly", "reboot", "never"])
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
    assert to_schedule(function()) == schedule
