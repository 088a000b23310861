"""A schedule as text is read, never run."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from keiji.errors import InvalidSchedule
from keiji.schedule import Schedule, cron, every, on, once
from keiji.schedule.cron import Cron
from keiji.schedule.natural import read_spoken
from keiji.schedule.parse import EXAMPLES, LONGEST, read_schedule
from keiji_engine.builds import create
from keiji_tui.words import brief

READ: dict[str, Schedule] = {
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
SPOKEN = {
    "every 5 minutes": "every(5).minutes",
    "Every minute": "every(1).minutes",
    "every 10 s": "every(10).seconds",
    "every 5 min": "every(5).minutes",
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
}
WHAT_TO_WRITE = {
    "every 5 minutes at noon": "write every 10 minutes",
    "every fortnight": "write every 10 minutes",
    "every minutes": "write every 10 minutes",
    "every five minutes": "write every 10 minutes",
    "at 02:30 every day": "of a crontab, the line itself",
    "on friday at 22:00": 'on.friday.at("22:00")',
    "daily at five": "every day at 22:00",
    "once at noon": 'once("2027-01-01 00:00")',
}
REFUSED = {
    "* * * *": "five fields are needed",
    "61 * * * *": "minute",
    "*/5 * * * * /usr/bin/job": "day-of-week",
    "@reboot": "a restart is no moment",
    "every 0 minutes": "1 or more",
    "Fri 25:00": "a time of day is needed",
    "0 0 * * import(os)": "cannot be read",
    "": "a schedule is needed",
    "every": "brackets are missing",
    "every(5)": "a unit is missing: .seconds",
    "every(5).second": "the units are",
    "every(0).days": "1 or more",
    "every(-1).days": "1 or more",
    "every(True).days": "1 or more",
    "every('5').days": "1 or more",
    "every(10**9).days": "a number or text",
    "every(1, 2).days": "takes one value",
    "every(interval=5).days": "plain values",
    "every(5).interval": "no .interval here",
    "every(5).__class__": "no .__class__ here",
    "every(5).days.context": "no .context here",
    "every(5).days.describe()": "no .describe here",
    "every(5).days; 1": "cannot be read",
    "every(10).": "cannot be read",
    "on": "a day is missing",
    "on.friday": "a time is missing",
    "on.friday.at": "a time is missing",
    "on.firday": "did you mean on.friday?",
    "on.chosen": "no .chosen here",
    'on.friday.at("25:00")': "a time of day is needed",
    "on.friday.at(22)": "at(22)",
    'on.friday.at(*["1:00"])': "plain values",
    'cron("61 * * * *")': "minute",
    'cron("0 0 * *\\n*")': "no line can show",
    "once(5)": "a moment is needed",
    "1": "no schedule",
    "(lambda: 1)()": "no schedule",
    "open('/etc/passwd')": "open is not known here",
    "__import__('os').system('touch pwned')": "__import__ is not known here",
    "[].__class__.__base__.__subclasses__()": "no schedule",
    "every(5).days if 1 else 2": "no schedule",
    "f'{1}'": "no schedule",
    "\0": "cannot be read",
    "(" * 400: "cannot be read",
    "-" * 400 + "1": "no schedule",
    "x" * (LONGEST + 1): "is the most",
}  # fmt: skip


@pytest.mark.parametrize(("text", "schedule"), READ.items())
def test_what_authors_write_is_read(text: str, schedule: Schedule) -> None:
    assert read_schedule(text) == schedule
    assert read_schedule(schedule.source_form()) == schedule


@pytest.mark.parametrize(("text", "written"), SPOKEN.items())
def test_what_tables_show_and_crontabs_have_is_taken_as_authors_write_it(text: str, written: str) -> None:
    assert read_schedule(text).source_form() == written


@pytest.mark.parametrize("schedule", [schedule for schedule in READ.values() if not isinstance(schedule, Cron)])
def test_a_schedule_is_known_by_its_own_words(schedule: Schedule) -> None:
    assert read_spoken(schedule.describe()) == schedule
    assert read_spoken(brief(schedule.describe())) == schedule


@pytest.mark.parametrize(("text", "hint"), WHAT_TO_WRITE.items())
def test_words_that_are_not_understood_are_told_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(InvalidSchedule, match="is not understood") as refused:
        read_schedule(text)
    assert hint in refused.value.hint


@pytest.mark.parametrize(("text", "reason"), REFUSED.items(), ids=range(len(REFUSED)))
def test_anything_else_is_refused_with_what_is_wrong(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidSchedule) as refused:
        read_schedule(text)
    assert reason in refused.value.message
    assert len(refused.value.message) < 200
    assert not any(tmp_path.iterdir())


def test_the_compiler_prints_nothing() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(InvalidSchedule):
            read_schedule("1('\\d')")
    assert told == []


@pytest.mark.parametrize("text", [*EXAMPLES, *READ])
def test_a_task_made_with_a_schedule_has_it(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = read_schedule(text)
    create(tmp_path / "new", "new", "", schedule=schedule.source_form())
    source = (tmp_path / "new" / "schedule.py").read_text()
    names: dict[str, object] = {}
    exec(compile(source, "schedule.py", "exec"), names)
    made = names["schedule"]
    assert callable(made)
    assert made() == schedule
