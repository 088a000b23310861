"""A double buffer between the application and the terminal: only cells that differ are sent.

The application repaints whole lines, and often the whole screen. `ScreenBuffer` interprets that output, keeps the
wanted and the displayed contents of each cell, and renders the difference between the two. Frames that the terminal
cannot receive in time therefore replace each other instead of queueing up.

Pure: no terminal, no threads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

from rich.cells import get_character_cell_size, split_graphemes

_TOKEN = re.compile(
    r"(\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1bP[^\x1b]*\x1b\\|\x1b.|[\x00-\x1f\x7f])"
)
_SGR = re.compile(r"\x1b\[([\d;:]*)m")
_MOVE = re.compile(r"\x1b\[(?:(\d+)(?:;(\d+))?)?H")
_CODE = re.compile(r"[34]8[;:](?:5[;:]\d+|2[;:]\d+[;:]\d+[;:]\d+)|\d+")
_SYNCHRONIZED = {"\x1b[?2026h": True, "\x1b[?2026l": False}
_CLEAR_SCREEN = ("\x1b[?1049h", "\x1b[?1049l", "\x1b[2J")
_VISIBLE_ON_BLANKS = frozenset({"4", "5", "7", "9", "21", "53"})  # underline, blink, reverse, strike, overline
_DEFAULT_FOREGROUND, _DEFAULT_BACKGROUND = 39, 49
_SHORT_GAP = 4  # cells; writing them again is not longer than moving the cursor
_LONG_BLANK = 10  # cells; erasing them and moving the cursor is shorter than writing them
_SYNCHRONIZED_LENGTH = 256  # characters; shorter updates are not worth the sequences around them

Style = str  # SGR parameters; "" for the default
Cell = tuple[str, Style]  # a character with its combining marks; "" in the second cell of a wide character
_BLANK: Cell = (" ", "")


@dataclass(slots=True)
class _Row:
    """The cells of one line, as far as they were written, and whether the width of one of them may be ambiguous."""

    cells: list[Cell] = field(default_factory=list)
    is_complex: bool = False


class ScreenBuffer:
    """The wanted and the displayed contents of a terminal.

    Args:
        can_erase: whether erased cells get the current background colour (terminfo: ``bce``).
    """

    def __init__(self, *, can_erase: bool = False) -> None:
        self._columns = self._lines = 0
        self._can_erase = can_erase
        self._wanted: list[_Row] = []
        self._displayed: list[_Row] = []
        self._changed: set[int] = set()  # lines that may differ
        self._x = self._y = 0  # where the application writes
        self._style: Style = ""  # in which it writes
        self._cursor: tuple[int, int] | None = None  # of the terminal; None: unknown
        self._is_synchronized = self._needs_clear = False

    @property
    def is_changed(self) -> bool:
        """Whether the terminal may not display what is wanted."""
        return bool(self._changed) or self._needs_clear or self._cursor != (self._x, self._y)

    def write(self, data: str) -> str:
        """Interpret output of the application.

        Returns:
            What is not part of the screen, such as modes, queries and the bell, to be sent before anything else.
        """
        other: list[str] = []
        tokens = _TOKEN.split(data)
        for text, sequence in zip(tokens[::2], [*tokens[1::2], ""], strict=True):
            if text:
                self._put(text)
            if sequence:
                self._interpret(sequence, other)
        if other:
            self._cursor = None
        return "".join(other)

    def _interpret(self, sequence: str, other: list[str]) -> None:
        if style := _SGR.fullmatch(sequence):
            self._style = _combine(self._style, style[1])
        elif move := _MOVE.fullmatch(sequence):
            self._y, self._x = int(move[1] or 1) - 1, int(move[2] or 1) - 1
        elif sequence in _SYNCHRONIZED:
            self._is_synchronized = True
        elif sequence == "\r":
            self._x = 0
        elif sequence == "\n":
            self._y += 1
        elif sequence == "\x07" or sequence[0] == "\x1b":
            if sequence in _CLEAR_SCREEN:
                self._displayed = [_Row() for _ in range(self._lines)]
                self._changed.update(range(self._lines))
            other.append(sequence)

    def _put(self, text: str) -> None:
        """Write text at the cursor; what does not fit into the line is cut off."""
        if not 0 <= self._y < self._lines:
            return
        row = self._wanted[self._y]
        cells, x = row.cells, self._x
        if len(cells) < x:
            cells += [_BLANK] * (x - len(cells))
        style = _blank_style(self._style) if text.isspace() else self._style
        if _is_simple(text):
            new = [(char, style) for char in text]
        else:
            row.is_complex = True
            new = _split_cells(text, style)
        self._x = x + len(new)
        if row.is_complex:  # half of a wide character is not displayed
            if x < len(cells) and not cells[x][0]:
                cells[x - 1] = (" ", cells[x - 1][1])
            if self._x < len(cells) and not cells[self._x][0]:
                cells[self._x] = (" ", cells[self._x][1])
        cells[x : self._x] = new
        del cells[self._columns :]
        self._changed.add(self._y)

    def resize(self, columns: int, lines: int) -> None:
        """Change the size. The terminal is cleared, because terminals differ in what they keep."""
        self._wanted[lines:] = [_Row() for _ in range(lines - len(self._wanted))]
        for row in self._wanted:
            del row.cells[columns:]
        self._columns, self._lines = columns, lines
        self.invalidate()

    def invalidate(self) -> None:
        """Clear the terminal and send everything again."""
        self._displayed = [_Row() for _ in range(self._lines)]
        self._changed = set(range(self._lines))
        self._needs_clear = True

    def render(self, limit: int) -> str:
        """Return what makes the terminal display what is wanted; whole lines, until ``limit`` is reached."""
        output: list[str] = []
        length = 0
        pen = _Pen(self._cursor, self._columns, can_erase=self._can_erase)
        if self._needs_clear:
            output.append("\x1b[0m\x1b[2J")
            self._needs_clear, pen.cursor = False, None
        for y in sorted(self._changed):
            if length >= limit:
                break
            self._changed.discard(y)
            if y < self._lines:
                length += self._render_row(y, pen)
        output += pen.finish()
        if not self._changed and pen.cursor != (self._x, self._y):
            output.append(_move(pen.cursor, self._x, self._y))
            pen.cursor = (self._x, self._y)
        self._cursor = pen.cursor
        rendered = "".join(output)
        if self._is_synchronized and len(rendered) > _SYNCHRONIZED_LENGTH:
            return f"\x1b[?2026h{rendered}\x1b[?2026l"
        return rendered

    def _render_row(self, y: int, pen: _Pen) -> int:
        """Render one line and return the length of the output."""
        wanted, displayed = self._wanted[y], self._displayed[y]
        if wanted.cells == displayed.cells:
            return 0
        new, old = (row.cells + [_BLANK] * (self._columns - len(row.cells)) for row in (wanted, displayed))
        if wanted.is_complex or displayed.is_complex:
            # A terminal may disagree about the width of a character, so the positions of the others are unknown.
            spans = [(0, self._columns)]
            wanted.is_complex = not all(_is_simple(char) for char, _ in new)
        else:
            spans = _changed_spans(new, old)
        length = sum(pen.write(y, begin, new[begin:end], is_last=end == self._columns) for begin, end in spans)
        self._displayed[y] = _Row(new, wanted.is_complex)
        wanted.cells = new.copy()
        return length


class _Pen:
    """Writes cells, with as few sequences as possible.

    Attributes:
        cursor: position of the terminal's cursor; None if unknown.
    """

    def __init__(self, cursor: tuple[int, int] | None, columns: int, *, can_erase: bool) -> None:
        self.cursor = cursor
        self._columns = columns
        self._can_erase = can_erase
        self._style: Style = ""
        self._output: list[str] = []

    def write(self, y: int, x: int, cells: list[Cell], *, is_last: bool) -> int:
        """Write cells at a position; ``is_last`` if they end at the last column. Returns the length of the output."""
        begin = len(self._output)
        runs = [(style, [char for char, _ in run]) for style, run in groupby(cells, key=itemgetter(1))]
        for index, (style, chars) in enumerate(runs):
            text, count = "".join(chars), len(chars)
            is_blank = self._can_erase and text.isspace() and not _VISIBLE_ON_BLANKS & _parse(style).attributes
            if is_blank and is_last and index == len(runs) - 1 and count > len("\x1b[K"):
                self._go_to(x, y)
                self._set_style(style)
                self._output.append("\x1b[K")
                break
            if is_blank and count >= _LONG_BLANK:
                self._go_to(x, y)
                self._set_style(style)
                self._output.append(f"\x1b[{count}X")
            else:
                self._go_to(x, y)
                self._set_style(style)
                self._output.append(text)
                # The cursor stays in the last column, where terminals differ in what the next movement starts from.
                self.cursor = (x + count, y) if x + count < self._columns else None
            x += count
        return sum(map(len, self._output[begin:]))

    def finish(self) -> list[str]:
        """Reset the style and return the output."""
        self._set_style("")
        return self._output

    def _go_to(self, x: int, y: int) -> None:
        if self.cursor != (x, y):
            self._output.append(_move(self.cursor, x, y))
            self.cursor = (x, y)

    def _set_style(self, style: Style) -> None:
        if style != self._style:
            self._output.append(_transition(self._style, style))
            self._style = style


def _changed_spans(new: list[Cell], old: list[Cell]) -> list[tuple[int, int]]:
    """Return the changed columns as ranges; a short unchanged gap in the same style does not split a range."""
    spans: list[tuple[int, int]] = []
    for x, (one, other) in enumerate(zip(new, old, strict=True)):
        if one == other:
            continue
        if spans:
            begin, end = spans[-1]
            style = new[end - 1][1]
            if x - end <= _SHORT_GAP and all(cell[1] == style for cell in new[end:x]):
                spans[-1] = (begin, x + 1)
                continue
        spans.append((x, x + 1))
    return spans


def _move(cursor: tuple[int, int] | None, x: int, y: int) -> str:
    """Return the shortest sequence that moves the cursor."""
    if cursor is not None and cursor[1] == y and x > cursor[0]:
        return f"\x1b[{x - cursor[0]}C" if x - cursor[0] > 1 else "\x1b[C"
    if x == 0:
        return f"\x1b[{y + 1}H" if y else "\x1b[H"
    return f"\x1b[{y + 1};{x + 1}H"


# ── characters ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _is_simple(text: str) -> bool:
    """Return whether each character takes exactly one cell."""
    return text.isascii() or all(map(_is_narrow, text))


@lru_cache(4096)
def _is_narrow(char: str) -> bool:
    return get_character_cell_size(char) == 1


def _split_cells(text: str, style: Style) -> list[Cell]:
    cells: list[Cell] = []
    for begin, end, width in split_graphemes(text)[0]:
        if width:  # a combining mark without a character is dropped
            cells += [(text[begin:end], style), *[("", style)] * (width - 1)]
    return cells


# ── styles ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Parsed:
    """SGR parameters, in parts."""

    foreground: str = ""
    background: str = ""
    attributes: frozenset[str] = frozenset()

    @property
    def codes(self) -> Style:
        return ";".join(filter(None, (*sorted(self.attributes, key=int), self.foreground, self.background)))


@lru_cache(8192)
def _parse(style: Style) -> _Parsed:
    foreground = background = ""
    attributes: set[str] = set()
    for code in _CODE.findall(style):
        number = int(code[:2]) if code[2:3] in (";", ":") else int(code)
        if number in range(30, 40) or number in range(90, 98):
            foreground = "" if number == _DEFAULT_FOREGROUND else code
        elif number in range(40, 50) or number in range(100, 108):
            background = "" if number == _DEFAULT_BACKGROUND else code
        else:
            attributes.add(code)
    return _Parsed(foreground, background, frozenset(attributes))


@lru_cache(8192)
def _combine(style: Style, parameters: str) -> Style:
    """Return the style after an SGR sequence; only a reset removes attributes, as in the output of Rich."""
    if parameters in ("", "0"):
        return ""
    before, new = _parse(style), _parse(parameters)
    return _Parsed(
        new.foreground or before.foreground, new.background or before.background, before.attributes | new.attributes
    ).codes


@lru_cache(8192)
def _blank_style(style: Style) -> Style:
    """Return what is visible of a style in a blank cell."""
    parsed = _parse(style)
    return style if _VISIBLE_ON_BLANKS & parsed.attributes else parsed.background


@lru_cache(8192)
def _transition(before: Style, after: Style) -> str:
    """Return the shortest SGR sequence that changes one style into another."""
    if not after:
        return "\x1b[m"
    old, new = _parse(before), _parse(after)
    choices = [f"0;{after}" if before else after]
    if old.attributes <= new.attributes:
        added = sorted(new.attributes - old.attributes, key=int)
        foreground = (new.foreground or "39") if new.foreground != old.foreground else ""
        background = (new.background or "49") if new.background != old.background else ""
        choices.append(";".join(filter(None, (*added, foreground, background))))
    return f"\x1b[{min(choices, key=len)}m"
