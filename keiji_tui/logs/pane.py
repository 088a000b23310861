"""A log with its title above and a prompt below: searching, filtering, jumping between runs, copying and saving."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date, tzinfo
from functools import partial
from pathlib import Path

import msgspec
from rich.cells import cell_len
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.worker import Worker

from keiji.errors import EngineOffline, KeijiError, TaskNotFound
from keiji.records import Run
from keiji.states import FAILURES
from keiji_tui.actions.action import Action, Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.background import WorkFailed, start_worker
from keiji_tui.engine.link import LogLink
from keiji_tui.external import open_in_pager
from keiji_tui.logs.chunk import Line
from keiji_tui.logs.line import parse_line, plain_message
from keiji_tui.logs.match_client import MatchClient, PatternError
from keiji_tui.logs.match_protocol import Check, LineFilter, Locate, Select, Stream
from keiji_tui.logs.merge import MergedLog
from keiji_tui.logs.prompt import LogPrompt, PromptKind
from keiji_tui.logs.reader import LogReader
from keiji_tui.logs.scrollbar import LogScrollbar
from keiji_tui.logs.search import Extent, find, last_error, save
from keiji_tui.logs.source import Source, TaskLog, nearest
from keiji_tui.logs.view import LogView
from keiji_tui.text.format import format_count
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine

_YIELD_EVERY = 64  # events after which the event loop can handle keys
_MAX_RETRY_SECONDS = 30.0
_MAX_PATTERN_CHARS = 30  # in the title
_NARROW_NOTE = 40  # columns of a note if the title is too narrow for all of it
_NEXT_STREAM = {Stream.BOTH: Stream.OUT, Stream.OUT: Stream.ERR, Stream.ERR: Stream.BOTH}

Operation = Callable[[], Awaitable[object]]


class LogPane(Vertical):
    """The log of one task or of several, with its title, scroll bar and prompt.

    Attributes:
        retry_seconds: delay before the log is followed again after a failure; it doubles with each failure.
    """

    BINDINGS = bindings(Scope.LOG)  # handles what the view does not
    DEFAULT_CSS = """
    LogPane > Horizontal { height: 1fr; min-height: 1; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.match_client = MatchClient()
        self.reader = LogReader(self.match_client, self._reader_changed)
        self.retry_seconds = 1.0
        self.slugs: tuple[str, ...] = ()
        self.pattern = ""  # highlighted; "" for none
        self._follow_tasks: tuple[asyncio.Task[None], ...] = ()
        self.source: Source | None = None  # None until there is an engine
        self._titles = [""]  # the names of the tasks, longest form first
        self._error = ""
        self._note = ""  # shown in the title until the next action
        self._is_live = True
        self._revealed: int | None = None  # the current line, once its match has been scrolled into view
        self._is_locating = False
        self._operation: Worker[None] | None = None
        self._progress = ""  # of the operation; "" if it has none
        self._overwrite: Path | None = None  # the existing file that the user was asked about
        self._title_line = AdaptiveLine(id="log-title")
        self.view = LogView(self.reader, id="log")
        self._scrollbar = LogScrollbar()
        self.prompt = LogPrompt()

    def compose(self) -> ComposeResult:
        yield self._title_line
        with Horizontal():
            yield self.view
            yield self._scrollbar
        yield self.prompt

    def on_unmount(self) -> None:
        self.match_client.close()

    # ── which log ────────────────────────────────────────────────────────────────────────────────────────────────────

    def show(self, tasks: Mapping[str, str], *, group_name: str = "") -> None:
        """Show the log of a task, or the merged logs of several. It stays empty until `follow` is called.

        Args:
            tasks: name by slug.
            group_name: title for several tasks if there is no room for all names.
        """
        names = {slug: plain(name) for slug, name in tasks.items()}
        if tuple(names) != self.slugs:
            self._stop_following()
            self._stop_operation()
            self.prompt.close()
            self.pattern, self._note = "", ""
            self.source = None
            self.reader.reset()
            self.view.reset()
            self.view.names = names if len(names) > 1 else {}
        self.slugs, self._error = tuple(names), ""
        title = ", ".join(names.values())
        self._titles = [title] if len(names) < 2 else [title, group_name or f"of {len(names)} tasks"]
        self._update_title()

    def connect(self, link: LogLink) -> None:
        """Read the log over ``link`` from now on."""
        if self.source is None and self.slugs:
            self.source = TaskLog(link, *self.slugs) if len(self.slugs) == 1 else MergedLog(link, self.slugs)

    async def follow(self, link: LogLink) -> None:
        """Show the log and what is appended to it, until cancelled, or until there is no engine or no such task.

        If following or reading fails in another way, the title says so, and both are restarted after a delay.
        """
        self.connect(link)
        source = self.source
        if source is None:
            return
        failures = 0  # in quick succession
        while True:
            began = time.monotonic()
            error = await self._follow_until_failure(source)
            if self.source is not source:
                return  # another log is shown now
            if time.monotonic() - began > _MAX_RETRY_SECONDS:
                failures = 0
            if isinstance(error, EngineOffline | TaskNotFound):
                self._show_error(error.message)
                return
            if error is not None and not isinstance(error, KeijiError) and not failures:
                self.app.post_message(WorkFailed(error, "log"))
            reason = error.message if isinstance(error, KeijiError) else "the log cannot be followed"
            self._show_error(f"{plain(reason).rstrip('.')}; retrying")
            await asyncio.sleep(min(self.retry_seconds * 2 ** min(failures, 10), _MAX_RETRY_SECONDS))
            failures += 1

    async def _follow_until_failure(self, source: Source) -> Exception | None:
        """Receive events and load lines until one of the two ends; return its error."""
        self._stop_following()
        tasks = (asyncio.create_task(self.reader.run(source)), asyncio.create_task(self._receive_events(source)))
        self._follow_tasks = tasks
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        ended = done.pop()
        error = None if ended.cancelled() else ended.exception()
        return error if isinstance(error, Exception) else None

    def _stop_following(self) -> None:
        """Cancel the tasks that read the current log.

        Cancelling the worker around them is not enough: they would end later, and until then an event of this log that
        has already arrived would be taken for one of the next log.
        """
        for task in self._follow_tasks:
            task.cancel()
        self._follow_tasks = ()

    async def _receive_events(self, source: Source) -> None:
        count = 0
        async for event in source.follow():
            self._error = ""
            self.reader.receive(event)
            count += 1
            if count % _YIELD_EVERY == 0:
                await asyncio.sleep(0)

    def _show_error(self, reason: str) -> None:
        """Show in the title why the log is not followed."""
        self._error = plain(reason).rstrip(".")
        self._update_title()

    def set_clock(self, zone: tzinfo, today: date, *, is_live: bool) -> None:
        """Show times in ``zone``.

        Args:
            is_live: whether anything can be appended to the log.
        """
        self.view.set_clock(zone, today)
        if is_live != self._is_live:
            self._is_live = is_live
            if is_live:
                self.reader.retry()
            self._update_title()

    def back(self) -> bool:
        """Undo one step: a running search, the prompt, the highlighting, the filter. Return whether there was one."""
        if self._stop_operation() or self.reader.stop_scan():
            self._show_note("stopped")
        elif self.prompt.is_open:
            self._close_prompt()
        elif self.pattern:
            self._highlight("")
        elif not self.reader.line_filter.is_all:
            self.view.set_filter(LineFilter())
        else:
            return False
        return True

    def is_idle(self, action: Action) -> bool:
        """Return whether an action is useless now, so that the footer omits it."""
        return action.id in ("log-next", "log-previous") and not self.pattern

    @property
    def is_busy(self) -> bool:
        """Whether an operation, a jump or the location of matches is in progress."""
        return self._has_operation or self._is_locating or self._has_matches_to_locate or self.reader.is_jumping

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # While the prompt is open, keys edit its text.
        return self.screen.focused is self.view

    # ── changes of the view ──────────────────────────────────────────────────────────────────────────────────────────

    def _reader_changed(self) -> None:
        if self.view.is_mounted:
            self.view.relayout()

    @on(LogView.Changed)
    def _view_changed(self) -> None:
        self._update_title()
        self._update_scrollbar()
        self._reveal_match()
        self._start_locating()

    def _update_scrollbar(self) -> None:
        view, buffer = self.view, self.reader.buffer
        bottom = buffer.size if self.reader.following else view.bottom
        is_known = bool(view.visible_lines) and (buffer.oldest is not None or self.reader.following)
        oldest = (buffer.begin or 0) if buffer.oldest is None else buffer.oldest
        self._scrollbar.show((view.top, bottom) if is_known else None, oldest, buffer.size)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.view.action_lines(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.view.action_lines(3)

    @on(LogScrollbar.Scrolled)
    def _scrollbar_scrolled(self, event: LogScrollbar.Scrolled) -> None:
        event.stop()
        if event.position is None:
            self.view.action_follow()
        else:
            self.view.jump_to(event.position)

    # ── operations ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self, operation: Operation) -> None:
        """Run an operation in the background, in place of the current one."""
        self._stop_operation()
        self._operation = start_worker(self, partial(self._run, operation), group="operation")

    async def _run(self, operation: Operation) -> None:
        worker = self._operation
        try:
            await operation()
        except KeijiError as error:
            self._show_note(plain(error.message))
        finally:
            if self._operation is worker:
                self._progress = ""
            with suppress(LookupError):  # the app has ended
                self.view.relayout()

    @property
    def _has_operation(self) -> bool:
        return self._operation is not None and self._operation.is_running

    def _stop_operation(self) -> bool:
        """Cancel the current operation; return whether it was showing its progress."""
        was_shown = bool(self._progress) and self._has_operation
        if self._operation is not None and self._has_operation:
            self._operation.cancel()
        self._operation, self._progress = None, ""
        return was_shown

    def _show_progress(self, name: str, share: float) -> None:
        progress = f"{name} … {min(1.0, share):.0%}"
        if progress != self._progress:
            self._progress = progress
            self._update_title()

    # ── the prompt ───────────────────────────────────────────────────────────────────────────────────────────────────

    @on(LogPrompt.Edited)
    def _prompt_edited(self, event: LogPrompt.Edited) -> None:
        event.stop()
        self._overwrite = None
        if event.kind is PromptKind.SAVE or not event.text:
            self.prompt.show_error("")
        else:
            self._start(partial(self._check, _pattern(event.kind, event.text)))

    @on(LogPrompt.Submitted)
    def _prompt_submitted(self, event: LogPrompt.Submitted) -> None:
        event.stop()
        if event.kind is PromptKind.SAVE:
            self._start(partial(self._save_to, event.text))
        elif not self.prompt.has_error:
            # Closed immediately, so that the keys that follow apply to the log.
            self._close_prompt()
            operation = self._find if event.kind is PromptKind.FIND else self._filter
            self._start(partial(operation, event.text))

    @on(LogPrompt.Cancelled)
    def _prompt_cancelled(self, event: LogPrompt.Cancelled) -> None:
        event.stop()
        if not self._stop_operation():
            self._close_prompt()

    def _close_prompt(self) -> None:
        self.prompt.close()
        self.screen.set_focus(self.view)

    def _open_prompt(self, kind: PromptKind, text: str) -> None:
        if self.slugs:
            self._note = ""
            self.prompt.open(kind, text)
            self._update_title()

    async def _check(self, pattern: str) -> bool:
        """Show whether a pattern is valid, and return it."""
        try:
            await self.match_client.request(Check(pattern))
        except PatternError as error:
            self.prompt.show_error(error.message)
            return False
        self.prompt.show_error("")
        return True

    async def _is_valid(self, kind: PromptKind, text: str) -> bool:
        """Return whether the pattern is valid; if not, reopen the prompt for its correction."""
        pattern = _pattern(kind, text)
        if not pattern or await self._check(pattern):
            return True
        self.prompt.open(kind, text)
        return await self._check(pattern)

    # ── filtering ────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_filter(self) -> None:
        """Ask for a pattern that lines must match to be shown."""
        line_filter = self.reader.line_filter
        self._open_prompt(PromptKind.FILTER, f"{'!' if line_filter.inverted else ''}{line_filter.pattern}")

    async def _filter(self, text: str) -> None:
        line_filter = LineFilter.parse(text, self.reader.line_filter.stream)
        if await self._is_valid(PromptKind.FILTER, text):
            self.view.set_filter(line_filter)

    def action_stream(self) -> None:
        """Show standard output only, standard error only, or both."""
        if self.slugs:
            line_filter = self.reader.line_filter
            self._note = ""
            self.view.set_filter(msgspec.structs.replace(line_filter, stream=_NEXT_STREAM[line_filter.stream]))

    # ── searching ────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_find(self) -> None:
        """Ask for a pattern to search for."""
        self._open_prompt(PromptKind.FIND, self.pattern)

    def action_next(self) -> None:
        """Go to the next match."""
        self._find_again(backwards=False)

    def action_previous(self) -> None:
        """Go to the previous match."""
        self._find_again(backwards=True)

    async def _find(self, text: str) -> None:
        """Go to the last match before the end of the screen, or to the first one after it."""
        if not await self._is_valid(PromptKind.FIND, text):
            return
        self.view.current = None
        self._highlight(text)
        if text:
            bottom = self.view.bottom
            if not await self._search(bottom, backwards=True):
                await self._search(bottom, backwards=False, note="no match")

    def _find_again(self, *, backwards: bool) -> None:
        view = self.view
        if not self.pattern:
            self.action_find()
            return
        self._note = ""
        position = view.bottom if backwards else view.top
        if view.is_current_visible and view.current is not None:
            line = view.buffer[view.buffer.index(view.current)]
            position = line.position if backwards else line.end
        note = "no earlier match" if backwards else "no later match"
        self._start(partial(self._search, position, backwards=backwards, note=note))
        self._update_title()

    async def _search(self, position: int, *, backwards: bool, note: str = "") -> bool:
        """Go to the nearest match before or after ``position``; return whether there is one.

        Args:
            note: shown if there is no match.
        """
        source = self.source
        if source is None:
            return False
        buffer = self.reader.buffer
        oldest = buffer.oldest or 0
        total = max(1, position - oldest if backwards else buffer.size - position)
        what = Select("", self.reader.line_filter, self.pattern)

        def on_progress(reached: int) -> None:
            self._show_progress("searching", abs(position - reached) / total)

        self._show_progress("searching", 0.0)
        found = await find(source, self.match_client, what, position, on_progress, backwards=backwards)
        if found is not None:
            self._jump_to(found, 0.4)
        elif note:
            self._show_note(note)
        return found is not None

    def _jump_to(self, position: int, share: float) -> None:
        """Make the line at ``position`` the current one; ``share`` is how far down the screen it is placed."""
        self.view.current = position
        self.view.jump_to(position, share)

    def _highlight(self, pattern: str) -> None:
        """Highlight the matches of a pattern; "" for none."""
        self.pattern, self._note = pattern, ""
        if not pattern:
            self.view.current = None
        self.view.set_matches({} if pattern else None)
        self._start_locating()
        self._update_title()

    @property
    def _has_matches_to_locate(self) -> bool:
        return bool(self.pattern) and any(True for _ in self.view.lines_to_locate())

    def _start_locating(self) -> None:
        if self._has_matches_to_locate and not self._is_locating:
            self._is_locating = True
            start_worker(self, self._locate_matches, group="locate")

    async def _locate_matches(self) -> None:
        """Locate the matches in the visible lines until all are known."""
        view = self.view
        try:
            while self.pattern and (raws := list(dict.fromkeys(view.lines_to_locate()))):
                matches = view.matches
                response = await self.match_client.request(Locate(raws, self.pattern))
                if matches is not None and matches is view.matches:
                    matches.update(zip(raws, response.spans, strict=True))
                    self._reveal_match()
                    view.refresh()
        except PatternError as error:
            self._highlight("")
            self._show_note(error.message)
        finally:
            self._is_locating = False

    def _reveal_match(self) -> None:
        """Scroll horizontally to the first match in the current line, once."""
        view = self.view
        line = next((line for line in view.visible_lines if line.position == view.current), None)
        spans = view.matches.get(line.raw) if line is not None and view.matches else None
        if line is not None and spans and self._revealed != view.current:
            self._revealed = view.current
            text = plain_message(line)
            view.pan_to(line, *(cell_len(text[:offset]) for offset in spans[0]))

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def open_at(self, run: Run) -> None:
        """Go to the start of a run, or to the last error line of a failed one."""
        self._start(partial(self._open_at, run))

    async def _open_at(self, run: Run) -> None:
        source = self.source
        if source is None:
            return
        is_failed = run.state in FAILURES
        position = await last_error(source, run) if is_failed else run.log_start
        if position is None:
            self._show_note("this run has no output" if run.log_end is None else "no longer in the log")
        else:
            self._jump_to(position, 0.7 if is_failed else 0.0)

    def action_previous_run(self) -> None:
        """Go to the previous start of a run."""
        self._go_to_run(backwards=True)

    def action_next_run(self) -> None:
        """Go to the next start of a run."""
        self._go_to_run(backwards=False)

    def _go_to_run(self, *, backwards: bool) -> None:
        if self.slugs:
            self._note = ""
            self._start(partial(self._adjacent_run, backwards=backwards))
            self._update_title()

    async def _adjacent_run(self, *, backwards: bool) -> None:
        view, source = self.view, self.source
        if source is None:
            return
        position = view.current if view.current is not None and view.is_current_visible else view.top
        recorded = await source.adjacent_run(position, backwards=backwards)
        starts = [*self._loaded_starts(), *([] if recorded is None else [recorded])]
        found = nearest(starts, position, backwards=backwards)
        if found is None:
            self._show_note("no earlier run" if backwards else "no later run")
        else:
            self._jump_to(found, 0.0)

    def _loaded_starts(self) -> list[int]:
        """Return where runs start in the loaded lines: the engine records the start only when a run has ended."""
        seen: dict[str, set[str]] = defaultdict(set)  # by task
        starts = []
        for line in self.reader.buffer:
            run = "" if line.is_note else parse_line(line.raw).run
            if run and run not in seen[line.task]:
                if seen[line.task]:  # the first run may have started before the loaded lines
                    starts.append(line.position)
                seen[line.task].add(run)
        return starts

    # ── copying, saving, the pager ───────────────────────────────────────────────────────────────────────────────────

    def action_copy(self) -> None:
        """Copy the selected text, the current line, or the visible lines."""
        if not self.slugs:
            return
        view = self.view
        text = view.screen.get_selected_text()
        if not text:
            text = "\n".join(map(view.copied_text, self._current_lines()))
        self.app.copy_to_clipboard(text)  # which notifies the user
        self._show_note("")

    def _current_lines(self) -> Iterable[Line]:
        """Return the current line if it is visible, or else all visible lines."""
        view = self.view
        if view.is_current_visible:
            return [line for line in view.visible_lines if line.position == view.current]
        return view.visible_lines

    def action_save(self) -> None:
        """Ask for the file to which lines are saved."""
        self._overwrite = None
        self._open_prompt(PromptKind.SAVE, str(Path.cwd() / f"{'-'.join(self.slugs[:3])}.txt"))

    async def _save_to(self, text: str) -> None:
        source = self.source
        path = Path(text).expanduser()
        if source is None or not text:
            return
        if path.exists() and self._overwrite != path:
            self._overwrite = path
            self.prompt.show_error("the file exists – press enter again to overwrite it")
            return
        extent = await self._extent_to_save(source)

        def on_progress(reached: int) -> None:
            self._show_progress("saving", (reached - extent.begin) / max(1, extent.end - extent.begin))

        self._show_progress("saving", 0.0)
        line_filter, names = self.reader.line_filter, self.view.names
        try:
            with path.open("w", encoding="utf-8") as file:  # not in a thread: cancellation would leave it open
                count = await save(
                    source, self.match_client, file, extent, on_progress, line_filter=line_filter, names=names
                )
        except OSError as error:
            self.prompt.show_error(f"{error.strerror or error}")
            return
        self._close_prompt()
        run = f"run {extent.run[:8]}, " if extent.run else ""
        message = f"saved {run}{format_count(count, 'line')}\n{plain(str(path))}"
        self.app.notify(message, timeout=3, markup=False)

    async def _extent_to_save(self, source: Source) -> Extent:
        """Return the visible run of a task, or everything if there is a filter or several tasks."""
        buffer = self.reader.buffer
        begin, end = buffer.oldest or 0, buffer.size
        run_ids = (parse_line(line.raw).run for line in reversed(list(self._current_lines())))
        run_id = next(filter(None, run_ids), "")
        if not self.reader.line_filter.is_all or not run_id or len(self.slugs) > 1:
            return Extent(begin, end)
        run = next((run for run in await source.runs() if run.run_id == run_id), None)
        if run is not None and run.log_start is not None:
            begin, end = max(begin, run.log_start), min(end, run.log_end or end)
        return Extent(begin, end, run_id)

    def action_pager(self) -> None:
        """Open the newest part of the log in $PAGER."""
        if not self.slugs:
            return
        self._show_note("")
        paths = self.source.paths() if self.source is not None else []
        if not paths:
            self._show_note("this log has no file on this machine")
            return
        try:
            open_in_pager(self.app, paths)
        except KeijiError as error:
            self._show_note(plain(error.message))
        self.app.refresh()

    # ── the title ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _show_note(self, note: str) -> None:
        """Show a note in the title until the next action."""
        self._note = note
        self._update_title()

    def _update_title(self) -> None:
        kind = "logs " if len(self.slugs) > 1 else "log "
        names = [Content.assemble((kind, "$text-muted"), (title, "bold")) for title in self._titles]
        buffer = self.reader.buffer
        is_empty = not buffer.size and buffer.end is not None
        empty = "  no output yet" if is_empty and self.slugs and not self._error else ""
        filters = list(self._filter_parts())
        lefts = [*(Content.assemble(name, *filters, (empty, "$text-disabled")) for name in names), names[-1]]
        self._title_line.set_variants(*((left, right) for right in self._status() for left in lefts))

    def _filter_parts(self) -> Iterable[tuple[str, str]]:
        line_filter = self.reader.line_filter
        if line_filter.stream is not Stream.BOTH:
            yield f"  {line_filter.stream} only", "$text-warning"
        if line_filter.pattern:
            yield ("  without " if line_filter.inverted else "  only "), "$text-muted"
            yield f"“{plain(line_filter.pattern, _MAX_PATTERN_CHARS)}”", "$text-warning"
        if self.pattern:
            yield "  find ", "$text-muted"
            yield f"“{plain(self.pattern, _MAX_PATTERN_CHARS)}”", "$text-warning"

    def _status(self) -> Iterable[Content]:
        """Yield the right side of the title, longest form first."""
        reader, buffer = self.reader, self.reader.buffer
        is_filtering = reader.is_scanning and reader.scan_progress < 1
        progress = self._progress or (f"filtering … {reader.scan_progress:.0%}" if is_filtering else "")
        warning = self._error or plain(reader.error) or self._note
        if progress:
            yield Content.styled(f"{progress} · {BY_ID['back'].key} stops", "$text-accent")
        elif warning:
            content = Content.styled(warning, "$text-warning")
            yield content
            yield content.truncate(_NARROW_NOTE, ellipsis=True)
        elif reader.following:
            status = ("following", "$text-success") if self._is_live else ("waiting for the engine", "$text-muted")
            yield Content.styled(*status)
        else:
            oldest = buffer.oldest or 0
            share = (self.view.bottom - oldest) / max(1, buffer.size - oldest)
            position = f"{min(1.0, max(0.0, share)):.0%}"
            unseen = f"+{format_count(reader.unseen, 'line')}" if reader.unseen else ""
            style = "$text-warning" if unseen else "$text-muted"
            hint = f"{BY_ID['follow'].key} follows"
            yield Content.styled(" · ".join(filter(None, (position, unseen, hint))), style)
            yield Content.styled(unseen or position, style)


def _pattern(kind: PromptKind, text: str) -> str:
    return LineFilter.parse(text, Stream.BOTH).pattern if kind is PromptKind.FILTER else text
