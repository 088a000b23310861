"""The process that matches log lines: its answers, and its termination if a pattern takes too long."""

from __future__ import annotations

import asyncio
import io
import re
import sys

import msgspec
import pytest

from keiji_tui.logs.match_client import MatchClient, PatternError
from keiji_tui.logs.match_protocol import (
    ALL_LINES,
    Check,
    Export,
    LineFilter,
    Locate,
    Request,
    Response,
    Select,
    Stream,
)
from keiji_tui.logs.match_worker import displayed_text, respond, serve

TEXT = (
    'time=2026-11-24T13:31:57.164+03:00 level=INFO run=1 msg="status:  200"\n'
    'time=2026-11-24T13:31:58.164+03:00 level=ERROR run=1 msg="say \\"no\\" \\x1b[31min r\\x1b[1med\\x1b[0m"\n'
    'time=2026-11-24T13:31:59.164+03:00 level=INFO run=2 msg="a tab\\tand 報告" more=1\n'
    "something else\n"
    'time=2026-11-24T13:32:00.164+03:00 level=INFO msg="task ping: every hour"\n'
)


def selected(find: str = "", line_filter: LineFilter = ALL_LINES) -> list[int]:
    return respond(Select(TEXT, line_filter, find)).selected


def test_a_pattern_is_matched_against_the_displayed_text() -> None:
    assert selected("status:  200$") == [0]
    assert selected('say "no" in red') == [1]
    assert selected("報告") == [2]
    assert selected("^something") == [3]
    assert selected("level") == []
    assert selected() == [0, 1, 2, 3, 4]


def test_a_pattern_with_a_capital_letter_is_case_sensitive() -> None:
    assert selected("STATUS") == []
    assert selected("sTaTus".lower()) == [0]


def test_a_filter_includes_or_excludes_lines() -> None:
    assert selected(line_filter=LineFilter("a")) == [0, 1, 2, 4]
    assert selected(line_filter=LineFilter("a", inverted=True)) == [3]
    assert selected("2", LineFilter("status")) == [0]
    assert LineFilter.parse("!a", Stream.ERR) == LineFilter("a", True, Stream.ERR)
    assert LineFilter.parse("!", Stream.BOTH).is_all


def test_standard_output_and_standard_error_are_distinguished_by_level() -> None:
    assert selected(line_filter=LineFilter(stream=Stream.ERR)) == [1]
    assert selected(line_filter=LineFilter(stream=Stream.OUT)) == [0, 2, 3, 4]


@pytest.mark.parametrize(
    "find", ["needle", "nee-dle 1/2", "NEEDLE", "Needle", "^a n.*2$", r"\ba\b", "2$", "n[e]+dle", "(?=a)a", ".*+", "x"]
)
def test_a_chunk_that_is_skipped_as_a_whole_has_no_match_in_any_line(find: str) -> None:
    message = "a needle, a NEEDLE, a nee-dle 1/2"
    text = f'time=2026-11-24T13:31:57.164+03:00 level=INFO run=1 msg="{message}"\n'
    pattern = re.compile(find, 0 if find != find.lower() else re.IGNORECASE)
    assert bool(respond(Select(text, ALL_LINES, find)).selected) == bool(pattern.search(message))


def test_match_positions_refer_to_the_displayed_text() -> None:
    lines = TEXT.splitlines()
    spans = respond(Locate(lines, "red|a")).spans
    assert spans == [[(2, 3)], [(1, 2), (12, 15)], [(0, 1), (3, 4), (8, 9)], [], [(1, 2)]]
    assert respond(Locate(["abc"], "x*")).spans == [[]]


def test_lines_are_exported_as_they_are_displayed() -> None:
    text = respond(Export(TEXT, ALL_LINES, run="1")).text
    assert text.splitlines() == [
        "2026-11-24T13:31:57.164+03:00 INFO  status:  200",
        '2026-11-24T13:31:58.164+03:00 ERROR say "no" in red',
    ]
    assert respond(Export(TEXT, LineFilter("something"))).text == "something else\n"


def test_displayed_text_has_no_colours_and_no_escape_sequences() -> None:
    assert displayed_text("\x1b[31mred\x1b[0m\x1b]52;c;eA==\x07") == "red"
    assert displayed_text("plain") == "plain"


def exchange(*questions: Request) -> list[Response]:
    source, sink = io.BytesIO(), io.BytesIO()
    for question in questions:
        body = msgspec.msgpack.encode(question)
        source.write(len(body).to_bytes(4, "big") + body)
    source.seek(0)
    serve(source, sink, 1.5)
    sink.seek(0)
    answers = []
    while header := sink.read(4):
        answers.append(msgspec.msgpack.decode(sink.read(int.from_bytes(header, "big")), type=Response))
    return answers


def test_an_invalid_pattern_is_answered_with_an_error_and_the_next_question_normally() -> None:
    invalid, valid, too_large = exchange(Check("(a"), Select(TEXT, ALL_LINES, "status"), Check("a{99999999999}"))
    assert invalid.error.startswith("missing )")
    assert valid.selected == [0]
    assert too_large.error


async def test_a_client_recovers_from_a_pattern_that_takes_too_long() -> None:
    client = MatchClient()
    try:
        line = f'time=2026-11-24T13:31:57+03:00 level=INFO run=1 msg="{"a" * 60}b"\n'
        asking = asyncio.create_task(client.request(Select(line, ALL_LINES, "(a+)+$")))
        while client.busy_seconds < 0.1:
            await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await client.request(Select(line, ALL_LINES, "ab$"))).selected == [0]
        with pytest.raises(PatternError, match="missing"):
            await client.request(Check("(a"))
        client.close()
        client.limit_seconds = 0.1
        with pytest.raises(PatternError, match="too long"):
            await client.request(Select(line, ALL_LINES, "(a+)+$"))
        assert (await client.request(Check("a"))).error == ""
    finally:
        client.close()


async def test_a_process_that_cannot_be_started_is_reported_as_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(PatternError, match="cannot start a process for the search: No such file"):
        await MatchClient().request(Check("a"))
