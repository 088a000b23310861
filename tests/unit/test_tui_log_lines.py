"""Log lines: parsed, joined from their fragments, and displayed as a terminal would show them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji_engine.logs.line_format import StreamFormatter
from keiji_tui.logs.buffer import LogBuffer
from keiji_tui.logs.chunk import MAX_LINE_CHARS, Chunk, Line, join_fragments
from keiji_tui.logs.display import display
from keiji_tui.logs.line import line_kind, original_message, plain_message
from keiji_tui.logs.logfmt import LogLine, parse, quote, unescape
from keiji_tui.logs.match_protocol import Export, LineFilter, Locate, Select
from keiji_tui.logs.match_worker import respond
from keiji_tui.logs.terminal_line import compact, emulate
from keiji_tui.text.sanitise import plain, sanitise_line

LINE = 'time=2024-08-11T13:31:57.164+03:00 level=INFO run=01ab msg="status:  200"'
MOMENT = datetime(2024, 8, 11, 13, 31, 57, 164000, timezone(timedelta(hours=3)))


# ── parsing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_fields_of_a_line_are_parsed() -> None:
    assert parse(LINE) == LogLine("status:  200", MOMENT, "INFO", "01ab")
    assert parse(LINE.replace("run=01ab", "service=bus")) == LogLine("status:  200", MOMENT, "INFO", "", "bus")


@pytest.mark.parametrize(
    ("quoted", "message"),
    [
        (r'"a \"quoted\" word"', 'a "quoted" word'),
        (r'"back\\slash"', "back\\slash"),
        (r'"tab\tand\x1b[31m red"', "tab\tand\x1b[31m red"),
        (r'"\u00e9\U0001f600\101"', "é😀A"),
        (r'"\ud800"', "\ufffd"),
        ('"msg=inner level=ERROR"', "msg=inner level=ERROR"),
        ("bare", "bare"),
        ('""', ""),
        (r'"cut \"off', 'cut "off'),
    ],
)
def test_escapes_in_a_message_are_resolved(quoted: str, message: str) -> None:
    line = parse(f"time=2024-08-11T13:31:57+03:00 level=INFO run=1 msg={quoted}")
    assert line.message == message
    assert line.level == "INFO"


@given(st.text(st.characters(codec="utf-8")))
def test_a_quoted_message_is_parsed_as_it_was(message: str) -> None:
    assert unescape(quote(message)[1:-1]) == message
    assert parse(f"time=2024-08-11T13:31:57+03:00 level=INFO run=1 msg={quote(message)}").message == message


@pytest.mark.parametrize(
    "text", ["", "plain words", 'msg="never closed', "level=INFO no message", "2024/08/10 started"]
)
def test_a_line_in_another_format_is_a_message_as_a_whole(text: str) -> None:
    assert parse(text) == LogLine(text)


def test_messages_of_keiji_are_distinguished_from_output_of_the_task() -> None:
    assert not parse(LINE).is_life_cycle
    assert parse('time=2024-08-11T13:31:57+03:00 level=INFO msg="task ping interval: 10"').is_life_cycle
    assert parse('time=2024-08-11T13:31:57+03:00 level=INFO run=1 msg="task disabled, exiting..."').is_life_cycle
    assert parse('time=2024-08-11T13:31:57+03:00 level=INFO run=1 msg="run stopped after 2.3 s: stopped"').is_life_cycle
    assert not parse("some words").is_life_cycle
    assert not parse("run stopped after 2.3 s").is_life_cycle


CONTROLS = "\x1b[]?;:0123456789mHJPX^_\\\x07\x9b\x9d\x9ca \u200d\n\r\t\b報KCDG@"

# ── sanitising ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[38:5:196mx", "\x1b[38;5;196mx"),
        ("a\x1b[2Jb\x1b[10;10Hc\x1b[?25l", "abc"),
        ("a\x1b]0;title\x07b\x1b]52;c;aGk=\x1b\\c", "abc"),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "alink"),
        ("a\x1bPq#0\x1b\\b\x1bcc\x1b(Bd", "abcd"),
        ("a\x9b2Jb\x9d0;t\x9cc", "abc"),
        ("never closed\x1b]0;title", "never closed"),
        ("cut \x1b[3", "cut "),
        ("bell\x07 null\x00 back\x08", "bell null back"),
        ("10%\r50%\r100%", "100%"),
        ("windows\r", "windows"),
        ("a\tb", "a       b"),
        ("zero\u200bwidth \u202eright-to-left\u2066", "zerowidth right-to-left"),
        ("👨\u200d👩 ❤\ufe0f", "👨👩 ❤"),
        ("\x1b]52;c;ZXZpbA==\x07safe", "safe"),
        ("\x1b]52;c;ZXZpbA==", ""),
        ("\x1b]9;4;1;50\x1b\\half", "half"),
        ("\x1b[2J\x1b[Hcleared", "cleared"),
        ("\x1b[31;1mred\x1b[2K\x1b[m", "\x1b[31;1mred\x1b[m"),
        ("\x1b[?1049h\x1b[>4;2m\x1b[<u", ""),
        ("שלום \u200fעולם \u202babc\u202c", "שלום עולם abc"),
        ("e\u0301 ก็ 한국어 ㍿", "e\u0301 ก็ 한국어 ㍿"),
        ("\U000e0041\u2060tag\ufeff", "tag"),
        ("[/b] [prod] 報告", "[/b] [prod] 報告"),
    ],
)
def test_only_colours_remain_of_escape_sequences(printed: str, shown: str) -> None:
    assert sanitise_line(printed) == shown


@given(st.text(alphabet=st.sampled_from(CONTROLS), max_size=60))
def test_displayed_text_has_no_control_characters(text: str) -> None:
    for shown in (display(text), sanitise_line(text), display(compact(text))):
        assert re.sub(r"\x1b\[[0-9;]*m", "", shown).isprintable()
    assert plain(text).isprintable()


def test_a_long_message_is_cut_with_the_number_of_missing_characters() -> None:
    shown = display("x" * 10_000, 100)
    assert shown == "x" * 100 + "\x1b[0m … 9,900 more"
    assert display("xyz", dropped=5) == "xyz\x1b[0m … 5 more"
    assert len(plain("y" * 10_000)) < 600


# ── terminal emulation ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("10%\r50%\r100%", "100%"),
        ("long text here\rshort", "shorttext here"),
        ("\x1b[31m 10%\x1b[0m\r\x1b[32m 50%\x1b[0m", "\x1b[32m 50%\x1b[0m"),
        ("\x1b[32m###\x1b[0m--\r\x1b[32m####\x1b[0m", "\x1b[32m####\x1b[0m-"),
        ("downloading 99%\r\x1b[Kdone", "done"),
        ("12345\x1b[3D\x1b[K", "12"),
        ("12345\x1b[3D\x1b[1K", "   45"),
        ("12345\x1b[2K\rnew", "new"),
        ("loading |\b/\b-\b\\", "loading \\"),
        ("abc\b\b\b\b\bX", "Xbc"),
        ("a\x1b[3Cb", "a   b"),
        ("abcdef\x1b[4DX", "abXdef"),
        ("abcdef\x1b[2GX", "aXcdef"),
        ("abcdef\x1b[GX", "Xbcdef"),
        ("abcdef\x1b[3G\x1b[2P", "abef"),
        ("abcdef\x1b[3G\x1b[2@", "ab  cdef"),
        ("abcdef\x1b[3G\x1b[2X", "ab  ef"),
        ("ab\x1b7cd\x1b8X", "abXd"),
        ("\x1b[1A\x1b[2K\rbar 5%", "bar 5%"),
        ("\x1b[?25l\r50%\x1b[?25h", "50%"),
        ("clear\x1b[2J\x1b[Hed", "cleared"),
        ("a\x1b[31m\tb", "a       \x1b[31mb\x1b[0m"),
        ("a\tb\rX", "X       b"),
        ("報告\rA", "A 告"),
        ("報告\x1b[2GA", " A告"),
        ("e\u0301x\b\bA", "Ax"),
        ("windows\r\n", "windows"),
        ("far\x1b[999999999Cx", f"far{' ' * 237}x"),
        ("\x1b[1;31mbold\x1b[22mnot\x1b[39;49m.\rB", "B\x1b[1;31mold\x1b[0;31mnot\x1b[0m."),
        ("\x1b[38:2::1:2:3mrgb\rR", "\x1b[38;2;1;2;3mRgb\x1b[0m"),
    ],
)
def test_a_line_is_shown_as_in_a_terminal(printed: str, shown: str) -> None:
    assert display(printed) == shown


fragments = st.lists(
    st.sampled_from(
        ["10%", "done", "\r", "\b", "\x1b[K", "\x1b[3D", "\x1b[5C", "\x1b[31m", "\x1b[0m", "報", "\t", "\x1b[2"]
    )
)


@given(fragments, fragments)
def test_compaction_does_not_change_what_is_shown_now_or_later(first: list[str], rest: list[str]) -> None:
    before, after = "".join(first), "".join(rest)
    assert emulate(f"{compact(before)}{after}\r ") == emulate(f"{before}{after}\r ")


# ── fragments and long lines ─────────────────────────────────────────────────────────────────────────────────────────


def logged(*fragments: str, level: str = "INFO") -> list[str]:
    """Return the lines that the engine logs if the program pauses after each fragment."""
    formatter = StreamFormatter(level, "01ab")
    lines = []
    for number, fragment in enumerate(fragments):
        moment = MOMENT + timedelta(seconds=number / 2)
        text = formatter.feed(fragment.encode(), moment) + formatter.flush(moment, at_end=False)
        lines += text.decode().splitlines(keepends=True)
    return lines


def chunk_of(lines: list[str], position: int = 0) -> Chunk:
    text = "".join(lines)
    return Chunk(position, position + len(text.encode()), text)


def progress(count: int) -> list[str]:
    """Return the fragments of a progress bar that runs for minutes."""
    bars = [f"\r\x1b[32m{number:3}% {'█' * (number // 4)}\x1b[0m" for number in range(count)]
    return [*bars, "\rdone\x1b[K\n", "next\n"]


def test_a_progress_bar_is_one_line_with_its_last_state() -> None:
    lines = chunk_of(logged(*progress(100))).lines()
    assert [plain_message(line) for line in lines] == ["done", "next"]
    unfinished = chunk_of(logged(*progress(100)[:57])).lines()
    assert [plain_message(line) for line in unfinished] == [f" 56% {'█' * 14}"]
    assert parse(unfinished[0].raw).moment == MOMENT


def test_a_progress_bar_that_is_followed_is_one_line_of_bounded_size() -> None:
    buffer = LogBuffer()
    for line in (lines := logged(*progress(400))):
        chunk = chunk_of([line], buffer.end or 0)
        buffer.append(chunk.lines(), chunk.position, chunk.end)
        assert len(buffer) <= 2
        assert len(buffer[0].raw) < 2_500
    assert [plain_message(line) for line in buffer] == ["done", "next"]
    assert (buffer[0].position, buffer[1].end) == (0, len("".join(lines).encode()))


def test_fragments_are_joined_when_lines_before_them_are_loaded() -> None:
    first, second, other = logged("half a li", "ne\n", "other\n")
    buffer = LogBuffer()
    buffer.append(chunk_of([second, other], len(first)).lines(), len(first), len(first + second + other))
    assert [plain_message(line) for line in buffer] == ["ne", "other"]
    buffer.prepend(chunk_of([first]).lines(), 0)
    assert [plain_message(line) for line in buffer] == ["half a line", "other"]


def test_fragments_of_different_streams_and_runs_are_not_joined() -> None:
    lines = chunk_of([*logged("out"), *logged("err\n", level="ERROR"), *logged("put\n")]).lines()
    assert [plain_message(line) for line in lines] == ["out", "err", "put"]
    first, second = chunk_of(logged("half a li", "ne\n")).stored_lines()
    assert len(join_fragments([first, second])) == 1
    assert len(join_fragments([first._replace(task="a"), second._replace(task="b")])) == 2
    assert len(join_fragments([first, second._replace(raw=second.raw.replace("run=01ab", "run=02ab"))])) == 2


def test_fragments_are_searched_and_exported_as_one_line() -> None:
    text = "".join(logged("first ha", "lf\n", "second\n"))
    assert respond(Select(text, find="first half")).selected == [0]
    assert respond(Select(text, find="second")).selected == [1]
    assert respond(Select(text, LineFilter("half", inverted=True))).selected == [1]
    exported = respond(Export(text, names=["a", "b"])).text.splitlines()
    assert [line.partition("INFO  ")[0][0] + line.partition("INFO  ")[2] for line in exported] == [
        "afirst half",
        "bsecond",
    ]
    plain_text = "".join(logged("no escapes he", "re\n"))
    assert respond(Select(plain_text, find="escapes here")).selected == [0]


@pytest.mark.parametrize("unit", ["x", "\\", '"', "\x00", "é", "\x1b[31mx"])
def test_a_long_line_is_shown_with_its_time_and_level(unit: str) -> None:
    text = unit * 30_000
    (line,) = chunk_of(logged(text + "\n", level="ERROR")).lines()
    assert len(line.raw) <= MAX_LINE_CHARS
    assert line_kind(line) == "error"
    assert parse(line.raw).moment == MOMENT
    assert "level=" not in plain_message(line)
    assert re.fullmatch(rf"{re.escape(plain(unit)) or '.'}*?\.? … [\d,]+ more", plain_message(line))


def test_a_long_line_that_overwrites_itself_is_shown_with_its_last_state() -> None:
    (line,) = chunk_of(logged("".join(f"\r{number:5} of 5000" for number in range(5_001)) + "\n")).lines()
    assert plain_message(line) == " 5000 of 5000"
    assert line.dropped == 0


def test_a_line_without_its_end_is_shown_until_the_end_is_read() -> None:
    (text,) = logged("x" * 50_000 + "\n")
    buffer = LogBuffer()
    for begin in range(0, len(text), 20_000):
        part = text[begin : begin + 20_000]
        buffer.append(Chunk(begin, begin + len(part), part).lines(), begin, begin + len(part))
        assert plain_message(buffer[0]).startswith("xxx")
    assert len(buffer) == 1
    assert not buffer[0].is_open


# ── paths of builds ──────────────────────────────────────────────────────────────────────────────────────────────────

BUILD = "/home/user/.local/share/keiji/builds/c584e1285d3e1c7c/src/"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (f'  File "{BUILD}function.py", line 12, in function', "  function.py:12, in function"),
        (f'  File "{BUILD}lib/shop.py", line 7', "  lib/shop.py:7"),
        (f"warning: {BUILD}function.py:3: unused", "warning: function.py:3: unused"),
        (
            '  File "/usr/lib/python3.11/json/decoder.py", line 1',
            '  File "/usr/lib/python3.11/json/decoder.py", line 1',
        ),
        ("see /builds/today for more", "see /builds/today for more"),
    ],
)
def test_paths_of_builds_are_shortened_on_the_screen_only(message: str, shown: str) -> None:
    line = Line(0, 9, f"time=2024-08-11T13:31:57+03:00 level=INFO run=1 msg={quote(message)}")
    assert plain_message(line) == shown
    assert original_message(line) == message
    assert respond(Export(line.raw)).text.endswith(f" {message}\n")
    assert respond(Locate([line.raw], re.escape(shown))).spans == [[(0, len(shown))]]
    assert respond(Select(line.raw, find=re.escape(shown))).selected == [0]
