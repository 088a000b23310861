"""A small terminal emulator: it interprets the output of a program, and answers the queries of real terminals."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field

from rich.cells import get_character_cell_size

_SEQUENCE = re.compile(
    r"\x1b\[(?P<parameters>[0-?]*)(?P<intermediates>[ -/]*)(?P<final>[@-~])"
    r"|\x1b(?P<string>[\]P])(?P<body>[^\x07\x1b]*)(?:\x07|\x1b\\)"
    r"|\x1b(?P<other>[^\[\]P])"
)
_INCOMPLETE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]P][^\x07\x1b]*\x1b?)?\Z")
_SGR_COLOUR = re.compile(r"(?P<which>[34]8);(?:5;\d+|2;\d+;\d+;\d+)")
_ATTRIBUTES_OFF = {"22": ("1", "2"), "23": ("3",), "24": ("4",), "25": ("5",), "27": ("7",), "29": ("9",)}


@dataclass(frozen=True)
class CellStyle:
    """The colours and attributes of a cell, as SGR parameters."""

    foreground: str = ""
    background: str = ""
    attributes: frozenset[str] = frozenset()

    def apply(self, parameters: str) -> CellStyle:
        """Return the style after an SGR sequence."""
        foreground, background, attributes = self.foreground, self.background, set(self.attributes)
        colours = {match["which"]: match[0] for match in _SGR_COLOUR.finditer(parameters)}
        for code in _SGR_COLOUR.sub("", parameters).split(";"):
            if code in ("", "0") and (code or not colours):
                foreground = background = ""
                attributes.clear()
            elif code in _ATTRIBUTES_OFF:
                attributes.difference_update(_ATTRIBUTES_OFF[code])
            elif code == "39":
                foreground = ""
            elif code == "49":
                background = ""
            elif (code[:1] == "3" and len(code) == 2) or (code[:1] == "9" and len(code) == 2):
                foreground = code
            elif (code[:1] == "4" and len(code) == 2) or (code[:2] == "10" and len(code) == 3):
                background = code
            elif code:
                attributes.add(code)
        return CellStyle(colours.get("38", foreground), colours.get("48", background), frozenset(attributes))

    @property
    def erased(self) -> CellStyle:
        """The style of a cell that is erased while this style is active (background colour erase)."""
        return CellStyle(background=self.background)


Cell = tuple[str, CellStyle]
BLANK: Cell = (" ", CellStyle())


@dataclass
class TerminalEmulator:
    """The screen, the modes and the replies of a terminal.

    Attributes:
        modes: the private modes that are set, such as 1049 for the alternate screen.
        strings: the bodies of all OSC and DCS sequences received.
        replies: what the terminal has to send to the program; the caller takes it from here.
    """

    columns: int = 80
    lines: int = 24
    modes: set[int] = field(default_factory=lambda: {7, 25})
    strings: list[str] = field(default_factory=list)
    replies: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._incomplete = ""
        self._style = CellStyle()
        self.x = self.y = 0
        self._main_screen: tuple[list[list[Cell]], int, int] | None = None  # and the cursor
        self.clear()

    def clear(self) -> None:
        self.cells = [[BLANK] * self.columns for _ in range(self.lines)]

    def resize(self, columns: int, lines: int) -> None:
        """Change the size; what fits stays."""
        for row in self.cells:
            row[columns:] = [BLANK] * (columns - len(row))
        self.cells[lines:] = [[BLANK] * columns for _ in range(lines - len(self.cells))]
        self.columns, self.lines = columns, lines

    @property
    def text(self) -> str:
        """The text on the screen, one line per row."""
        return "\n".join("".join(char for char, _ in row).rstrip() for row in self.cells)

    def feed(self, data: bytes) -> None:
        """Interpret output of the program."""
        text = self._incomplete + self._decoder.decode(data)
        incomplete = _INCOMPLETE.search(text)
        self._incomplete = incomplete[0] if incomplete else ""
        text = text[: len(text) - len(self._incomplete)]
        position = 0
        for match in _SEQUENCE.finditer(text):
            self._print(text[position : match.start()])
            position = match.end()
            if match["final"]:
                self._control(match["parameters"], match["intermediates"], match["final"])
            elif match["string"]:
                self.strings.append(match["body"])
        self._print(text[position:])

    def _print(self, text: str) -> None:
        for char in text:
            if char == "\r":
                self.x = 0
            elif char == "\n":
                self.y = min(self.y + 1, self.lines - 1)
            elif char == "\b":
                self.x = max(self.x - 1, 0)
            elif char >= " ":
                self._write(char)

    def _write(self, char: str) -> None:
        width = get_character_cell_size(char)
        row = self.cells[self.y]
        if width == 0:
            if 0 < self.x <= self.columns:
                row[self.x - 1] = (row[self.x - 1][0] + char, row[self.x - 1][1])
            return
        if self.x + width > self.columns:
            self.x = self.columns - width
        for x, half in ((self.x, self.x - 1), (self.x + width, self.x + width)):
            if x < self.columns and row[x][0] == "":  # half of a wide character is not displayed
                row[half] = (" ", row[half][1])
        for offset in range(width):
            row[self.x + offset] = (char if offset == 0 else "", self._style)
        self.x += width

    def _control(self, parameters: str, intermediates: str, final: str) -> None:
        if parameters.startswith("?"):
            self._private(parameters[1:], intermediates, final)
            return
        if intermediates or parameters[:1] in ("<", ">", "="):
            return
        numbers = [int(number or 0) for number in parameters.split(";")] if final != "m" else []
        first = numbers[0] if numbers else 0
        row = self.cells[self.y]
        match final:
            case "m":
                self._style = self._style.apply(parameters)
            case "H":
                column = numbers[1] if len(numbers) > 1 else 1
                self.y, self.x = min(max(first, 1), self.lines) - 1, min(max(column, 1), self.columns) - 1
            case "A" | "B":
                self.y = min(max(self.y + max(first, 1) * (1 if final == "B" else -1), 0), self.lines - 1)
            case "C" | "D":
                self.x = min(max(self.x + max(first, 1) * (1 if final == "C" else -1), 0), self.columns - 1)
            case "G":
                self.x = min(max(first, 1), self.columns) - 1
            case "K":
                begin, end = {0: (self.x, self.columns), 1: (0, self.x + 1), 2: (0, self.columns)}[first]
                row[begin:end] = [(" ", self._style.erased)] * (end - begin)
            case "X":
                end = min(self.x + max(first, 1), self.columns)
                row[self.x : end] = [(" ", self._style.erased)] * (end - self.x)
            case "J":
                assert first == 2, "only the whole screen is ever erased"
                self.cells = [[(" ", self._style.erased)] * self.columns for _ in range(self.lines)]
            case "n":
                self.replies += b"\x1b[0n" if first == 5 else f"\x1b[{self.y + 1};{self.x + 1}R".encode()

    def _private(self, parameters: str, intermediates: str, final: str) -> None:
        if intermediates == "$" and final == "p":
            self.replies += f"\x1b[?{parameters};{2 if parameters == '2026' else 0}$y".encode()
        for mode in map(int, filter(None, parameters.split(";"))) if final in "hl" else ():
            (self.modes.add if final == "h" else self.modes.discard)(mode)
            if mode == 1049 and final == "h" and self._main_screen is None:
                self._main_screen = self.cells, self.x, self.y
                self.clear()
            elif mode == 1049 and final == "l" and self._main_screen is not None:
                self.cells, self.x, self.y = self._main_screen
                self._main_screen = None
