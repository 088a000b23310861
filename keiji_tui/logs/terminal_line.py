r"""Shows a line that a program printed as a terminal would: carriage returns and cursor movements are applied.

A progress bar overwrites itself with ``\r``, ``\b`` and escape sequences. Only one line is emulated: sequences that
move the cursor to another row or erase the screen are ignored, so that a log does not lose its lines.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby

TAB_WIDTH = 8
_MAX_COLUMN = 240  # to which a sequence can move the cursor beyond the end of the line

# In this order: strings (OSC, DCS, SOS, PM, APC) up to their end or that of the text, CSI, other escapes, controls.
_TOKEN = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])(?:[^\x07\x1b\x9c]|\x1b(?!\\))*(?:\x07|\x1b\\|\x9c|$)"
    r"|(?:\x1b\[|\x9b)(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~]|$)"
    r"|\x1b[ -/]*(?P<escape>[0-~]?)"
    r"|(?P<control>[\r\x08\t])"
)
# What has to be emulated. Other sequences (colours) and a carriage return at the end of the line do not.
_CSI_MOVE = r"[0-?]*[ -/]*[@CDGKPXsu`]"
_MOVES = re.compile(  # the set of first characters comes first, because it makes the search fast
    rf"[\r\x08\x1b\x9b](?:(?<=\r)(?!\r*$)|(?<=\x08)|(?<=\x9b){_CSI_MOVE}|(?<=\x1b)(?:\[{_CSI_MOVE}|[78]))"
)
_INCOMPLETE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*)?$")  # a sequence that is cut off at the end of a fragment
_SGR_NUMBERS = re.compile(r"[0-9;:]*")
_RESETS = {22: (1, 2), 23: (3,), 24: (4, 21), 25: (5, 6), 27: (7,), 28: (8,), 29: (9,), 55: (53,)}

Style = tuple[tuple[str, str], ...]  # SGR parameters by what they set: an attribute, "fg" or "bg"


def has_moves(message: str) -> bool:
    """Return whether a message has to be emulated."""
    has_tab = "\t" in message and ("\x1b" in message or "\x9b" in message)  # whose width depends on the column
    return has_tab or _MOVES.search(message) is not None


def emulate(message: str) -> str:
    """Return a message without carriage returns and cursor movements. Other sequences may remain."""
    if not has_moves(message):
        return message.rstrip("\r\n")
    line = _TerminalLine()
    line.feed(message)
    return line.text()


def compact(message: str) -> str:
    """Return a shorter message with the same effect on a terminal, including on what is printed after it."""
    line = _TerminalLine()
    incomplete = _INCOMPLETE.search(message)
    end = incomplete.start() if incomplete else len(message)
    line.feed(message[:end])
    start = "\r" if message.startswith("\r") else ""  # the message may itself continue another one
    return f"{start}{line.text(is_continued=True)}{message[end:]}"


class _TerminalLine:
    """One row of a terminal. Each column has a character and a style.

    A character includes its combining characters. It is "" in the second column of a wide character.
    """

    def __init__(self) -> None:
        self._chars: list[str] = []
        self._styles: list[Style] = []
        self._column = self._saved_column = 0
        self._style: Style = ()

    def feed(self, message: str) -> None:
        end = 0
        for match in _TOKEN.finditer(message):
            self._write(message[end : match.start()])
            end = match.end()
            if match["control"]:
                self._control(match["control"])
            elif match["final"] == "m":
                if _SGR_NUMBERS.fullmatch(match["parameters"]):
                    self._style = _apply_sgr(self._style, match["parameters"])
            elif match["final"]:
                self._csi(match["final"], match["parameters"])
            elif match["escape"]:
                self._escape(match["escape"])
        self._write(message[end:])

    def text(self, *, is_continued: bool = False) -> str:
        """Return the row; if more follows, with the position of the cursor and the current style."""
        parts: list[str] = []
        last: Style = ()
        for style, group in groupby(zip(self._styles, self._chars, strict=True), key=lambda cell: cell[0]):
            parts += [_sgr(last, style), *(char for _, char in group)]
            last = style
        parts.append(_sgr(last, self._style if is_continued else ()))
        if not is_continued:
            return "".join(parts).rstrip(" ")
        if self._column != len(self._chars):
            parts.append(f"\x1b[{self._column + 1}G")
        return "".join(parts)

    def _write(self, text: str) -> None:
        if text.isascii():
            self._put(text if text.isprintable() else [char for char in text if char.isprintable() or char == "\n"])
            return
        for char in text:
            if unicodedata.category(char) in {"Cf", "Me", "Mn"}:
                if 0 < self._column <= len(self._chars):
                    self._chars[self._column - 1] += char
            elif unicodedata.east_asian_width(char) in {"W", "F"}:
                self._put((char, ""))
            else:
                self._put(char)

    def _put(self, new: Sequence[str]) -> None:
        chars, column = self._chars, self._column
        end = column + len(new)
        self._pad(column)
        if end < len(chars) and not chars[end]:  # half of a wide character is overwritten
            chars[end] = " "
        if 0 < column < len(chars) and not chars[column]:
            chars[column - 1] = " "
        chars[column:end] = new
        self._styles[column:end] = [self._style] * len(new)
        self._column = end

    def _pad(self, column: int) -> None:
        self._insert_blanks(len(self._chars), column - len(self._chars))

    def _insert_blanks(self, column: int, count: int) -> None:
        self._chars[column:column] = " " * count
        self._styles[column:column] = [()] * count

    def _delete(self, begin: int, end: int | None = None) -> None:
        del self._chars[begin:end]
        del self._styles[begin:end]

    def _blank(self, begin: int, end: int) -> None:
        end = min(end, len(self._chars))
        if begin < end:
            self._delete(begin, end)
            self._insert_blanks(begin, end - begin)

    def _move(self, column: int) -> None:
        self._column = max(0, min(column, max(len(self._chars), _MAX_COLUMN)))

    def _control(self, control: str) -> None:
        if control == "\r":
            self._column = 0
        elif control == "\b":
            self._move(self._column - 1)
        else:
            self._column += TAB_WIDTH - self._column % TAB_WIDTH
            self._pad(self._column)

    def _escape(self, final: str) -> None:
        if final == "7":
            self._saved_column = self._column
        elif final == "8":
            self._column = self._saved_column

    def _csi(self, final: str, parameters: str) -> None:
        numbers = [int(number[:6]) if number.isdigit() else 0 for number in parameters.split(";")]
        count, column = max(1, numbers[0]), self._column
        match final:
            case "C":
                self._move(column + count)
            case "D":
                self._move(column - count)
            case "G" | "`":
                self._move(count - 1)
            case "K":
                self._erase(numbers[0])
            case "P":
                self._delete(column, column + count)
            case "@":
                self._insert_blanks(column, min(count, _MAX_COLUMN))
            case "X":
                self._blank(column, column + count)
            case "s":
                self._saved_column = column
            case "u":
                self._column = self._saved_column

    def _erase(self, mode: int) -> None:
        if mode == 0:
            self._delete(self._column)
        elif mode == 1:
            self._blank(0, self._column + 1)
        else:
            self._delete(0)


def _apply_sgr(style: Style, parameters: str) -> Style:
    """Return the style after an SGR sequence."""
    values = dict(style)
    numbers = [int(number[:6] or 0) for number in re.sub(r"([34]8):2:\d*:(?=\d+:\d+:\d)", r"\1:2:", parameters)
               .replace(":", ";").split(";")]  # fmt: skip
    while numbers:
        number = numbers.pop(0)
        if number == 0:
            values.clear()
        elif number in (38, 48) and numbers:
            length = {5: 2, 2: 4}.get(numbers[0], 1)
            values["fg" if number == 38 else "bg"] = ";".join(map(str, [number, *numbers[:length]]))
            del numbers[:length]
        elif 30 <= number <= 37 or 90 <= number <= 97:
            values["fg"] = str(number)
        elif 40 <= number <= 47 or 100 <= number <= 107:
            values["bg"] = str(number)
        elif number in (39, 49):
            values.pop("fg" if number == 39 else "bg", None)
        elif number in _RESETS:
            for attribute in _RESETS[number]:
                values.pop(str(attribute), None)
        elif number in (*range(1, 10), 21, 53):
            values[str(number)] = str(number)
    return tuple(values.items())


def _sgr(before: Style, after: Style) -> str:
    """Return the sequence that changes one style to another."""
    if before == after:
        return ""
    codes = ";".join(value for _, value in after)
    return f"\x1b[{codes}m" if codes and not before else f"\x1b[0;{codes}m" if codes else "\x1b[0m"
