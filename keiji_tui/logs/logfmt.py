"""Parses log lines: ``time=… level=… run=… msg="…"``, with Go's quoting.

A line that ends in ``more=1`` is continued by the next line of the same run and level.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

# Groups: what precedes the message, time, stream (level and run), level, service, run, message (escaped). The closing
# quote is missing if the line was cut.
FORMATTED = re.compile(
    r'(time=(\S+) (level=(\S+)(?: service=(\S+))?(?: run=(\S+))?) msg=)"([^"\\]*(?:\\.[^"\\]*)*)\\?"?(?: more=1)?',
    re.DOTALL,
)
CONTINUED = " more=1"
_PAIR = re.compile(r'([A-Za-z_][\w.]*)=("(?:[^"\\]|\\.)*"|\S*)(?:\s+|$)')
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
# Messages that a shim writes under the id of its run.
_SHIM_MESSAGES = re.compile(
    r"(?:run (?:succeeded|failed|stopped|timed out|lost) after .*|.*, exiting\.\.\.)", re.DOTALL
)
_ESCAPED = re.compile(r'[\\"\x00-\x1f\x7f-\x9f]')
_SIMPLE_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class LogLine:
    """A parsed line.

    Args:
        message: text with the escape sequences that the task printed.
        moment: when it was printed; None if the line has no time.
        level: in capitals; "" if the line has none.
        run: id of the run that printed it; "" for a message about the task.
        service: service of the engine that wrote it; "" in the log of a task.
    """

    message: str
    moment: datetime | None = None
    level: str = ""
    run: str = ""
    service: str = ""

    @property
    def is_error(self) -> bool:
        return self.level in {"ERROR", "FATAL"}

    @property
    def is_warning(self) -> bool:
        return self.level in {"WARN", "WARNING"}

    @property
    def is_life_cycle(self) -> bool:
        """Whether keiji wrote the line about the task, rather than the task itself."""
        if self.moment is None or self.service:
            return False
        return not self.run or bool(_SHIM_MESSAGES.fullmatch(self.message))


def parse(line: str) -> LogLine:
    """Parse a line. A line in another format becomes a message as a whole."""
    if match := FORMATTED.fullmatch(line):
        _, time, _, level, service, run, message = match.groups()
        return LogLine(unescape(message), parse_moment(time), level.upper(), run or "", service or "")
    fields: dict[str, str] = {}
    position = 0
    while match := _PAIR.match(line, position):
        fields[match[1]] = unescape(match[2][1:-1]) if match[2].startswith('"') else match[2]
        position = match.end()
    if position < len(line) or "msg" not in fields:
        return LogLine(line)
    return LogLine(
        fields["msg"],
        parse_moment(fields.get("time", "")),
        fields.get("level", "").upper(),
        fields.get("run", ""),
        fields.get("service", ""),
    )


def moment_of(line: str) -> datetime | None:
    """Return when a line was printed; None if it has no time."""
    return parse_moment(line[5 : line.find(" ", 5)]) if line.startswith("time=") else parse(line).moment


def unescape(text: str) -> str:
    """Return the value of a quoted string, given without its quotes."""
    return _ESCAPE.sub(_unescape, text) if "\\" in text else text


def quote(text: str) -> str:
    """Return a string whose value is ``text``."""
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    return f"\\{char}" if char in '"\\' else f"\\x{ord(char):02x}"


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) == 1:
        return _SIMPLE_ESCAPES.get(code, code)
    number = int(code, 8) if code.isdigit() and len(code) == 3 else int(code[1:], 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"


def parse_moment(text: str) -> datetime | None:
    """Return an ISO 8601 time; None if the text is not one, or has no time zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
