r"""The lines of a log: ``time=… level=INFO run=… msg="…"``, with ``service=…`` in place of the run in the engine's own.

What a program prints goes between the quotes, a line at a time, and can be had back byte for byte. Backslash and quote
are written ``\\`` and ``\"``; a newline, return or tab within a message ``\n``, ``\r``, ``\t``; every other control
character, and every byte that is no part of UTF-8, ``\x1b``. So a log is always valid UTF-8, one line is one line, and
it can be shown in a terminal without doing anything to it. A line that ends in ``more=1`` goes on in the next line of
the same run and level: it was too long for one, or the program paused in the middle.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

# A line of output longer than this is split. Programs that print no newlines must not fill the memory of the shim.
LONGEST = 64 * 1024
_MORE = b" more=1"

_ESCAPES = {bytes([code]): rb"\x%02x" % code for code in (*range(0x20), 0x7F)}
_ESCAPES |= {b"\t": rb"\t", b"\n": rb"\n", b"\r": rb"\r"}
# U+0080 to U+009F: terminals take some of them for the beginning of an escape sequence.
_ESCAPES |= {bytes([0xC2, code]): rb"\xc2\x%02x" % code for code in range(0x80, 0xA0)}
_CONTROLS = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
_ESCAPED = re.compile(rb"\\(?:x([0-9a-f]{2})|(.))", re.DOTALL)
_NAMED = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}
_LINE = re.compile(rb'time=(\S+) level=(\S+)(?: service=\S+)?(?: run=(\S+))? msg="((?:[^"\\]|\\.)*)"( more=1)?\n?')


def line(moment: datetime, level: str, message: str, run: str | None = None, *, service: str | None = None) -> bytes:
    """Return one line with its newline; the time is written in the zone of ``moment``."""
    raw = message.encode("utf-8", "surrogateescape")
    return prefix(moment, level, run, service) + _escaped(raw).replace(b"\n", rb"\n") + b'"\n'


def prefix(moment: datetime, level: str, run: str | None, service: str | None = None) -> bytes:
    """Return what stands before the message."""
    tag = (f" service={service}" if service else "") + (f" run={run}" if run else "")
    return f'time={moment.isoformat(timespec="milliseconds")} level={level}{tag} msg="'.encode()


def _escaped(data: bytes) -> bytes:
    """Return ``data``, of any number of lines, as it is written between quotes; newlines stay."""
    data = data.replace(b"\\", rb"\\").replace(b'"', rb"\"")
    if _CONTROLS.search(data):
        data = _CONTROLS.sub(lambda found: _ESCAPES[found[0]], data)
    if not data.isascii():
        data = data.decode("utf-8", "backslashreplace").encode()
    return data


class Stream:
    """Turns the chunks that a program prints on one pipe into lines of the log.

    Args:
        level: of all its lines.
        run: id of the run.
    """

    def __init__(self, level: str, run: str) -> None:
        self.level = level
        self.run = run
        self._partial = b""

    @property
    def is_partial(self) -> bool:
        """Whether a line was begun and not ended."""
        return bool(self._partial)

    def feed(self, chunk: bytes, moment: datetime) -> bytes:
        """Return the lines that ``chunk`` completes; what it only begins is kept, up to `LONGEST` bytes of it."""
        data = self._partial + chunk
        whole, newline, self._partial = data.rpartition(b"\n")
        before = prefix(moment, self.level, self.run)
        done = self._format(whole, before) if newline else b""
        while len(self._partial) > LONGEST:
            cut = _cut(self._partial)
            done += before + _escaped(self._partial[:cut]) + b'"' + _MORE + b"\n"
            self._partial = self._partial[cut:]
        return done

    def flush(self, moment: datetime, *, ended: bool) -> bytes:
        """Return the line that was begun, marked as going on unless the stream has ``ended``."""
        if not self._partial:
            return b""
        data, self._partial = self._partial, b""
        more = b"" if ended else _MORE
        return prefix(moment, self.level, self.run) + _escaped(data) + b'"' + more + b"\n"

    @staticmethod
    def _format(whole: bytes, before: bytes) -> bytes:
        # A chunk at a time, not a line at a time: this is what makes it millions of lines a second.
        if len(whole) <= LONGEST:
            return before + _escaped(whole).replace(b"\n", b'"\n' + before) + b'"\n'
        return b"".join(
            before + _escaped(piece) + b'"' + (_MORE if more else b"") + b"\n"
            for one in whole.split(b"\n")
            for piece, more in _pieces(one)
        )


def _cut(data: bytes) -> int:
    """Return where to split ``data``, which is too long, so that no character is torn apart where that is possible."""
    cut = LONGEST
    while cut > LONGEST - 4 and data[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut


def _pieces(data: bytes) -> Iterator[tuple[bytes, bool]]:
    while len(data) > LONGEST:
        cut = _cut(data)
        yield data[:cut], True
        data = data[cut:]
    yield data, False


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a log, read.

    Args:
        time: aware; None for a line that is none of ours.
        raw: the message, byte for byte as the program printed it.
        more: whether the next line of this run and level goes on with it.
    """

    time: datetime | None
    level: str
    run: str | None
    raw: bytes
    more: bool = False

    @property
    def msg(self) -> str:
        r"""The message as text; bytes that are not UTF-8 appear as ``\xff``."""
        return self.raw.decode("utf-8", "backslashreplace")


def parse_line(data: bytes) -> LogLine:
    """Read one line, with its newline or without. Never raises: what is not of the format is a message."""
    found = _LINE.fullmatch(data)
    if found:
        time, level, run, message, more = found.groups()
        try:
            moment = datetime.fromisoformat(time.decode())
        except ValueError:
            return LogLine(None, "INFO", None, data.removesuffix(b"\n"))
        tag = run.decode("utf-8", "replace") if run else None
        return LogLine(moment, level.decode("utf-8", "replace"), tag, _unescaped(message), bool(more))
    return LogLine(None, "INFO", None, data.removesuffix(b"\n"))


def _unescaped(message: bytes) -> bytes:
    if b"\\" not in message:
        return message
    return _ESCAPED.sub(
        lambda found: bytes([int(found[1], 16)]) if found[1] else _NAMED.get(found[2], found[2]), message
    )
