"""Reads a crontab as cron does: assignments, jobs, comments, and lines that cron would reject."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from keiji.errors import InvalidSchedule
from keiji.formats import quote
from keiji.schedule import Schedule
from keiji.schedule.cron import NICKNAMES, Cron
from keiji.schedule.event import AtStart

REBOOT = "@reboot"
DEFAULT_PATH = "/usr/bin:/bin"
DEFAULT_SHELL = "/bin/sh"
FIELDS = 5
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ALLOWED = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day-of-month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day-of-week", 0, 7, _WEEKDAYS),
)
_BLANKS = " \t"
_USER = re.compile(r"[A-Za-z_][\w.-]*\$?", re.ASCII)
_SPAN = re.compile(r"(\*|\w+(?:-\w+)?)(?:/(\d+))?", re.ASCII)
_NUMERIC_FIELD = re.compile(r"[\d*][\d*/,-]*", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Blank:
    """A line without content."""

    number: int


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment.

    Args:
        text: without the leading ``#``.
    """

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """A variable of the jobs below it. Cron does not expand the value."""

    number: int
    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job.

    Args:
        line: the line as it is written, without surrounding blanks.
        schedule: five fields or a nickname, as text.
        user: the user column of a system crontab; "" in the crontab of a user.
        command: the shell line, without what follows an unescaped ``%``.
        stdin: what cron passes to the command as standard input.
        environment: the variables that are assigned above the job.
        has_carriage_return: whether the line ends as on Windows.
        is_silent: whether the line begins with ``-``, which keeps cronie from logging the job.
    """

    number: int
    line: str
    schedule: str
    command: str
    user: str = ""
    stdin: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    has_carriage_return: bool = False
    is_silent: bool = False

    @property
    def trigger(self) -> Schedule:
        """The schedule or the event that the text stands for."""
        return AtStart() if self.schedule == REBOOT else Cron(self.schedule)


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that cron rejects or ignores, or that keiji cannot read."""

    number: int
    line: str
    reason: str


Line = Blank | Comment | Assignment | Job | Problem


class InvalidLine(ValueError):
    """A line is neither an assignment nor a job; the message says why."""


def read_crontab(content: bytes, *, is_system: bool = False) -> list[Line]:
    """Return every line of a crontab. A line that is wrong does not affect the others.

    Args:
        is_system: lines have a user column, as in /etc/crontab and /etc/cron.d.
    """
    lines: list[Line] = []
    environment: dict[str, str] = {}
    encoded = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, data in enumerate(encoded, 1):
        line = _read_line(number, data, environment, is_system=is_system)
        is_last = number == len(encoded)  # with a newline at the end of the file, the last element is empty
        if is_last and isinstance(line, Blank):
            break
        if is_last and isinstance(line, Job | Assignment):
            reason = "cron ignores the line, since no newline follows it: add one at the end of the file"
            line = Problem(number, data.decode().strip(), reason)
        if isinstance(line, Assignment):
            environment = environment | {line.name: line.value}
        lines.append(line)
    return lines


def _read_line(number: int, data: bytes, environment: dict[str, str], *, is_system: bool) -> Line:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Problem(number, data.decode(errors="replace").strip(), "not valid UTF-8")
    has_carriage_return = text.endswith("\r")
    text = text.removesuffix("\r").lstrip(_BLANKS)
    if not text.strip():
        return Blank(number)
    if text.startswith("#"):
        return Comment(number, text.lstrip("#").strip())
    if _CONTROL.search(text):
        return Problem(number, text.strip(), "it contains a control character")
    assignment = parse_assignment(text)
    if assignment is not None:
        return Assignment(number, *assignment)
    try:
        schedule, user, raw = split_job(text, is_system=is_system)
        check_schedule(schedule.removeprefix("-"))
    except InvalidLine as error:
        words = text.split()[: FIELDS + 1]
        has_six = len(words) > FIELDS and all(_NUMERIC_FIELD.fullmatch(word) for word in words)
        reason = f"{error} (the line has six fields, but cron has none for seconds)" if has_six else str(error)
        return Problem(number, text.strip(), reason)
    command, stdin = split_stdin(raw)
    if not command.strip():
        return Problem(number, text.strip(), "there is no command after the schedule")
    return Job(
        number=number,
        line=text.rstrip(),
        schedule=schedule.removeprefix("-"),
        user=user,
        command=command.strip(_BLANKS),
        stdin=stdin,
        environment=environment,
        has_carriage_return=has_carriage_return,
        is_silent=schedule.startswith("-"),
    )


def parse_assignment(text: str) -> tuple[str, str] | None:
    """Return the name and the value of ``NAME = value``; None if the line is anything else.

    Name and value may be in quotes of either kind. Without quotes, the value is the rest of the line.
    """
    match = re.fullmatch(r"""(?:"([^"]*)"|'([^']*)'|([^\s="'][^\s=]*))[ \t]*=[ \t]*(.*)""", text)
    if match is None:
        return None
    name = next(each for each in match.groups() if each is not None)
    value = match[4].rstrip()
    if value[:1] in ("'", '"'):
        quoted, mark, rest = value[1:].partition(value[0])
        return (name, quoted) if mark and not rest.strip() else None
    return name, value


def split_job(text: str, *, is_system: bool) -> tuple[str, str, str]:
    """Return the schedule, the user and the rest of a job line. Raises InvalidLine."""
    count = 1 if text.startswith("@") else FIELDS
    words = text.split(None, count)
    if len(words) < count or (count > 1 and not re.match(r"[-\d*]|[A-Za-z]{3}\b", words[0])):
        raise InvalidLine("it is neither NAME=value nor a job: minute, hour, day of month, month, day of week, command")
    schedule, rest = " ".join(words[:count]), words[count] if len(words) > count else ""
    if not is_system:
        return schedule, "", rest
    user, *command = rest.split(None, 1) or [""]
    if not _USER.fullmatch(user) or not command:
        raise InvalidLine("in a system crontab, a user and a command follow the schedule")
    return schedule, user, command[0]


def check_schedule(text: str) -> None:
    """Check a schedule against what cron accepts, which is less than `Cron` does. Raises InvalidLine."""
    if text.startswith("@"):
        if text not in NICKNAMES and text != REBOOT:
            raise InvalidLine(f"unknown nickname {text!r}; cron has {', '.join((*NICKNAMES, REBOOT))}")
        return
    for word, (name, low, high, names) in zip(text.split(), _ALLOWED, strict=True):
        for part in word.split(","):
            problem = _span_problem(part, low, high, names)
            if problem:
                allowed = f"{low}-{high}" + (f", {names[0]}-{names[-1]}" if names else "")
                raise InvalidLine(
                    f"invalid {name} {quote(word)}: {problem}; cron allows {allowed}, *, lists, ranges, steps"
                )
    try:
        Cron(text)
    except InvalidSchedule as error:
        raise InvalidLine(error.message.partition(": ")[2]) from error


def _span_problem(part: str, low: int, high: int, names: tuple[str, ...]) -> str:
    """Return what is wrong with an element of the list in a field; "" if nothing is."""
    match = _SPAN.fullmatch(part)
    if match is None:
        return f"{quote(part)} is not a number or a range" if part else "an element of the list is empty"
    if match[2] is not None and int(match[2]) == 0:
        return "a step of 0"
    if match[1] == "*":
        return ""
    numbers = []
    for text in match[1].split("-"):
        if text.lower() in names:
            numbers.append(names.index(text.lower()) + low)
        elif text.isdecimal() and low <= int(text) <= high:
            numbers.append(int(text))
        else:
            return f"{quote(text)} is out of range" if text.isdecimal() else f"unknown name {quote(text)}"
    return "the range ends before it begins" if len(numbers) == 2 and numbers[0] > numbers[1] else ""


def split_stdin(text: str) -> tuple[str, str]:
    r"""Return the command and its standard input: ``%`` begins the input and each of its lines; ``\%`` is a ``%``."""
    command, is_escaped, position = "", False, 0
    for position, character in enumerate(text, 1):  # noqa: B007 - the position is used after the loop
        if is_escaped and character == "%":
            command = command[:-1] + "%"
        elif not is_escaped and character == "%":
            break
        else:
            command += character
        is_escaped = character == "\\" and not is_escaped
    else:
        return command, ""
    stdin, is_escaped = "", False
    for character in text[position:]:
        if is_escaped:
            stdin += "" if character == "%" else "\\"
        next_character = "\n" if character == "%" and not is_escaped else character
        is_escaped = character == "\\"
        stdin += "" if is_escaped else next_character
    stdin += "\\" if is_escaped else ""
    return command, stdin if stdin.endswith("\n") or not stdin else stdin + "\n"


def join_stdin(command: str, stdin: str) -> str:
    r"""Return the text from which `split_stdin` makes a command and its input.

    Raises:
        ValueError: there is none, because a ``\`` precedes a ``%`` or the end of a line, or the command has a newline.
    """
    text = command.replace("%", "\\%")
    if stdin:
        lines = stdin.removesuffix("\n")
        text += "%" + lines.replace("%", "\\%").replace("\n", "%")
    expected = (command, stdin if not stdin or stdin.endswith("\n") else stdin + "\n")
    if "\n" in command or "\0" in text or split_stdin(text) != expected:
        raise ValueError("a crontab cannot express this text")
    return text


def is_commented_out_job(text: str) -> bool:
    """Return whether the text of a comment is a job."""
    try:
        schedule, _, rest = split_job(text, is_system=False)
        check_schedule(schedule)
    except InvalidLine:
        return False
    return bool(rest)


def looks_like_system_crontab(lines: Iterable[Line], users: Iterable[str]) -> bool:
    """Return whether the commands of all jobs begin with the name of a user, which a crontab of a user has not.

    Args:
        lines: the lines, read as those of the crontab of a user.
        users: names of the users of this machine.
    """
    known = {*users, "root"}
    words = [line.command.split() for line in lines if isinstance(line, Job)]
    return bool(words) and all(len(each) > 1 and each[0] in known for each in words)
