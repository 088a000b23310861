"""``python -m keiji_tui.logs.match_worker``: the process that matches lines against regular expressions.

Catastrophic backtracking blocks the process in which it happens, and nothing there can interrupt it. This process is
killed instead: by its client, or by the alarm that each request sets.
"""

from __future__ import annotations

import functools
import re
import signal
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from keiji_tui.logs.logfmt import parse, unquote
from keiji_tui.logs.match_protocol import Check, Export, LineFilter, Locate, Request, Response, Select, Stream
from keiji_tui.text.sanitise import LONGEST_LINE, coloured

LIMIT_SECONDS = 1.5
HEADER_BYTES = 4  # the length of a message precedes it
_LINE = re.compile(r'time=(\S+) level=(\S+)(?: service=\S+)?(?: run=(\S+))? msg=("[^"\\]*(?:\\.[^"\\]*)*")(?: more=1)?')
_SGR = re.compile(r"\x1b\[[0-9;]*m")
# Constructs that depend on more than the characters they match: anchors, boundaries, lookarounds, possessive repeats.
_CONTEXT = re.compile(r"\^|\$|\\[AZbBG]|\(\?|[+*?}]\+")
_ERRORS = frozenset({"ERROR", "FATAL"})
_UNLIMITED = 2**31


def displayed_text(message: str, max_chars: int = _UNLIMITED) -> str:
    """Return a message as the screen shows it, without colours."""
    if message.isascii() and message.isprintable():
        return message[:max_chars]
    return _SGR.sub("", coloured(message, max_chars))


@functools.lru_cache(maxsize=16)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the compiled pattern; it ignores case unless it contains a capital letter. Raises re.error."""
    return re.compile(pattern, 0 if any(char.isupper() for char in pattern) else re.IGNORECASE)


def respond(request: Request) -> Response:
    """Return the response to a request. Raises re.error."""
    if isinstance(request, Check):
        compile_pattern(request.pattern)
        return Response()
    if isinstance(request, Select):
        return Response(selected=[number for number, _ in _select(request.text, request.line_filter, request.find)])
    if isinstance(request, Locate):
        pattern = compile_pattern(request.pattern)
        return Response(spans=[_spans(pattern, raw) for raw in request.lines])
    return Response(text="".join(_export(request)))


def _select(text: str, line_filter: LineFilter, find: str) -> Iterator[tuple[int, str]]:
    if find and _cannot_match(text, find):
        return
    if line_filter.pattern and not line_filter.inverted and _cannot_match(text, line_filter.pattern):
        return
    conditions: list[tuple[Callable[[str], object], bool]] = []
    if find:
        conditions.append((compile_pattern(find).search, False))
    if line_filter.pattern:
        conditions.append((compile_pattern(line_filter.pattern).search, line_filter.inverted))
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    stream = line_filter.stream
    for number, line in enumerate(lines):
        match = _LINE.fullmatch(line)
        if match is None:
            fields = parse(line)
            level, message = fields.level, fields.message
        else:
            level, message = match[2], match[4]
            message = unquote(message) if "\\" in message else message[1:-1]
        if stream is not Stream.BOTH and (level in _ERRORS) != (stream is Stream.ERR):
            continue
        if conditions:
            message = displayed_text(message)
            if any((search(message) is None) != inverted for search, inverted in conditions):
                continue
        yield number, line


def _cannot_match(text: str, pattern: str) -> bool:
    """Return whether no line of ``text`` can match, without splitting it into lines.

    If nothing in the text is escaped, it contains every displayed character in order. A pattern that matches within a
    line then also matches within the text, unless it depends on its context.
    """
    if "\\" in text or not text.isascii() or _CONTEXT.search(pattern):
        return False
    return compile_pattern(pattern).search(text) is None


def _spans(pattern: re.Pattern[str], raw: str) -> list[tuple[int, int]]:
    text = displayed_text(parse(raw).message, LONGEST_LINE)
    return [match.span() for match in pattern.finditer(text) if match.end() > match.start()]


def _export(request: Export) -> Iterator[str]:
    for number, line in _select(request.text, request.line_filter, ""):
        if not request.run or parse(line).run == request.run:
            yield f"{request.names[number]} {_export_line(line)}" if request.names else _export_line(line)


def _export_line(line: str) -> str:
    fields = parse(line)
    time = fields.moment.isoformat(timespec="milliseconds") + " " if fields.moment else ""
    level = f"{fields.level:5} " if fields.level else ""
    return f"{time}{level}{displayed_text(fields.message)}\n"


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Respond to requests until ``source`` ends."""
    decode = msgspec.msgpack.Decoder(Request).decode
    while header := source.read(HEADER_BYTES):
        request = decode(source.read(int.from_bytes(header, "big")))
        signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
        try:
            response = respond(request)
        except (re.error, OverflowError, RecursionError) as error:
            response = Response(error=str(error) or "the expression is too complex")
        signal.setitimer(signal.ITIMER_REAL, 0)
        body = msgspec.msgpack.encode(response)
        sink.write(len(body).to_bytes(HEADER_BYTES, "big") + body)
        sink.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # kills the process, even within a regular expression
    serve(sys.stdin.buffer, sys.stdout.buffer)
