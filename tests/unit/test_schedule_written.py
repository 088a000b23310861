"""A schedule as text is read, never run."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from keiji.errors import InvalidSchedule
from keiji.schedule import Schedule, cron, every, on, once
from keiji.schedule.written import EXAMPLES, LONGEST, read_schedule
from keiji_engine.builds import create

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
REFUSED = {
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
    "every(5).days.place": "no .place here",
    "every(5).days.words()": "no .words here",
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
