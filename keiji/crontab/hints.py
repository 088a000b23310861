"""Hints at constructs of a crontab line that work under keiji, but that keiji makes unnecessary or does differently."""

from __future__ import annotations

import re
from collections.abc import Iterator

from keiji.crontab.read import DEFAULT_SHELL, Assignment, Job
from keiji.schedule.cron import Cron

_CD = re.compile(r"cd\s+(\"[^\"]+\"|'[^']+'|[^\s;&|]+)\s*(?:&&|;)")
_REDIRECTION = re.compile(r"(?:^|[^<&0-9-])(?:[12]?>>?|&>>?)\s*(?!&|/dev/null|[>\s])")
_NULL = re.compile(r"(?:>>?|&>)\s*/dev/null(?:\s+2>&1|\s+2>\s*/dev/null)?\s*$")
_SOURCE = re.compile(r"(?:^|[;&|(]\s*)source\s")
_STEP_OF_NUMBER = re.compile(r"(?<![\w*-])\d+/\d+")
_SECRET = re.compile(r"PASS|SECRET|TOKEN|API_?KEY|CREDENTIAL", re.IGNORECASE)
_SLEEP = re.compile(r"\bsleep\b.*(?:RANDOM|rand\b)")
_TWO_ASSIGNMENTS = re.compile(r"\S\s+[A-Za-z_]\w*=\S")
_MAILTO = "MAILTO"
_OF_MAIL = frozenset({"MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING"})
_SET_BY_CRON = frozenset({"LOGNAME", "USER"})
VARIABLE = re.compile(r"(?!KEIJI_)[A-Za-z_]\w*", re.ASCII)  # a variable that a task.toml may set
NOT_PASSED_ON = frozenset({_MAILTO, "CRON_TZ", "RANDOM_DELAY"}) | _OF_MAIL | _SET_BY_CRON


def hints_for(job: Job) -> tuple[str, ...]:
    """Return the hints at what is special about the schedule and the command of a job."""
    return (*_about_line(job), *_about_command(job))


def hints_for_assignment(assignment: Assignment) -> tuple[str, ...]:
    """Return the hints at what is special about a variable of a crontab."""
    return tuple(_about_variable(assignment.name, assignment.value))


def _about_line(job: Job) -> Iterator[str]:
    if job.has_carriage_return:
        yield "the line ends with a carriage return, as on Windows: cron passes it to the command, keiji removes it"
    if job.is_silent:
        yield "the - before the schedule, which keeps cron from logging the job, was removed"
    if _STEP_OF_NUMBER.search(job.schedule):
        yield (
            f"in {job.schedule!r}, a step follows a single number: some versions of cron ignore the step; keiji counts "
            "from the number to the end of the range"
        )
    if isinstance(trigger := job.trigger, Cron) and trigger.values().needs_both is False:
        yield "both day fields are restricted: a day that matches one of them is enough, as with cron"
    if job.command.startswith("* ") or re.match(r"[\d*/,-]+\s+\S", job.command):
        yield "the command begins with what looks like a sixth field: cron has five"
    if job.command.endswith("\\"):
        yield "the line ends with a backslash, but cron does not continue lines"


def _about_command(job: Job) -> Iterator[str]:
    command = job.command
    is_default_shell = job.environment.get("SHELL", DEFAULT_SHELL) == DEFAULT_SHELL
    if match := _CD.match(command):
        folder = match[1].strip("\"'")
        is_fixed = folder.startswith(("/", "~/")) and "$" not in folder
        example = f'cwd = "{folder}"' if is_fixed else "an absolute path as cwd"
        yield f"instead of cd, task.toml may have {example}"
    if re.search(r"\bflock\b", command):
        yield "flock is needed only between tasks: keiji starts no second run of a task while one is live"
    if _NULL.search(command):
        yield "the output goes to /dev/null: without the redirection, it is in the log of the task"
    elif _REDIRECTION.search(command):
        yield "the output goes to a file: without the redirection, it is in the log of the task"
    if is_default_shell and "&>" in command:
        yield "&> is not understood by /bin/sh, which runs the command in the background: SHELL=/bin/bash is missing"
    if is_default_shell and _SOURCE.search(command):
        yield "source is a command of bash, and not of every /bin/sh: write . instead, or set SHELL=/bin/bash"
    if "run-parts" in command:
        yield "run-parts is one task with one log: create a task for each script to schedule and retry them separately"
    if _SLEEP.search(command):
        yield 'instead of sleep, [policy] may have jitter = "5m", which spreads the starts'
    if re.search(r"[^&>]&$", command):
        yield 'a process in the background is killed when the command ends, unless [policy] has leave = "children"'
    if job.stdin:
        yield "the first % ends the command, and the rest became stdin in task.toml; a percent sign is \\% in a crontab"


def _about_variable(name: str, value: str) -> Iterator[str]:
    if name == _MAILTO:
        if value:
            yield "keiji sends no mail: keiji list shows which tasks failed, and keiji logs NAME the output"
    elif name in _SET_BY_CRON:
        yield f"cron sets {name} itself; the assignment has no effect"
    elif name in _OF_MAIL:
        yield "it concerns the mail that cron sends, and was left out"
    elif not VARIABLE.fullmatch(name):
        yield f"{name} cannot be a variable of a task; it was left out"
    if "$" in value and name != _MAILTO:
        yield "the value is literal, since cron does not expand variables"
    if _TWO_ASSIGNMENTS.search(value):
        yield f"cron reads one assignment per line, so the value of {name} is {value!r}"
    if name == "TZ":
        yield "it is the time zone of the commands; that of the schedules is CRON_TZ"
    if name == "RANDOM_DELAY" and not value.isdecimal():
        yield "it is not a number of minutes, and was left out"
    if _SECRET.search(name):
        yield "it may be a secret: move it from task.toml to .env, which is not in version control"
