"""Reading crontabs as cron does, naming tasks, planning an import, and writing tasks as a crontab."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji.crontab.export import ExportedTask, Inexpressible, cron_lines, format_crontab
from keiji.crontab.naming import derive_name, make_unique
from keiji.crontab.plan import NotImported, PlannedTask, Source, count_tasks, marker_of, plan_import
from keiji.crontab.read import (
    Assignment,
    Job,
    Problem,
    join_stdin,
    looks_like_system_crontab,
    parse_assignment,
    read_crontab,
    split_stdin,
)
from keiji.names import validate
from keiji.policy import Policy
from keiji.schedule import ScheduleContext
from keiji.schedule.parse import parse_schedule, parse_trigger
from keiji_cli.crontab_import import format_imported
from keiji_engine.builds.task_file import parse_task_file

START = datetime(2027, 2, 27, 12, tzinfo=UTC)
OWN = Source("alice", "alice", "UTC", "UTC")
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=40)


def tasks(text: str, source: Source = OWN, **options: object) -> list[PlannedTask]:
    planned = plan_import(read_crontab(text.encode()), source, imported={}, **options)  # type: ignore[arg-type]
    return [each for each in planned if isinstance(each, PlannedTask)]


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read_and_lose_nothing_of_the_other_lines(content: bytes) -> None:
    lines = read_crontab(b"0 3 * * * /bin/first\n" + content + b"\n0 4 * * * /bin/last\n")
    jobs = [line for line in lines if isinstance(line, Job)]
    assert (jobs[0].command, jobs[-1].command) == ("/bin/first", "/bin/last")
    assert [line.number for line in lines] == list(range(1, content.count(b"\n") + 4))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=b", ("A", "b")),
        ("A = b c  ", ("A", "b c")),
        ("A=", ("A", "")),
        ('A=" b "', ("A", " b ")),
        ("'A b'='c'", ("A b", "c")),
        ("A='x'y", None),
        ("A='x", None),
        ("* * * * * A=b", None),
        ("@daily A=b x", None),
    ],
)
def test_an_assignment_is_read_as_cron_does(text: str, expected: tuple[str, str] | None) -> None:
    assert parse_assignment(text) == expected


@pytest.mark.parametrize(
    ("text", "command", "stdin"),
    [
        ("cat", "cat", ""),
        ("cat%", "cat", ""),
        ("cat%a", "cat", "a\n"),
        ("cat%a%b%", "cat", "a\nb\n"),
        (r"date +\%F", "date +%F", ""),
        (r"a\\%b", "a\\\\", "b\n"),
        (r"cat%10\%%\n", "cat", "10%\n\\n\n"),
    ],
)
def test_a_percent_sign_begins_the_standard_input(text: str, command: str, stdin: str) -> None:
    assert split_stdin(text) == (command, stdin)


@given(TEXT, TEXT)
def test_a_command_and_its_input_are_read_back_or_refused(command: str, stdin: str) -> None:
    try:
        text = join_stdin(command, stdin)
    except ValueError:
        assert "\\" in command + stdin
        return
    assert split_stdin(text) == (command, f"{stdin}\n" if stdin else "")


def test_variables_apply_to_the_jobs_below_them() -> None:
    lines = read_crontab(b"0 1 * * * a\nA=1\n0 2 * * * b\nA=2\nB=3\n0 3 * * * c\n")
    assert [line.environment for line in lines if isinstance(line, Job)] == [{}, {"A": "1"}, {"A": "2", "B": "3"}]


def test_the_last_line_counts_only_with_a_newline() -> None:
    assert isinstance(read_crontab(b"0 1 * * * a\n")[-1], Job)
    for content in (b"0 1 * * * a", b"A=1"):
        [problem] = read_crontab(content)
        assert isinstance(problem, Problem)
        assert "no newline" in problem.reason
    assert isinstance(read_crontab(b"A=1\n")[0], Assignment)


def test_a_system_crontab_is_recognised_by_its_users() -> None:
    def is_recognised(text: bytes) -> bool:
        return looks_like_system_crontab(read_crontab(text), ["alice"])

    assert is_recognised(b"0 1 * * * root /bin/a\n@daily alice /bin/b\n")
    assert not is_recognised(b"0 1 * * * root /bin/a\n@daily /bin/b\n")
    assert not is_recognised(b"0 1 * * * alice\n")
    assert not is_recognised(b"# 0 1 * * * root /bin/a\n")


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(TEXT)
def test_each_command_has_a_valid_name(command: str) -> None:
    name = derive_name(command)
    assert validate(name) == name


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("cd / && run-parts --report /etc/cron.hourly", "cron.hourly"),
        ("[ -x /usr/bin/foo ] && /usr/bin/foo", "foo"),
        ("nice -n 19 ionice -c3 /opt/bin/backup --full", "backup"),
        ("FOO=1 /usr/bin/env BAR=2 python3 ~/x/report.py", "report"),
        ("bash -lc 'cd ~/app && rake jobs:work'", "rake-jobs-work"),
        ("flock -n /tmp/l -c '/opt/y.sh a'", "y"),
        ("echo 'no closing quote", "echo"),
        ("計時", "job"),
    ],
)
def test_a_name_is_that_of_the_program_or_the_script(command: str, name: str) -> None:
    assert derive_name(command) == name


def test_names_are_unique_regardless_of_case() -> None:
    assert make_unique("a", set()) == "a"
    assert make_unique("A", {"a", "a-2"}) == "A-3"
    assert [task.name for task in tasks("0 1 * * * a\n0 2 * * * a\n", taken=["a-2"])] == ["a", "a-3"]


# ── planning ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_lines_that_were_imported_are_recognised_as_often_as_they_were() -> None:
    text = "0 1 * * *\t/bin/a\n0 1 * * * /bin/a\n0 2 * * * /bin/a\n"
    planned = plan_import(
        read_crontab(text.encode()), OWN, imported={"a": marker_of("0 1 * * * /bin/a"), "z": marker_of("0 9 * * * b")}
    )
    found = [(each.name, each.existing) for each in planned if isinstance(each, PlannedTask)]
    assert found == [("a", "a"), ("a-2", ""), ("a-3", "")]
    assert count_tasks(planned) == {"imported": 1, "new": 2}


def test_a_crontab_of_another_user_is_refused_with_the_reason() -> None:
    [planned] = plan_import(read_crontab(b"0 1 * * * a\n"), Source("bob", "alice"), imported={})
    assert isinstance(planned, NotImported)
    assert "it runs as bob" in planned.reason
    assert not planned.is_wrong


def test_the_zone_of_cron_is_kept_if_the_workspace_has_another_one() -> None:
    source = Source("alice", "alice", "Europe/Berlin", "UTC")
    first, second = tasks("0 1 * * * a\nCRON_TZ=Asia/Tokyo\n0 1 * * * b\n", source)
    assert (first.zone, second.zone) == ("Europe/Berlin", "Asia/Tokyo")
    assert any("Europe/Berlin" in hint for hint in first.hints)
    assert second.trigger("UTC").next_after(START) == datetime(2027, 2, 27, 16, tzinfo=UTC)


@given(command=TEXT, value=TEXT, comment=TEXT)
def test_a_task_file_has_what_the_crontab_has(command: str, value: str, comment: str) -> None:
    text = f"V='{value.replace(chr(39), '')}'\n# {comment}\n0 3 * * * x{command}\n"
    [task] = tasks(text)
    task_file = parse_task_file(format_imported(task))
    expected = split_stdin(f"x{command}")
    assert (task_file.argv[-1], task_file.stdin) == (expected[0].strip(" \t"), expected[1])
    assert task_file.env["V"] == value.replace("'", "")
    assert format_imported(task).partition("\n")[0] == task.marker


# ── export ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.tuples(st.one_of(st.just("*"), span), st.integers(1, high)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    return st.one_of(
        st.just("*"), st.lists(st.one_of(number.map(str), span, step), min_size=1, max_size=3).map(",".join)
    )


@given(
    st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 7)).map(" ".join),
    st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe"]),
)
def test_a_schedule_that_is_imported_and_exported_again_has_the_same_instants(line: str, zone: str) -> None:
    [task] = tasks(f"CRON_TZ={zone}\n{line} /bin/a\n")
    exported = ExportedTask(name="a", schedule=task.job.trigger, line=task.job.command, policy=Policy(tz=zone))
    [again] = tasks(format_crontab([exported], "UTC"))
    assert again.zone == zone if zone != "UTC" else again.zone in ("", "UTC")
    before, after = (list(islice(each.trigger("UTC").upcoming(START), 5)) for each in (task, again))
    assert before == after


@pytest.mark.parametrize(
    ("schedule", "lines"),
    [
        ("every minute", ["* * * * *"]),
        ("every 5 minutes", ["*/5 * * * *"]),
        ("every 6 hours", ["0 */6 * * *"]),
        ("every day at 22:00", ["0 22 * * *"]),
        ("weekdays at 9:00, 17:00 and 17:30", ["0 9,17 * * 1,2,3,4,5", "30 17 * * 1,2,3,4,5"]),
        ("Sundays at 6:15", ["15 6 * * 0"]),
        ("0 5 3 * * *", ["5 3 * * *"]),
        ("@daily", ["@daily"]),
        ("at start", ["@reboot"]),
    ],
)
def test_schedules_as_lines_of_a_crontab(schedule: str, lines: list[str]) -> None:
    assert cron_lines(parse_schedule(schedule)) == lines


@pytest.mark.parametrize(
    "schedule",
    ["every 7 minutes", "every 10 seconds", "every 2 weeks", "every day at 22:00:30", "last day of the month", "manual",
     "on change of /data/*", "once at 2030-01-01 00:00", "30 0 3 * * *", "first Monday at 9:00"],
)  # fmt: skip
def test_what_cron_cannot_express_is_a_comment_with_the_reason(schedule: str) -> None:
    with pytest.raises(Inexpressible):
        cron_lines(parse_schedule(schedule))
    text = format_crontab([ExportedTask(name="a", schedule=parse_schedule(schedule), line="/bin/a")], "UTC")
    assert "not exported" in text
    assert all(line.startswith("#") for line in text.splitlines() if line)


@given(st.lists(st.integers(0, 1439), min_size=1, max_size=5), st.sampled_from(["weekdays", "Sundays", "every day"]))
def test_times_of_day_have_the_same_instants_as_their_lines(minutes: list[int], days: str) -> None:
    times = ", ".join(f"{minute // 60}:{minute % 60:02}" for minute in minutes)
    schedule = parse_schedule(f"{days} at {times}").with_context(ScheduleContext(zone="America/New_York"))
    lines = parse_trigger(cron_lines(schedule)).with_context(schedule.context)
    at_night = datetime(2027, 4, 1, tzinfo=UTC)  # a time of day that every line has exactly once
    assert list(islice(lines.upcoming(at_night), 20)) == list(islice(schedule.upcoming(at_night), 20))


def test_an_exported_task_keeps_its_command_folder_input_and_variables() -> None:
    task = ExportedTask(
        name="report",
        description="two\nlines",
        schedule=parse_trigger(["0 3 * * *", "at start", "every 7 minutes"]),
        line="date +%F | tee out",
        cwd="~/my reports",
        stdin="a\nb%\n",
        environment={"PATH": "/bin", "LEVEL": "it's"},
        policy=Policy(timeout=60, tz="Asia/Tokyo"),
    )
    text = format_crontab([task, ExportedTask(name="b", schedule=parse_schedule("@daily"), line="b")], "UTC")
    header, _, *lines = text.splitlines()
    assert header == "# Tasks of keiji; times are in UTC."
    assert lines == [
        "",
        "# report: two lines",
        "#   cron has no timeout",
        "#   not every cron knows CRON_TZ",
        "#   every 7 minutes: cron counts from the full hour or from midnight, keiji from the start",
        "#   an instant of several of its schedules would run it several times",
        "#   not exported: every 7 minutes: cron counts no intervals from a starting point",
        "PATH=/bin",
        "CRON_TZ=Asia/Tokyo",
        r"""0 3 * * * export LEVEL='it'"'"'s'; cd ~/'my reports' && date +\%F | tee out%a%b\%""",
        r"""@reboot export LEVEL='it'"'"'s'; cd ~/'my reports' && date +\%F | tee out%a%b\%""",
        "",
        "# b",
        "PATH=/usr/bin:/bin",
        "CRON_TZ=UTC",
        "@daily b",
    ]


def test_an_inactive_task_and_a_command_of_several_lines_are_comments() -> None:
    paused = ExportedTask(name="a", schedule=parse_schedule("@daily"), line="/bin/a", inactive="it is disabled")
    long = ExportedTask(name="b", schedule=parse_schedule("@daily"), line="a\nb")
    lines = format_crontab([paused, long], "UTC").splitlines()
    assert "# @daily /bin/a" in lines
    assert all(line.startswith("#") for line in lines if line)
