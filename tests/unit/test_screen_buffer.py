"""The terminal displays what the application writes, with fewer bytes."""

from __future__ import annotations

import random

import pytest
from rich.cells import cell_len
from terminal_emulator import TerminalEmulator

from keiji_tui.terminal.screen_buffer import ScreenBuffer

SIZE = (30, 8)
STYLES = ("", "1", "2", "4", "7", "1;38;5;9", "38;2;1;2;3;48;2;4;5;6", "38;5;7;48;5;1", "48;2;4;5;6", "97;40", "39;49")
NARROW = ("abc", " ", " " * 12, "●─│")
WIDE = (*NARROW, "日本", "e\u0301x", "\u5b57\u5b57\u5b57!", "👍")
COPY = "\x1b]52;c;eA==\x07"


class Terminal:
    """A screen buffer, the emulator that it updates, and another emulator that gets all output directly."""

    def __init__(self, *, can_erase: bool = True) -> None:
        self.buffer = ScreenBuffer(can_erase=can_erase)
        self.buffer.resize(*SIZE)
        self.displayed, self.wanted = TerminalEmulator(*SIZE), TerminalEmulator(*SIZE)

    def write(self, data: str) -> None:
        self.displayed.feed(self.buffer.write(data).encode())
        self.wanted.feed(data.encode())

    def update(self, limit: int = 1_000_000) -> str:
        """Bring the emulator up to date and return what was sent."""
        sent = ""
        while self.buffer.is_changed:
            update = self.buffer.render(limit)
            self.displayed.feed(update.encode())
            sent += update
        return sent


def frame(chance: random.Random, texts: tuple[str, ...]) -> str:
    """Return a frame as Textual writes them: spans at positions, each segment between its style and a reset."""
    spans = []
    for _ in range(chance.randrange(1, 12)):
        chosen = chance.choices(texts, k=chance.randrange(1, 3))
        x, y = chance.randint(1, SIZE[0] - cell_len("".join(chosen)) + 1), chance.randint(1, SIZE[1])
        spans.append(f"\x1b[{y};{x}H" + "".join(f"\x1b[{chance.choice(STYLES)}m{text}\x1b[0m" for text in chosen))
    return "\n".join(spans) + f"\x1b[{chance.randint(1, SIZE[1])};{chance.randint(1, SIZE[0])}H"


@pytest.mark.parametrize("can_erase", [True, False])
@pytest.mark.parametrize("texts", [NARROW, WIDE], ids=["narrow", "wide"])
def test_after_each_update_the_terminal_displays_what_was_written(can_erase: bool, texts: tuple[str, ...]) -> None:
    for seed in range(60):
        chance, terminal = random.Random(seed), Terminal(can_erase=can_erase)
        for _ in range(8):
            for _ in range(chance.randrange(1, 4)):
                terminal.write(frame(chance, texts))
            terminal.update(limit=chance.choice((1, 50, 1000)))
            assert visible(terminal.displayed) == visible(terminal.wanted), seed
            assert (terminal.displayed.x, terminal.displayed.y) == (terminal.wanted.x, terminal.wanted.y)


def visible(emulator: TerminalEmulator) -> list[list[tuple[object, ...]]]:
    """Return the visible properties of all cells: a blank without attributes has only a background."""
    return [
        [
            (char, style) if char != " " or style.attributes & {"4", "7"} else (char, style.background)
            for char, style in row
        ]
        for row in emulator.cells
    ]


def test_frames_that_were_not_displayed_are_skipped() -> None:
    terminal = Terminal()
    terminal.write("\x1b[1;1Hfirst\x1b[1;1H")
    terminal.update()
    for number in range(100):
        terminal.write(f"\x1b[2;1H\x1b[1mframe {number:03}\x1b[0m\x1b[1;1H")
    assert len(terminal.update()) < 40
    assert "frame 099" in terminal.displayed.text


def test_a_repaint_without_changes_sends_nothing() -> None:
    terminal = Terminal()
    for expected in (True, False):
        terminal.write("\x1b[1;1H\x1b[1;48;5;1mtitle" + " " * 25 + "\x1b[0m\x1b[1;1H")
        assert bool(terminal.update()) == expected


def test_of_a_clock_only_the_digits_that_change_are_sent() -> None:
    terminal = Terminal()
    terminal.write("\x1b[1;1H\x1b[38;5;7;48;5;1mkeiji" + " " * 17 + "11:59:58\x1b[0m\x1b[1;1H")
    terminal.update()
    terminal.write("\x1b[1;1H\x1b[38;5;7;48;5;1mkeiji" + " " * 17 + "11:59:59\x1b[0m\x1b[1;1H")
    assert terminal.update() == "\x1b[29C\x1b[38;5;7;48;5;1m9\x1b[m\x1b[H"


def test_modes_queries_and_the_bell_pass_through_in_order() -> None:
    buffer = ScreenBuffer()
    buffer.resize(*SIZE)
    modes, query, in_screen = "\x1b[?1049h\x1b[?25l\x07", "\x1b[?2026$p", f"\x1bP{COPY}\x1b\\"
    written = buffer.write(f"{modes}\x1b[1;1Htext{query}{COPY}{in_screen}")
    assert written == f"{modes}{query}{COPY}{in_screen}"


def test_the_alternate_screen_is_painted_again_after_it_was_left() -> None:
    terminal = Terminal()
    terminal.write("\x1b[?1049h\x1b[1;1Htext\x1b[1;1H")
    terminal.update()
    terminal.write("\x1b[?1049l\x1b[?1049h")
    assert "text" not in terminal.displayed.text
    terminal.update()
    assert "text" in terminal.displayed.text


def test_long_updates_are_synchronized_if_the_application_synchronizes() -> None:
    terminal = Terminal()
    for begin, end, letters in (("", "", "ab"), ("\x1b[?2026h", "\x1b[?2026l", "cd")):
        spans = (f"\x1b[{y};{x}H\x1b[1m{letters[x % 2]}\x1b[0m" for x in range(1, 30) for y in range(1, 9))
        terminal.write(begin + "".join(spans) + end)
        update = terminal.update()
        assert update.startswith(begin)
        assert update.endswith(end)
        assert ("2026" in update) == bool(begin)


def test_a_smaller_size_cuts_the_screen_and_clears_the_terminal() -> None:
    terminal = Terminal()
    terminal.write("\x1b[1;1Habcdef\x1b[8;1Hlast\x1b[1;1H")
    terminal.update()
    terminal.buffer.resize(3, 7)
    terminal.displayed.resize(3, 7)
    terminal.update()
    assert terminal.displayed.text.split() == ["abc"]
