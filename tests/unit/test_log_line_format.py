"""Log lines: formatting, escaping and parsing."""

from __future__ import annotations

import os
import unicodedata
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keiji_engine.logs.line_format import MAX_LINE_BYTES, StreamFormatter, format_line, parse_line

EXAMPLES = float(os.environ.get("KEIJI_EXAMPLES", "1"))
TIME = datetime(2026, 11, 23, 10, 0, 0, 123000, ZoneInfo("Africa/Nairobi"))


def original_output(lines: bytes) -> bytes:
    """Return the output of a program, restored from its log lines."""
    parsed = map(parse_line, lines.splitlines())
    return b"".join(line.raw + (b"" if line.is_continued else b"\n") for line in parsed)


def test_a_line_has_time_level_and_message() -> None:
    assert format_line(TIME, "INFO", "task disabled, exiting...", None) == (
        b'time=2026-11-23T10:00:00.123+03:00 level=INFO msg="task disabled, exiting..."\n'
    )


def test_a_line_of_a_service_has_the_name_of_the_service() -> None:
    formatted = format_line(TIME, "WARN", "sources changed", service="watcher")
    assert b" level=WARN service=watcher msg=" in formatted
    parsed = parse_line(formatted)
    assert (parsed.level, parsed.run, parsed.msg) == ("WARN", None, "sources changed")


def test_a_line_of_output_has_its_run_and_level() -> None:
    assert StreamFormatter("ERROR", "r1").feed(b'say "hi"\n', TIME) == (
        b'time=2026-11-23T10:00:00.123+03:00 level=ERROR run=r1 msg="say \\"hi\\""\n'
    )


def test_a_message_with_several_lines_is_formatted_as_one_line() -> None:
    formatted = format_line(TIME, "INFO", "one\ntwo", "r")
    assert formatted.count(b"\n") == 1
    assert parse_line(formatted).msg == "one\ntwo"


def test_parsing_reverses_formatting() -> None:
    parsed = parse_line(format_line(TIME, "ERROR", "Zeit läuft ⏱", "r1"))
    assert (parsed.time, parsed.level, parsed.run, parsed.msg) == (TIME, "ERROR", "r1", "Zeit läuft ⏱")


@pytest.mark.parametrize("foreign", [b"", b"plain text\n", b'time=yesterday level=INFO msg="x"\n', b"\xff\xfe"])
def test_a_line_in_another_format_is_parsed_as_a_message(foreign: bytes) -> None:
    parsed = parse_line(foreign)
    assert (parsed.time, parsed.raw) == (None, foreign.removesuffix(b"\n"))


def test_invalid_utf8_is_escaped() -> None:
    formatted = StreamFormatter("INFO", "r").feed(b"a\xffb\n", TIME)
    assert rb'msg="a\xffb"' in formatted
    assert parse_line(formatted).msg == r"a\xffb"


@pytest.mark.parametrize("sequence", ["\x1b[31m", "\x07", "\x9b31m", "\r", "\x00", "\x7f"])
def test_control_characters_are_escaped(sequence: str) -> None:
    formatted = StreamFormatter("INFO", "r").feed(f"a{sequence}b\n".encode(), TIME)
    assert formatted.decode().removesuffix("\n").isprintable()
    assert parse_line(formatted).msg == f"a{sequence}b"


def test_a_line_that_is_too_long_is_split_between_characters_and_marked_as_continued() -> None:
    long_line = ("é" * MAX_LINE_BYTES).encode()
    formatted = StreamFormatter("INFO", "r").feed(long_line + b"\nnext\n", TIME)
    first, second, following = map(parse_line, formatted.splitlines())
    assert (first.is_continued, second.is_continued, following.is_continued) == (True, False, False)
    assert "\\x" not in first.msg + second.msg
    assert first.raw + second.raw == long_line


def test_the_buffer_is_bounded_if_a_program_prints_no_newline() -> None:
    formatter = StreamFormatter("INFO", "r")
    formatted = b"".join(formatter.feed(b"x" * 5000, TIME) for _ in range(100))
    assert len(parse_line(formatter.flush(TIME, at_end=True)).raw) <= MAX_LINE_BYTES
    assert original_output(formatted).count(b"x") >= 500_000 - MAX_LINE_BYTES


chunks_of_output = st.lists(
    st.one_of(
        st.binary(max_size=60), st.sampled_from([b"\n", b"\\", b'"', b"\xc2", b"\x9b", b"\xf0\x9f", b"x" * 70_000])
    ),
    max_size=12,
)


@given(chunks=chunks_of_output, flush_after=st.sets(st.integers(0, 11)))
@settings(max_examples=int(50 * EXAMPLES), deadline=None)
def test_any_output_can_be_restored_from_its_log_lines(chunks: list[bytes], flush_after: set[int]) -> None:
    formatter, formatted = StreamFormatter("INFO", "r"), b""
    for index, chunk in enumerate(chunks):
        formatted += formatter.feed(chunk, TIME)
        if index in flush_after:
            formatted += formatter.flush(TIME, at_end=False)
    formatted += formatter.flush(TIME, at_end=True)
    output = b"".join(chunks)
    assert original_output(formatted).removesuffix(b"\n") == output.removesuffix(b"\n")
    assert not any(unicodedata.category(char) == "Cc" for char in formatted.decode().replace("\n", ""))
