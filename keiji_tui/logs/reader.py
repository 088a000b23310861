"""Loads the visible part of a log of any size, and what is near it, in bounded memory.

The link pushes what is appended. Everything else is read from the file, one chunk at a time, when the user scrolls near
it. A log therefore opens at its end immediately, however long it is, and new output does not disturb the view.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, NoReturn

from keiji.errors import KeijiError
from keiji_tui.logs.buffer import LogBuffer
from keiji_tui.logs.chunk import Chunk, Line, gap_line
from keiji_tui.logs.logfmt import CONTINUED
from keiji_tui.logs.match_client import MatchClient, PatternError
from keiji_tui.logs.match_protocol import ALL_LINES, LineFilter, Select
from keiji_tui.logs.pending_chunks import PendingChunks
from keiji_tui.logs.source import PAGE_BYTES, SCAN_BYTES, LogEvent, Source

APPLY_SECONDS = 0.05  # minimum interval between updates; what arrives in the meantime is applied together

OnArrival = Callable[[int], None]  # called with the position at which a jump ended


class _Jump(NamedTuple):
    position: int
    on_arrival: OnArrival


class LogReader:
    """Reads one log, with or without a filter.

    Args:
        match_client: evaluates the filter.
        on_change: called when there is something new to show.

    Attributes:
        following: whether the view stays at the end.
        unseen: number of lines that arrived while the view was elsewhere.
        error: why nothing more can be loaded; "" if it can.
        is_scanning: whether the log is being scanned for lines that the filter selects.
    """

    def __init__(self, match_client: MatchClient, on_change: Callable[[], None]) -> None:
        self.buffer = LogBuffer()
        self.line_filter: LineFilter = ALL_LINES
        self.following = True
        self.unseen = 0
        self.error = ""
        self.is_scanning = False
        self._match_client = match_client
        self._on_change = on_change
        self._pending = PendingChunks()
        self._viewport = (0, 0)  # positions of the first and the last visible line
        self._direction = 0  # of the last scrolling: 1 down, -1 up
        self._jump: _Jump | None = None
        self._is_stopped = False
        self._incomplete_at: int | None = None  # position after which there is no complete line yet
        self._generation = 0  # incremented to discard the results of reads in progress
        self._shown_version, self._shown_at = -1, 0.0
        self._wake = asyncio.Event()
        self._apply_timer: asyncio.TimerHandle | None = None

    # ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def reset(self) -> None:
        """Prepare for another log."""
        self.line_filter, self.error = ALL_LINES, ""
        self._restart()

    def _restart(self) -> None:
        self._generation += 1
        self.buffer.clear()
        self._pending.clear()
        self.following, self.unseen, self._viewport, self._direction = True, 0, (0, 0), 0
        self._jump = self._incomplete_at = None
        self._is_stopped = self.is_scanning = False

    def receive(self, event: LogEvent) -> None:
        """Record an event of the source; it is shown together with what arrives within `APPLY_SECONDS`."""
        self.error = ""
        if self._is_restarted(event):
            self._restart()
        self.buffer.size = max(self.buffer.size, event.size)
        self._incomplete_at = None
        if event.is_tail:
            self._pending.append_tail(event.chunk)
        else:
            if not self.following:
                self.unseen += event.chunk.text.count("\n") - event.chunk.text.count(f"{CONTINUED}\n")
            self._pending.append(event.chunk)
        if self._apply_timer is None:
            self._apply_timer = asyncio.get_running_loop().call_later(APPLY_SECONDS, self._apply_due)

    def _apply_due(self) -> None:
        self._apply_timer = None
        self._wake.set()

    def _is_restarted(self, event: LogEvent) -> bool:
        """Return whether the log was deleted, so that positions count from 0 again."""
        known = max(self.buffer.end or 0, self._pending.end or 0)
        if not known:
            return False
        if event.is_tail:
            return event.size < known
        chunk = event.chunk
        return event.restarted or (chunk.position == 0 and chunk.end <= known and bool(chunk.text))

    # ── requests of the user ─────────────────────────────────────────────────────────────────────────────────────────

    def follow(self) -> None:
        """Go to the end and stay there."""
        self.following, self.unseen, self._jump = True, 0, None
        self._wake.set()

    def jump_to(self, position: int, on_arrival: OnArrival) -> None:
        """Load the lines around ``position`` if necessary, then call ``on_arrival``; a later jump replaces this one."""
        self.following, self._is_stopped, self._direction = False, False, 0
        buffer = self.buffer
        if len(buffer) and buffer[0].position <= position < buffer[-1].end:
            self._jump = None
            on_arrival(position)
        else:
            self._jump = _Jump(position, on_arrival)
            self._wake.set()

    @property
    def is_jumping(self) -> bool:
        """Whether a jump waits for its lines."""
        return self._jump is not None

    def set_viewport(self, first: int, last: int, direction: int = 0) -> None:
        """Load the lines near the viewport.

        Args:
            first, last: positions of the first and the last visible line.
            direction: of scrolling, 1 or -1; 0 if the user did not scroll.
        """
        if direction:
            self._direction, self._is_stopped = direction, False
        if direction or (first, last) != self._viewport:
            self._viewport = (first, last)
            self._wake.set()

    def set_filter(self, line_filter: LineFilter) -> None:
        """Replace the filter. All lines are dropped: the newest are loaded again, unless a jump follows."""
        self._generation += 1
        self._match_client.interrupt()
        self.line_filter, self._is_stopped, self._direction = line_filter, False, 0
        self.error = ""
        self._pending.clear()
        buffer = self.buffer
        position = buffer.size if self.following else self._viewport[0]
        if buffer.end is not None:
            buffer.replace([], position, position)
        self._wake.set()

    def retry(self) -> None:
        """Try again to load what could not be loaded."""
        self._wake.set()

    def stop_scan(self) -> bool:
        """Stop scanning for lines that the filter selects; return whether a scan was in progress."""
        was_scanning, self.is_scanning = self.is_scanning, False
        self._is_stopped = self._is_stopped or was_scanning
        if was_scanning:
            self._generation += 1
            self._match_client.interrupt()
        return was_scanning

    @property
    def scan_progress(self) -> float:
        """The scanned share of the log, from 0 to 1."""
        buffer = self.buffer
        return (buffer.size - (buffer.begin or 0)) / max(1, buffer.size - (buffer.oldest or 0))

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, source: Source) -> NoReturn:
        """Load what is needed, until cancelled."""
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            generation = self._generation
            try:
                while await self._step(source):
                    self.error = ""
                    self._show()
                    await asyncio.sleep(0)
            except KeijiError as error:
                if generation == self._generation:
                    self.error = error.message
                    self._is_stopped = isinstance(error, PatternError)
            self.is_scanning = False
            self._on_change()

    def _show(self) -> None:
        """Report new lines immediately, and the progress of a scan from time to time."""
        now = time.monotonic()
        if self._shown_version != self.buffer.version or now - self._shown_at > APPLY_SECONDS:
            self._shown_version, self._shown_at = self.buffer.version, now
            self._on_change()

    async def _step(self, source: Source) -> bool:
        """Do what is most urgent; return whether there was anything to do."""
        buffer = self.buffer
        if self._jump is not None:
            await self._load_jump(source, self._jump)
            return True
        if self._pending:
            await self._apply()
            return True
        if buffer.end is None:
            return False
        if buffer.oldest is None:
            buffer.oldest = await source.oldest()
            return True
        if not buffer.is_at_end and self._incomplete_at != buffer.end and self.following:
            await self._catch_up(source)
            return True
        load = self._next_load()
        if load is None:
            return False
        self.is_scanning = not self.line_filter.is_all
        await load(source)
        # The scan ends with its last step rather than with the next wake-up. Otherwise, a key that stops scans could
        # find one that has ended.
        self.is_scanning = self.is_scanning and self._next_load() is not None
        return True

    def _next_load(self) -> Callable[[Source], Awaitable[None]] | None:
        """Return the method that loads lines where they are missing near the viewport; None if none are missing."""
        buffer = self.buffer
        if self._is_stopped:
            return None
        can_append, can_prepend = (not buffer.is_full or self._direction == way for way in (1, -1))
        is_complete = buffer.is_at_end or self._incomplete_at == buffer.end
        if can_append and not is_complete and not self.following and not buffer.has_margin_after(self._viewport[1]):
            return self._load_after
        if can_prepend and not buffer.is_at_start and not buffer.has_margin_before(self._viewport[0]):
            return self._load_before
        return None

    async def _apply(self) -> None:
        """Show a pending chunk if it adjoins the viewport; otherwise it is read from the file when needed."""
        chunk = self._pending.pop()
        buffer, generation = self.buffer, self._generation
        if buffer.end is not None:
            if chunk.end <= buffer.end or not (self.following or self._needs_lines_after()):
                return
            if chunk.position > buffer.end:
                if self.following and self.line_filter.is_all:  # the gap can be read from the file
                    chunk = chunk if chunk.text.startswith("time=") else chunk.without_partial_line()
                    buffer.replace(chunk.lines(), chunk.position, chunk.end)
                return
            chunk = chunk.starting_at(buffer.end)
        lines = await self._selected_lines(chunk)
        if generation != self._generation:
            return
        if buffer.end is None:
            buffer.replace(lines, chunk.position, chunk.end)
        else:
            buffer.append(lines, chunk.position, chunk.end)

    def _needs_lines_after(self) -> bool:
        return not self.buffer.is_full and not self.buffer.has_margin_after(self._viewport[1])

    async def _catch_up(self, source: Source) -> None:
        buffer, generation = self.buffer, self._generation
        if not self.line_filter.is_all or buffer.size - (buffer.end or 0) <= PAGE_BYTES:
            await self._load_after(source)
            return
        chunk, size = await source.last(PAGE_BYTES)
        if generation == self._generation and self.following:
            buffer.size = max(buffer.size, size)
            buffer.replace(chunk.lines(), chunk.position, chunk.end)
            if not len(buffer):
                self._incomplete_at = buffer.end

    @property
    def _read_bytes(self) -> int:
        return PAGE_BYTES if self.line_filter.is_all else SCAN_BYTES

    async def _load_after(self, source: Source) -> None:
        begin, generation = self.buffer.end or 0, self._generation
        chunk, size = await source.after(begin, self._read_bytes)
        if generation != self._generation:
            return
        self.buffer.size = max(self.buffer.size, size)
        if chunk.end <= begin:
            self._incomplete_at = begin
            return
        lines = await self._selected_lines(chunk)
        if generation == self._generation and self.buffer.end == begin:
            self.buffer.append(lines, chunk.position, chunk.end)

    async def _load_before(self, source: Source) -> None:
        end, generation = self.buffer.begin or 0, self._generation
        chunk, is_oldest = await source.before(end, self._read_bytes)
        if chunk is None:
            self.buffer.oldest = end
            return
        lines = await self._selected_lines(chunk)
        if generation == self._generation and self.buffer.begin == end:
            if is_oldest:
                self.buffer.oldest = chunk.position
            if chunk.end < end and self.line_filter.is_all:
                lines = [*lines, gap_line(chunk.end, end)]
            self.buffer.prepend(lines, chunk.position)

    async def _load_jump(self, source: Source, jump: _Jump) -> None:
        buffer, generation = self.buffer, self._generation
        (chunk, size), target = await source.around(jump.position)
        lines = await self._selected_lines(chunk)
        if generation != self._generation or self._jump is not jump:
            return
        if chunk.position > jump.position:
            buffer.oldest = chunk.position
        buffer.size = max(buffer.size, size)
        buffer.replace(lines, chunk.position, chunk.end)
        self._jump, self._viewport = None, (target, target)
        jump.on_arrival(target)

    async def _selected_lines(self, chunk: Chunk) -> list[Line]:
        if self.line_filter.is_all or not chunk.text:
            return chunk.lines()
        selected = (await self._match_client.request(Select(chunk.text, self.line_filter))).selected
        lines = chunk.lines() if selected else []
        return [lines[number] for number in selected]
