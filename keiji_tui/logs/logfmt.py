"""One line of a log, taken apart: ``time=… level=… run=… msg="…"``, the value quoted as Go quotes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

_PAIR = re.compile(r'([A-Za-z_][\w.]*)=("(?:[^"\\]|\\.)*"|\S*)(?:\s+|$)')
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
# What a shim writes under the id of its run, as the run itself cannot be told from it otherwise.
_OWN_WORDS = re.compile(r"(?:run (?:succeeded|failed|stopped|timed out|lost) after .*|.*, exiting\.\.\.)", re.DOTALL)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a line says.

    Args:
        moment: when; None where the line does not say.
        level: in capitals, "" where the line does not say.
        run: the id of the run that printed it; "" for a line about the task.
        service: which part of the engine wrote it about itself; "" in the log of a task.
        message: still with whatever escape codes the task printed.
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
        """Whether keiji says this about the task, rather than the task itself."""
        return (
            self.moment is not None and not self.service and (not self.run or bool(_OWN_WORDS.fullmatch(self.message)))
        )


def parse(line: str) -> LogLine:
    """Read a line. One that is not of our form is a message as it stands."""
    fields: dict[str, str] = {}
    position = 0
    while match := _PAIR.match(line, position):
        fields[match[1]] = unquoted(match[2]) if match[2].startswith('"') else match[2]
        position = match.end()
    if position < len(line) or "msg" not in fields:
        return LogLine(line)
    return LogLine(
        fields["msg"],
        _moment(fields.get("time", "")),
        fields.get("level", "").upper(),
        fields.get("run", ""),
        fields.get("service", ""),
    )


def moment_of(line: str) -> datetime | None:
    """Return when a line was printed; None where it does not say."""
    return _moment(line[5 : line.find(" ", 5)]) if line.startswith("time=") else parse(line).moment


def unquoted(text: str) -> str:
    """Return what a quoted value stands for."""
    return _ESCAPE.sub(_letter, text[1:-1])


def _letter(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) == 1:
        return _SIMPLE.get(code, code)
    number = int(code, 8) if code.isdigit() and len(code) == 3 else int(code[1:], 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
