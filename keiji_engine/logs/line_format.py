r"""The line format of logs, a subset of logfmt: ``time=… level=INFO run=… msg="…"``.

Lines of the engine's services have ``service=…`` instead of ``run=…``.

Each line that a program prints becomes one message, from which the original bytes can be restored. Backslash and quote
are escaped as ``\\`` and ``\"``; a newline, carriage return or tab inside a message as ``\n``, ``\r``, ``\t``; every
other control character, and every byte that is not valid UTF-8, as ``\x1b``. A log is therefore always valid UTF-8, a
line is always one line, and printing it to a terminal is safe. A line that ends in ``more=1`` is continued by the next
line of the same run and level: either it exceeded the maximum length, or the program paused in the middle of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

# Longer lines of output are split, so that a program that prints no newlines does not fill the memory of its shim.
MAX_LINE_BYTES = 64 * 1024
_CONTINUED = b" more=1"

_ESCAPES = {bytes([code]): rb"\x%02x" % code for code in (*range(0x20), 0x7F)}
_ESCAPES |= {b"\t": rb"\t", b"\n": rb"\n", b"\r": rb"\r"}
# U+0080 to U+009F (C1 controls): some terminals interpret them as the start of an escape sequence.
_ESCAPES |= {bytes([0xC2, code]): rb"\xc2\x%02x" % code for code in range(0x80, 0xA0)}
_CONTROLS = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
_ESCAPED = re.compile(rb"\\(?:x([0-9a-f]{2})|(.))", re.DOTALL)
_NAMED_ESCAPES = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}
_LINE = re.compile(rb'time=(\S+) level=(\S+)(?: service=\S+)?(?: run=(\S+))? msg="((?:[^"\\]|\\.)*)"( more=1)?\n?')


def format_line(
    time: datetime, level: str, message: str, run: str | None = None, *, service: str | None = None
) -> bytes:
    """Return one log line including its newline; ``time`` is written in its own time zone."""
    raw = message.encode("utf-8", "surrogateescape")
    return _prefix(time, level, run, service) + _escape(raw).replace(b"\n", rb"\n") + b'"\n'


def _prefix(time: datetime, level: str, run: str | None, service: str | None = None) -> bytes:
    """Return the part of a line before the message."""
    tag = (f" service={service}" if service else "") + (f" run={run}" if run else "")
    return f'time={time.isoformat(timespec="milliseconds")} level={level}{tag} msg="'.encode()


def _escape(data: bytes) -> bytes:
    """Return ``data`` escaped for use between quotes; newlines are kept, since ``data`` may have several lines."""
    data = data.replace(b"\\", rb"\\").replace(b'"', rb"\"")
    if _CONTROLS.search(data):
        data = _CONTROLS.sub(lambda match: _ESCAPES[match[0]], data)
    if not data.isascii():
        data = data.decode("utf-8", "backslashreplace").encode()
    return data


class StreamFormatter:
    """Formats the output of a program, which arrives in chunks of any size, as log lines.

    Args:
        level: level of all its lines.
        run: id of the run.
    """

    def __init__(self, level: str, run: str) -> None:
        self.level = level
        self.run = run
        self._partial = b""

    @property
    def has_partial_line(self) -> bool:
        """Whether a line has begun and not ended."""
        return bool(self._partial)

    def feed(self, chunk: bytes, time: datetime) -> bytes:
        """Return the lines that ``chunk`` completes; an incomplete line of up to `MAX_LINE_BYTES` is buffered."""
        data = self._partial + chunk
        complete, newline, self._partial = data.rpartition(b"\n")
        prefix = _prefix(time, self.level, self.run)
        lines = self._format(complete, prefix) if newline else b""
        while len(self._partial) > MAX_LINE_BYTES:
            end = _split_position(self._partial)
            lines += prefix + _escape(self._partial[:end]) + b'"' + _CONTINUED + b"\n"
            self._partial = self._partial[end:]
        return lines

    def flush(self, time: datetime, *, at_end: bool) -> bytes:
        """Return the buffered incomplete line, marked as continued unless the stream is ``at_end``."""
        if not self._partial:
            return b""
        data, self._partial = self._partial, b""
        suffix = b"" if at_end else _CONTINUED
        return _prefix(time, self.level, self.run) + _escape(data) + b'"' + suffix + b"\n"

    @staticmethod
    def _format(complete: bytes, prefix: bytes) -> bytes:
        # Whole chunks instead of single lines: required for millions of lines per second.
        if len(complete) <= MAX_LINE_BYTES:
            return prefix + _escape(complete).replace(b"\n", b'"\n' + prefix) + b'"\n'
        return b"".join(
            prefix + _escape(part) + b'"' + (_CONTINUED if is_continued else b"") + b"\n"
            for line in complete.split(b"\n")
            for part, is_continued in _split(line)
        )


def _split_position(data: bytes) -> int:
    """Return where to split ``data``, which exceeds the limit; not within a character if that can be avoided."""
    position = MAX_LINE_BYTES
    while position > MAX_LINE_BYTES - 4 and data[position] & 0xC0 == 0x80:
        position -= 1
    return position


def _split(line: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the parts of a line, each with whether another one follows."""
    while len(line) > MAX_LINE_BYTES:
        end = _split_position(line)
        yield line[:end], True
        line = line[end:]
    yield line, False


@dataclass(frozen=True, slots=True)
class LogLine:
    """A parsed log line.

    Args:
        time: timezone-aware; None if the line is in another format.
        raw: the message, byte for byte as the program printed it.
        is_continued: whether the next line of the same run and level continues the message.
    """

    time: datetime | None
    level: str
    run: str | None
    raw: bytes
    is_continued: bool = False

    @property
    def msg(self) -> str:
        r"""The message as text; bytes that are not UTF-8 appear as ``\xff``."""
        return self.raw.decode("utf-8", "backslashreplace")


def parse_line(data: bytes) -> LogLine:
    """Parse one line, with or without its newline. Never raises: any other line becomes a message as a whole."""
    match = _LINE.fullmatch(data)
    if match:
        timestamp, level, run, message, more = match.groups()
        try:
            time = datetime.fromisoformat(timestamp.decode())
        except ValueError:
            return LogLine(None, "INFO", None, data.removesuffix(b"\n"))
        run_id = run.decode("utf-8", "replace") if run else None
        return LogLine(time, level.decode("utf-8", "replace"), run_id, _unescape(message), bool(more))
    return LogLine(None, "INFO", None, data.removesuffix(b"\n"))


def _unescape(message: bytes) -> bytes:
    if b"\\" not in message:
        return message
    return _ESCAPED.sub(
        lambda match: bytes([int(match[1], 16)]) if match[1] else _NAMED_ESCAPES.get(match[2], match[2]), message
    )
