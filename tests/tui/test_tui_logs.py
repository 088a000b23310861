"""Lines of a log: taken apart and made safe."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji_tui.logs.logfmt import LogLine, parse
from keiji_tui.text.sanitise import plain, sanitise_line

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
    assert parse('time=2024-08-11T13:31:57+03:00 level=INFO run=1 msg="run stopped after 2.3s: stopped"').is_life_cycle
    assert not parse("some words").is_life_cycle
    assert not parse("run stopped after 2.3s").is_life_cycle


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
def test_colours_stay_and_everything_else_goes(printed: str, shown: str) -> None:
    assert sanitise_line(printed) == shown


@given(st.text(alphabet=st.sampled_from("\x1b[]?;:0123456789mHJPX^_\\\x07\x9b\x9d\x9ca \u200d\n\r\t報"), max_size=60))
def test_nothing_that_a_terminal_would_obey_gets_through(text: str) -> None:
    shown = sanitise_line(text)
    without_colours = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert without_colours.isprintable()
    assert plain(text).isprintable()


def test_an_endless_line_is_cut_and_says_so() -> None:
    shown = sanitise_line("x" * 10_000, max_length=100)
    assert shown == "x" * 100 + "\x1b[0m … 9,900 more"
    assert len(plain("y" * 10_000)) < 600
