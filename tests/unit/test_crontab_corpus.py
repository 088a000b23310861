"""What every line of the crontabs in tests/crontabs becomes, and that its instants are those of cron.

The outcome of ``NAME.crontab`` is in ``NAME.txt``. With KEIJI_WRITE_CORPUS=1 the test writes these files instead, to be
reviewed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from unit.test_schedule_oracle import MONTHS, WEEK, numbers

from keiji.crontab.export import ExportedTask, format_crontab
from keiji.crontab.plan import NotImported, Planned, PlannedTask, Source, plan_import
from keiji.crontab.read import DEFAULT_PATH, Job, read_crontab
from keiji.policy import Policy
from keiji.schedule import ScheduleContext
from keiji_cli.crontab_import import format_imported
from keiji_engine.builds.task_file import parse_task_file

CRONTABS = sorted((Path(__file__).parent.parent / "crontabs").glob("*.crontab"))
START = datetime(2027, 3, 13, 20, 17, tzinfo=UTC)  # the clock of New York is set forward in the next night
ZONE = "America/New_York"
NICKNAMES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip


def plan(path: Path) -> list[Planned]:
    is_system = path.stem.endswith(".system")
    lines = read_crontab(path.read_bytes(), is_system=is_system)
    return plan_import(lines, Source("" if is_system else "alice", "alice", ZONE, ZONE), imported={})


def shown(planned: Planned) -> Iterator[str]:
    """Yield the lines that describe an outcome."""
    if isinstance(planned, NotImported):
        yield f"{planned.number}: {'wrong' if planned.is_wrong else 'not imported'}: {planned.reason}"
        return
    if isinstance(planned, PlannedTask):
        task_file = parse_task_file(format_imported(planned))
        assert task_file.schedule is not None
        yield f"{planned.job.number}: {planned.name}: {task_file.schedule.describe()}"
        yield f"    {task_file.argv[-1]}"
        policy = task_file.policy or Policy()
        plain = {"SHELL": "/bin/sh", "PATH": DEFAULT_PATH}
        values = {
            "description": task_file.description,
            "shell": "" if task_file.argv[0] == "/bin/sh" else task_file.argv[0],
            "cwd": "" if task_file.cwd == "~" else task_file.cwd,
            "stdin": repr(task_file.stdin) if task_file.stdin else "",
            "env": ", ".join(f"{key}={value}" for key, value in task_file.env.items() if plain.get(key) != value),
            "policy": ", ".join(f"{key}={getattr(policy, key)}" for key in sorted(policy.given)),
        }
        yield from (f"    {key}: {value}" for key, value in values.items() if value)
    else:
        yield f"{planned.number}: {planned.line}"
    yield from (f"    hint: {hint}" for hint in planned.hints)


def test_the_corpus_is_large() -> None:
    assert len(CRONTABS) >= 40
    assert {path.stem for path in CRONTABS} == {path.stem for path in CRONTABS[0].parent.glob("*.txt")}


@pytest.mark.parametrize("path", CRONTABS, ids=lambda path: path.stem)
def test_each_line_becomes_what_the_corpus_says(path: Path) -> None:
    text = "".join(f"{line}\n" for each in plan(path) for line in shown(each))
    expected = path.with_suffix(".txt")
    if os.environ.get("KEIJI_WRITE_CORPUS"):
        expected.write_text(text)
    assert text == expected.read_text()


def cron_times(line: str, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the times after `START` at which Debian's cron starts a job, from its manual, by stepping through days.

    If neither minute nor hour begins with ``*``, a time in the gap of a clock change runs after it, and one that occurs
    twice runs once. Otherwise a job runs at each minute that matches what the clock shows.
    """
    minute, hour, dom, month, dow = NICKNAMES.get(line, line).lower().split()
    minutes, hours = numbers(minute, 0, 59), numbers(hour, 0, 23)
    months, doms = numbers(month, 1, 12, MONTHS, 1), numbers(dom, 1, 31)
    dows = {day % 7 for day in numbers(dow, 0, 7, WEEK)}
    join = all if dom.startswith("*") or dow.startswith("*") else any
    is_wildcard = minute.startswith("*") or hour.startswith("*")
    day = START.astimezone(zone).date()
    for each in (day + timedelta(days=count) for count in range(366 * 60)):
        if each.month in months and join((each.day in doms, each.isoweekday() % 7 in dows)):
            found = set(_times_of_day(each, hours, minutes, zone, is_wildcard=is_wildcard))
            yield from sorted(time for time in found if time > START)


def _times_of_day(
    day: date, hours: set[int], minutes: set[int], zone: ZoneInfo, *, is_wildcard: bool
) -> Iterator[datetime]:
    for hour in hours:
        for minute in minutes:
            folds = [datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone, fold=fold) for fold in (0, 1)]
            real = [each for each in folds if each.astimezone(UTC).astimezone(zone).hour == hour]
            if real and is_wildcard:
                yield from (each.astimezone(UTC) for each in real)
            elif real:
                yield real[0].astimezone(UTC)
            elif not is_wildcard:  # the clock shows 3:00 after 1:59
                yield datetime(day.year, day.month, day.day, hour + 1, tzinfo=zone).astimezone(UTC)


def jobs() -> list[tuple[str, Job, str]]:
    """Return the crontab, the job and the time zone of each task in the corpus that has instants."""
    planned = [(path.stem, each) for path in CRONTABS for each in plan(path)]
    return [
        (stem, each.job, each.zone or ZONE)
        for stem, each in planned
        if isinstance(each, PlannedTask) and each.job.schedule != "@reboot"
    ]


def test_the_next_ten_instants_equal_a_reading_of_the_manual_of_cron() -> None:
    assert len(jobs()) > 80
    for stem, job, zone in jobs():
        trigger = job.trigger.with_context(ScheduleContext(zone=zone))
        expected = list(islice(cron_times(job.schedule, ZoneInfo(zone)), 10))
        assert list(islice(trigger.upcoming(START), 10)) == expected, f"{stem}: {job.line}"


def exported(task: PlannedTask) -> ExportedTask:
    return ExportedTask(
        name=task.name,
        schedule=task.job.trigger,
        line=task.job.command,
        shell=task.shell_program or "/bin/sh",
        cwd=task.cwd,
        stdin=task.job.stdin,
        environment=task.environment,
        policy=Policy(tz=task.zone) if task.zone else Policy(),
    )


@pytest.mark.parametrize("path", CRONTABS, ids=lambda path: path.stem)
def test_what_was_imported_and_exported_again_is_the_same(path: Path) -> None:
    tasks = [each for each in plan(path) if isinstance(each, PlannedTask)]
    text = format_crontab(map(exported, tasks), ZONE)
    assert "not exported" not in text
    lines = read_crontab(text.encode())
    again = [
        each
        for each in plan_import(lines, Source("alice", "alice", ZONE, ZONE), imported={})
        if isinstance(each, PlannedTask)
    ]
    assert len(again) == len(tasks)
    for before, after in zip(tasks, again, strict=True):
        assert list(islice(after.trigger(ZONE).upcoming(START), 10)) == list(
            islice(before.trigger(ZONE).upcoming(START), 10)
        )
        assert after.job.command.endswith(before.job.command)
        assert after.job.stdin == before.job.stdin
        assert after.shell_program == before.shell_program
        assert after.environment["PATH"] == before.environment["PATH"]
