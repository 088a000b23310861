"""``python -m keiji_tui.logs.match_worker SECONDS``: the process that matches lines against regular expressions.

Catastrophic backtracking blocks the process in which it happens, and nothing there can interrupt it. This process is
killed instead: by its client, or by the alarm that each request sets, after SECONDS.
"""

from __future__ import annotations

import functools
import re
import signal
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

import msgspec

from keiji_tui.logs.display import BUILDS, display
from keiji_tui.logs.logfmt import CONTINUED, FORMATTED, parse, parse_moment, unescape
from keiji_tui.logs.match_protocol import Check, Export, LineFilter, Locate, Request, Response, Select, Stream
from keiji_tui.text.sanitise import MAX_LINE_LENGTH

HEADER_BYTES = 4  # the length of a message precedes it
_SGR = re.compile(r"\x1b\[[0-9;]*m")
# Constructs that depend on more than the characters they match: anchors, boundaries, lookarounds, possessive repeats.
_CONTEXT = re.compile(r"\^|\$|\\[AZbBG]|\(\?|[+*?}]\+")
_ERRORS = frozenset({"ERROR", "FATAL"})
_UNLIMITED = 2**31


class _ParsedLine(NamedTuple):
    time: str
    level: str
    run: str
    message: str


def displayed_text(message: str, max_chars: int = _UNLIMITED, *, keep_paths: bool = False) -> str:
    """Return a message as the screen shows it, without colours; see `display`."""
    if message.isascii() and message.isprintable() and BUILDS not in message and len(message) <= max_chars:
        return message
    return _SGR.sub("", display(message, max_chars, keep_paths=keep_paths))


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


def _select(text: str, line_filter: LineFilter, find: str) -> Iterator[tuple[int, _ParsedLine]]:
    if find and _cannot_match(text, find):
        return
    if line_filter.pattern and not line_filter.inverted and _cannot_match(text, line_filter.pattern):
        return
    conditions: list[tuple[Callable[[str], object], bool]] = []
    if find:
        conditions.append((compile_pattern(find).search, False))
    if line_filter.pattern:
        conditions.append((compile_pattern(line_filter.pattern).search, line_filter.inverted))
    stream = line_filter.stream
    for number, line in enumerate(_parsed_lines(text)):
        if stream is not Stream.BOTH and (line.level in _ERRORS) != (stream is Stream.ERR):
            continue
        if conditions:
            message = displayed_text(line.message)
            if any((search(message) is None) != inverted for search, inverted in conditions):
                continue
        yield number, line


def _parsed_lines(text: str) -> Iterator[_ParsedLine]:
    """Yield the lines of a text; fragments of a line are joined, as in `Chunk.lines`."""
    raws = text.split("\n")
    if not raws[-1]:
        raws.pop()
    if f"{CONTINUED}\n" not in text:
        for raw in raws:
            yield _parse(raw)[0]
        return
    fragments: list[_ParsedLine] = []
    expected: str | None = None  # stream of the line that continues the fragments
    for raw in raws:
        line, stream = _parse(raw)
        if fragments and (expected is None or stream != expected):
            yield _join(fragments)
            fragments = []
        fragments.append(line)
        expected = stream if raw.endswith(CONTINUED) else None
    if fragments:
        yield _join(fragments)


def _parse(raw: str) -> tuple[_ParsedLine, str | None]:
    """Return a line, and its stream if it is formatted."""
    if (match := FORMATTED.fullmatch(raw)) is not None:
        _, time, stream, level, _, run, message = match.groups("")
        return _ParsedLine(time, level, run, unescape(message)), stream
    line = parse(raw)
    return _ParsedLine(line.moment.isoformat() if line.moment else "", line.level, line.run, line.message), None


def _join(fragments: list[_ParsedLine]) -> _ParsedLine:
    return fragments[0]._replace(message="".join(line.message for line in fragments))


def _cannot_match(text: str, pattern: str) -> bool:
    """Return whether no line of ``text`` can match, without splitting it into lines.

    If nothing in the text is escaped or shortened, it contains every displayed character in order. A pattern that
    matches within a line then also matches within the text, unless it depends on its context.
    """
    is_altered = "\\" in text or BUILDS in text or CONTINUED in text
    if is_altered or not text.isascii() or _CONTEXT.search(pattern):
        return False
    return compile_pattern(pattern).search(text) is None


def _spans(pattern: re.Pattern[str], raw: str) -> list[tuple[int, int]]:
    text = displayed_text(parse(raw).message, MAX_LINE_LENGTH)
    return [match.span() for match in pattern.finditer(text) if match.end() > match.start()]


def _export(request: Export) -> Iterator[str]:
    for number, line in _select(request.text, request.line_filter, ""):
        if not request.run or line.run == request.run:
            yield f"{request.names[number]} {_export_line(line)}" if request.names else _export_line(line)


def _export_line(line: _ParsedLine) -> str:
    moment = parse_moment(line.time)
    time = moment.isoformat(timespec="milliseconds") + " " if moment else ""
    level = f"{line.level:5} " if line.level else ""
    return f"{time}{level}{displayed_text(line.message, keep_paths=True)}\n"


def serve(source: BinaryIO, sink: BinaryIO, limit_seconds: float) -> None:
    """Respond to requests until ``source`` ends; SIGALRM is sent if a request takes longer than the limit."""
    decode = msgspec.msgpack.Decoder(Request).decode
    while header := source.read(HEADER_BYTES):
        request = decode(source.read(int.from_bytes(header, "big")))
        signal.setitimer(signal.ITIMER_REAL, limit_seconds)
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
    serve(sys.stdin.buffer, sys.stdout.buffer, float(sys.argv[1]))
