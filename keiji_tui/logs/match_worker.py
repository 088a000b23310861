"""``python -m keiji_tui.logs.match_worker``: the process that matches lines against regular expressions.

One that backtracks for ever holds everything up that is in the same process, and cannot be interrupted there. Here it
is ended with the process: by whoever asked, or by the alarm that each question has.
"""

from __future__ import annotations

import functools
import re
import signal
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from keiji_tui.logs.logfmt import parse, unquoted
from keiji_tui.logs.match_protocol import Answer, Check, Choose, LineFilter, Locate, Print, Question, Stream
from keiji_tui.text.sanitise import MAX_LINE_LENGTH, sanitise_line

LIMIT_SECONDS = 1.5
HEADER = 4  # bytes in front of a message: its length
_LINE = re.compile(r'time=(\S+) level=(\S+)(?: service=\S+)?(?: run=(\S+))? msg=("[^"\\]*(?:\\.[^"\\]*)*")(?: more=1)?')
_SGR = re.compile(r"\x1b\[[0-9;]*m")
# What asks for more than the letters that it matches: anchors, boundaries, lookarounds, what gives nothing back.
_CONTEXT = re.compile(r"\^|\$|\\[AZbBG]|\(\?|[+*?}]\+")
_ERRORS = frozenset({"ERROR", "FATAL"})
_WHOLE = 2**31


def shown(message: str, longest: int = _WHOLE) -> str:
    """Return a message as it stands on the screen."""
    if message.isascii() and message.isprintable():
        return message[:longest]
    return _SGR.sub("", sanitise_line(message, longest))


@functools.lru_cache(maxsize=16)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern that takes no notice of case unless it has a capital letter in it."""
    return re.compile(pattern, 0 if any(letter.isupper() for letter in pattern) else re.IGNORECASE)


def answer(question: Question) -> Answer:
    """Answer a question. Raises re.error."""
    if isinstance(question, Check):
        compiled(question.pattern)
        return Answer()
    if isinstance(question, Choose):
        return Answer(chosen=[number for number, _ in _chosen(question.text, question.sift, question.find)])
    if isinstance(question, Locate):
        found = compiled(question.pattern)
        return Answer(spans=[_spans(found, raw) for raw in question.lines])
    return Answer(text="".join(_lines_to_print(question)))


def _chosen(text: str, sift: LineFilter, find: str) -> Iterator[tuple[int, str]]:
    if (find and _has_not(text, find)) or (sift.pattern and not sift.inverted and _has_not(text, sift.pattern)):
        return
    conditions: list[tuple[Callable[[str], object], bool]] = []
    if find:
        conditions.append((compiled(find).search, False))
    if sift.pattern:
        conditions.append((compiled(sift.pattern).search, sift.inverted))
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines):
        match = _LINE.fullmatch(line)
        if match is None:
            fields = parse(line)
            level, message = fields.level, fields.message
        else:
            level, message = match[2], match[4]
            message = unquoted(message) if "\\" in message else message[1:-1]
        if sift.stream is not Stream.BOTH and (level in _ERRORS) != (sift.stream is Stream.ERR):
            continue
        if conditions:
            message = shown(message)
            if any((search(message) is None) != inverted for search, inverted in conditions):
                continue
        yield number, line


def _has_not(text: str, pattern: str) -> bool:
    """Return whether it is certain, without a look at any single line, that a pattern is in none of them.

    Where nothing in the text is escaped, it has every letter that is shown, in the same order; and what matches in the
    middle of a line matches there in the middle of the text as well, unless the pattern asks what is around it.
    """
    if "\\" in text or not text.isascii() or _CONTEXT.search(pattern):
        return False
    return compiled(pattern).search(text) is None


def _spans(pattern: re.Pattern[str], raw: str) -> list[tuple[int, int]]:
    text = shown(parse(raw).message, MAX_LINE_LENGTH)
    return [match.span() for match in pattern.finditer(text) if match.end() > match.start()]


def _lines_to_print(asked: Print) -> Iterator[str]:
    for number, line in _chosen(asked.text, asked.sift, ""):
        if not asked.run or parse(line).run == asked.run:
            yield f"{asked.names[number]} {_printed(line)}" if asked.names else _printed(line)


def _printed(line: str) -> str:
    fields = parse(line)
    time = fields.moment.isoformat(timespec="milliseconds") + " " if fields.moment else ""
    level = f"{fields.level:5} " if fields.level else ""
    return f"{time}{level}{shown(fields.message)}\n"


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer questions until there are no more."""
    decode = msgspec.msgpack.Decoder(Question).decode
    while header := source.read(HEADER):
        question = decode(source.read(int.from_bytes(header, "big")))
        signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
        try:
            found = answer(question)
        except (re.error, OverflowError, RecursionError) as error:
            found = Answer(error=str(error) or "too complicated")
        signal.setitimer(signal.ITIMER_REAL, 0)
        body = msgspec.msgpack.encode(found)
        sink.write(len(body).to_bytes(HEADER, "big") + body)
        sink.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, whatever it is in the middle of
    serve(sys.stdin.buffer, sys.stdout.buffer)
