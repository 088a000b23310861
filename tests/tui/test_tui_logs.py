"""Lines of a log: taken apart, made safe, kept in bounded memory."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji_tui.logs.buffer import LONGEST_KEPT, LogBuffer
from keiji_tui.logs.logfmt import LogLine, parse
from keiji_tui.logs.sanitise import coloured, plain

LINE = 'time=2024-08-11T13:31:57.164+03:00 level=INFO run=01ab msg="status:  200"'


def test_a_line_is_taken_apart() -> None:
    moment = datetime(2024, 8, 11, 13, 31, 57, 164000, timezone(timedelta(hours=3)))
    assert parse(LINE) == LogLine("status:  200", moment, "INFO", "01ab")


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
    ],
)
def test_a_message_is_unquoted(quoted: str, message: str) -> None:
    line = parse(f"time=2024-08-11T13:31:57+03:00 level=INFO run=1 msg={quoted}")
    assert line.message == message
    assert line.level == "INFO"


@pytest.mark.parametrize(
    "text", ["", "plain words", 'msg="never closed', "level=INFO no message", "2024/08/10 started"]
)
def test_a_line_of_another_form_stays_as_it_is(text: str) -> None:
    assert parse(text) == LogLine(text)


def test_what_keiji_says_is_told_from_what_the_task_prints() -> None:
    assert not parse(LINE).is_life_cycle
    assert parse('time=2024-08-11T13:31:57+03:00 level=INFO msg="task ping interval: 10"').is_life_cycle
    assert parse('time=2024-08-11T13:31:57+03:00 level=INFO run=1 msg="task disabled, exiting..."').is_life_cycle
    assert parse('time=2024-08-11T13:31:57+03:00 level=INFO run=1 msg="run stopped after 2.3 s: stopped"').is_life_cycle
    assert not parse("some words").is_life_cycle
    assert not parse("run stopped after 2.3 s").is_life_cycle


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
        ("[/b] [prod] 報告", "[/b] [prod] 報告"),
    ],
)
def test_colours_stay_and_everything_else_goes(printed: str, shown: str) -> None:
    assert coloured(printed) == shown


@given(st.text(alphabet=st.sampled_from("\x1b[]?;:0123456789mHJPX^_\\\x07\x9b\x9d\x9ca \u200d\n\r\t報"), max_size=60))
def test_nothing_that_a_terminal_would_obey_gets_through(text: str) -> None:
    shown = coloured(text)
    without_colours = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert without_colours.isprintable()
    assert plain(text).isprintable()


def test_an_endless_line_is_cut_and_says_so() -> None:
    shown = coloured("x" * 10_000, longest=100)
    assert shown == "x" * 100 + "\x1b[0m … 9,900 more"
    assert len(plain("y" * 10_000)) < 600


def test_a_buffer_keeps_whole_lines_across_pieces() -> None:
    buffer = LogBuffer()
    assert buffer.add(0, 6, "one\ntw") == 1
    assert buffer.add(6, 14, "o\nthree\n") == 2
    assert list(buffer) == ["one", "two", "three"]


def test_a_buffer_passes_over_what_it_has() -> None:
    buffer = LogBuffer()
    buffer.add(0, 8, "one\ntwo\n")
    assert buffer.add(0, 8, "one\ntwo\n") == 0
    assert buffer.add(4, 14, "two\nthree\n") == 1
    assert list(buffer) == ["one", "two", "three"]


def test_a_buffer_says_what_is_missing() -> None:
    buffer = LogBuffer()
    buffer.add(0, 4, "one\n")
    buffer.add(1004, 1008, "two\n")
    assert list(buffer) == ["one", "… 1,000 bytes were skipped …", "two"]


def test_a_buffer_is_bounded_in_lines_and_in_their_length() -> None:
    buffer = LogBuffer(most=3)
    text = "".join(f"{number}\n" for number in range(10))
    assert buffer.add(0, len(text), text) == 10
    assert (list(buffer), buffer.dropped, len(buffer)) == (["7", "8", "9"], 7, 3)
    for position in range(20, 20 + 50 * 10_000, 10_000):
        buffer.add(position, position + 10_000, "z" * 10_000)
    buffer.add(520_020, 520_021, "\n")
    assert max(len(line) for line in list(buffer)) <= LONGEST_KEPT
